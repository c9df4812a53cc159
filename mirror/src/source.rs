//! The content of sources: images and files, from EKS manifests and plain lists.

pub mod archive;
mod chart;
mod eks;
mod file;
mod render;
pub mod url;

use std::collections::BTreeSet;

use bytes::Bytes;
use oci::{Descriptor, Digest, Manifest, Platform, Reference, RepositoryName, Tag};

pub(crate) use self::chart::archive_name;
pub use self::chart::chart_config;
pub use self::eks::{bundle_wants, release_wants, verified};
pub use self::file::{FILE_TYPE, artifact, chart_artifact, named_after};
pub(crate) use self::file::{tag_of, title_of};
pub use self::render::ChartImages;
pub use self::url::FileUrl;
use crate::complete;
use crate::config::Location;
use crate::lock::ItemKind;

/// An item to mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An image or artifact in a registry.
    Image {
        /// Its kind.
        kind: ItemKind,
        /// Its reference.
        reference: Reference,
        /// The manifest that was already read to find its content. This manifest is mirrored, even if the reference has
        /// moved since.
        read: Option<Digest>,
    },
    /// A file that becomes an artifact.
    File {
        /// Its name in the mirror file.
        source: String,
        /// Its location, with overrides applied.
        location: Location,
        /// The expected digests.
        checksums: Vec<Digest>,
        /// The repository in the store.
        repository: RepositoryName,
        /// The tag in the store.
        tag: Tag,
        /// Its file name, which may contain characters that a tag cannot.
        title: String,
    },
    /// An image on disk.
    Archive {
        /// Its format.
        format: archive::Format,
        /// Its path.
        path: std::path::PathBuf,
        /// Selects one of several images.
        image: Option<String>,
        /// The name to give it.
        reference: Reference,
    },
    /// A packaged chart that becomes a Helm artifact.
    Chart {
        /// Its path.
        path: std::path::PathBuf,
        /// The archive, if it was already read to find its images. This archive is mirrored, even if the file has changed
        /// since.
        archive: Option<Bytes>,
    },
}

impl Wanted {
    /// Its name in the mirror file.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Image { reference, .. } | Self::Archive { reference, .. } => reference.to_string(),
            Self::File { source, .. } => source.clone(),
            Self::Chart { path, .. } => path.display().to_string(),
        }
    }

    /// A string that identifies the item. A URL without its hidden query may stand for several files.
    #[must_use]
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::File { location: Location::Url(url), repository, tag, .. } if url.hidden().is_some() => {
                format!("{} as {repository}:{tag}", self.name())
            }
            _ => self.name(),
        }
    }

    /// Merges two items of the same identity, if they agree. Items with the same reference are the same content, whatever
    /// their kinds.
    #[must_use]
    pub(crate) fn merge(self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Image { kind, reference, read }, Self::Image { read: other, .. }) => {
                let agrees = read.is_none() || other.is_none() || read == *other;
                let read = read.or_else(|| other.clone());
                agrees.then_some(Self::Image { kind, reference, read })
            }
            (Self::Chart { path, archive }, Self::Chart { path: same, archive: other }) if path == *same => {
                let agrees = archive.is_none() || other.is_none() || archive == *other;
                let archive = archive.or_else(|| other.clone());
                agrees.then_some(Self::Chart { path, archive })
            }
            (this, other) => (this == *other).then_some(this),
        }
    }
}

/// A manifest that is made here, with its config.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The manifest.
    pub manifest: Manifest,
    /// The bytes of the config.
    pub config: Vec<u8>,
}

/// The annotation of a manifest in an index that states its subject (buildkit's attestations).
const SUBJECT: &str = "vnd.docker.reference.digest";

/// Whether a manifest in an index is an attestation of another one, and not an image to run.
pub(crate) fn is_attestation(child: &Descriptor) -> bool {
    child.annotations.contains_key(SUBJECT) && child.platform.as_ref().is_none_or(Platform::is_unknown)
}

/// The manifests of an index to take: all, or those of the requested platforms with their attestations, and those without
/// a platform, such as indexes.
pub(crate) fn chosen(index: &Manifest, platforms: &[Platform]) -> Vec<Digest> {
    let children: Vec<&Descriptor> = complete::children(index).collect();
    let wanted = |child: &&&Descriptor| match &child.platform {
        _ if platforms.is_empty() => true,
        Some(platform) if platform.is_unknown() => false,
        Some(platform) => platforms.iter().any(|wanted| wanted.accepts(platform)),
        None => true,
    };
    let taken: BTreeSet<&Digest> = children.iter().filter(wanted).map(|child| &child.digest).collect();
    let attests = |child: &&&Descriptor| {
        child
            .annotations
            .get(SUBJECT)
            .is_some_and(|subject| taken.iter().any(|digest| digest.to_string() == *subject))
    };
    children
        .iter()
        .filter(|child| taken.contains(&child.digest) || attests(child))
        .map(|child| child.digest.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_chosen_by_platform_with_their_attestations() {
        let child = |name: &str, platform: &str| {
            let kind = oci::media_type::OCI_MANIFEST.parse().unwrap();
            let mut child = Descriptor::new(kind, Digest::sha256(name.as_bytes()), 1);
            child.platform = Some(platform.parse().unwrap());
            child
        };
        let attestation = |subject: &Descriptor| {
            let mut child = child(&format!("attestation {}", subject.digest), "unknown/unknown");
            child.annotations.insert(SUBJECT.into(), subject.digest.to_string());
            child
        };
        let (amd, arm) = (child("amd", "linux/amd64"), child("arm", "linux/arm64"));
        let children = [amd.clone(), arm.clone(), attestation(&amd), attestation(&arm)];
        let index = index(&children);
        let only = chosen(&index, &["linux/arm64".parse().unwrap()]);
        assert_eq!(only, [arm.digest.clone(), children[3].digest.clone()]);
        assert_eq!(chosen(&index, &[]).len(), 4);
        assert!(chosen(&index, &["windows/amd64".parse().unwrap()]).is_empty());
    }

    fn index(children: &[Descriptor]) -> Manifest {
        let value = serde_json::json!({ "schemaVersion": 2, "manifests": children });
        Manifest::parse(serde_json::to_vec(&value).unwrap().into(), None).unwrap()
    }

    #[test]
    fn d5_without_platforms_children_of_unknown_platform_are_taken_too() {
        let kind = |text: &str| text.parse().unwrap();
        let mut unknown = Descriptor::new(kind(oci::media_type::OCI_MANIFEST), Digest::sha256(b"a"), 1);
        unknown.platform = Some("unknown/unknown".parse().unwrap());
        let layer = Descriptor::new(kind(oci::media_type::OCI_LAYER), Digest::sha256(b"b"), 1);
        let index = index(&[unknown.clone(), layer]);
        assert_eq!(chosen(&index, &[]), [unknown.digest]);
        assert!(chosen(&index, &["linux/amd64".parse().unwrap()]).is_empty());
    }
}
