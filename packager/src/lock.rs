//! `airlock.lock`: every reference of a mirror file, settled to digests. The same lock and the same store give
//! the same volumes.

use std::collections::BTreeSet;
use std::path::Path;

use oci::{Digest, MediaType, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// A whole lock. All lists are sorted, so that equal content is equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// [`VERSION`].
    pub version: u32,
    /// The mirror file's name.
    pub name: String,
    /// Whether signatures, attestations and SBOMs came along.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub follow: bool,
    /// Signatures, attestations and SBOMs that were listed but that their registry did not have, as the mirror file
    /// tolerates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unavailable: BTreeSet<Unavailable>,
    /// What was asked for, in the mirror file's order.
    pub items: Vec<LockedItem>,
    /// What it came to, by repository.
    pub repositories: Vec<LockedRepository>,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_yes(yes: &bool) -> bool {
    *yes
}

/// Something about an image that is listed and missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unavailable {
    /// The image, as the mirror file or a chart names it.
    pub image: String,
    /// The manifest that is missing.
    pub digest: Digest,
}

/// Something that the mirror file asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedItem {
    /// What kind of thing.
    pub kind: ItemKind,
    /// How the mirror file names it: a reference, a URL or a path.
    pub source: String,
    /// Where it stands in the store.
    pub repository: RepositoryName,
    /// Its tag, unless it was asked for by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Its manifest or index.
    pub digest: Digest,
    /// The platforms taken of an index; empty for all, and for what has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Bytes of all its manifests and blobs.
    pub size: u64,
}

/// The kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A container image.
    Image,
    /// A Helm chart.
    Chart,
    /// A plain file.
    File,
    /// An EKS Anywhere package bundle.
    Bundle,
}

/// A repository's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedRepository {
    /// Its name in the store.
    pub name: RepositoryName,
    /// Its manifests, by digest.
    pub manifests: Vec<LockedManifest>,
    /// Its tags, by name.
    pub tags: Vec<LockedTag>,
}

/// A manifest and the blobs that travel with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedManifest {
    /// Its digest.
    pub digest: Digest,
    /// The type to serve it under.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub size: u64,
    /// Its blobs, as it lists them; without layers that may not be distributed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<LockedBlob>,
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedTag {
    /// Its name.
    pub tag: Tag,
    /// What it points at.
    pub digest: Digest,
}

/// Why a lock cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the lock `{path}`")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a lock.
    #[error("`{path}` is not an airlock lock")]
    Malformed {
        /// The file.
        path: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A newer program wrote it.
    #[error("the lock has version {0}, this program knows {VERSION}")]
    Version(u32),
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// When the file is missing, malformed or of another version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = || path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: name(), source })?;
        let lock: Self =
            serde_json::from_slice(&bytes).map_err(|source| Error::Malformed { path: name(), source })?;
        if lock.version == VERSION { Ok(lock) } else { Err(Error::Version(lock.version)) }
    }

    /// The file's bytes: JSON, two blanks of indent, a line end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
