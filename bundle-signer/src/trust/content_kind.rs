//! The kinds of signed content, with their names in trust files.

use std::fmt;

use super::MAX_SCOPE;
use crate::{Error, Result, statement};

/// The names of kinds of content other than predicate types, none of which has such a name.
const NAMES: [(&str, ContentKind); 5] = [
    ("driveManifest", ContentKind::Drive),
    ("packageBundle", ContentKind::PackageBundle),
    ("bundles", ContentKind::Bundles),
    ("release", ContentKind::Release),
    ("anything", ContentKind::Anything),
];

/// A kind of signed content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// The manifest of a drive.
    Drive,
    /// A `PackageBundle` of EKS Anywhere. Only a role that names it allows it, as for the next two.
    PackageBundle,
    /// The `Bundles` of EKS Anywhere.
    Bundles,
    /// A `Release` of EKS Distro.
    Release,
    /// All kinds; only in roles.
    Anything,
    /// A statement about an image, by its predicate type.
    Statement(String),
}

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drive | Self::PackageBundle | Self::Bundles | Self::Release | Self::Anything => {
                let name = NAMES.iter().find(|(_, content)| content == self);
                f.write_str(name.map_or("", |(name, _)| name))
            }
            Self::Statement(predicate_type) => {
                let name = statement::TYPE_NAMES.iter().find(|(_, uri)| uri == predicate_type);
                f.write_str(name.map_or(predicate_type, |(name, _)| name))
            }
        }
    }
}

impl ContentKind {
    /// Whether it is a manifest of EKS Anywhere, which a key may sign only with a role for it.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::PackageBundle | Self::Bundles | Self::Release)
    }

    /// Parses the name of a kind in trust files.
    ///
    /// # Errors
    /// [`Error::TrustMember`].
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((_, content)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(content.clone());
        }
        let known = statement::predicate_type(text).filter(|_| text.len() <= MAX_SCOPE);
        known.map(|uri| Self::Statement(uri.to_owned())).ok_or_else(|| Error::TrustMember {
            member: "sign",
            value: text.to_owned(),
            expected: "`driveManifest`, `packageBundle`, `bundles`, `release`, `anything`, `signature`, the name of a predicate type, or a URI",
        })
    }
}
