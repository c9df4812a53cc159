//! `airlock.lock`: every reference of a mirror file, settled to digests. The same lock and the same store give
//! the same volumes.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use error_class::{Class, Classified};
use oci::{Digest, MediaType, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

/// The version of the format. Version 1 did not declare what is absent.
pub const VERSION: u32 = 2;

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
    /// Manifests of EKS that were taken without a check of their signatures, as the mirror file declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<String>,
    /// The mirror file, relative to the lock's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Bundles that were made here and are in no mirror file.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub made: BTreeSet<Digest>,
    /// Signatures, attestations and SBOMs that were left out: broken ones, and those that their registry did not have,
    /// where the mirror file tolerates that.
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

/// Something about an image that is listed, and missing or broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unavailable {
    /// The image, as the mirror file or a chart names it.
    pub image: String,
    /// The manifest that is left out; of one that only a tag names, what it is about.
    pub digest: Digest,
    /// What is wrong with it; none where its registry does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { image, digest, broken } = self;
        match broken {
            None => write!(
                formatter,
                "{image}: `{digest}` is listed, but its registry does not have it, or not all of it; it is left out"
            ),
            Some(why) => {
                write!(formatter, "{image}: something about it is broken and left out, `{digest}`: {why}")
            }
        }
    }
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
    /// Its blobs, as it lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<LockedBlob>,
    /// What it lists and what is not carried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
}

/// Something that a manifest lists and that is not carried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Absent {
    /// Its digest.
    pub digest: Digest,
    /// Why it is not carried.
    pub why: Absence,
}

/// Why something is not carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absence {
    /// The mirror file's `platforms` leave it out.
    Platform,
    /// The mirror file's `foreignLayers.absent` names it.
    Declared,
    /// Something about an image that is broken, or that the registry does not have, where the mirror file tolerates that.
    Unavailable,
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
    /// The lock is another mirror file's.
    #[error("the lock `{path}` belongs to another mirror file, {other}, and is not replaced")]
    Owner {
        /// The lock.
        path: String,
        /// Whose it is.
        other: String,
    },
    /// A newer program wrote it.
    #[error("the lock has version {0}, this program knows versions 1 to {VERSION}")]
    Version(u32),
}

impl Error {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Owner { .. } => Some(
                "give each mirror file a lock of its own by --lock FILE; if this one was renamed or moved, give --renamed once",
            ),
            Self::Malformed { .. } => {
                Some("bring the lock back from a backup; without one, remove it and run `airlock mirror`")
            }
            Self::Read { .. } | Self::Version(_) => None,
        }
    }
}

/// The mirror file as a lock names it: its path from the lock's folder, so that both may move together.
#[must_use]
pub fn file_of(lock: &Path, file: &Path) -> String {
    let whole =
        |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_default();
    let (folder, file) = (whole(private::folder_of(lock)), whole(file));
    let (from, to): (Vec<_>, Vec<_>) = (folder.components().collect(), file.components().collect());
    let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let up = from[common..].iter().map(|_| "..".to_owned());
    let down = to[common..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// When the file is missing, malformed or of a newer version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = || path.display().to_string();
        let bytes = input::read(path, input::MOST).map_err(|source| Error::Read { path: name(), source })?;
        let lock: Self =
            serde_json::from_slice(&bytes).map_err(|source| Error::Malformed { path: name(), source })?;
        if (1..=VERSION).contains(&lock.version) { Ok(lock) } else { Err(Error::Version(lock.version)) }
    }

    /// What was made here, in no mirror file, and added.
    pub fn made_here(&self) -> impl Iterator<Item = &LockedItem> {
        self.items.iter().filter(|item| item.kind == ItemKind::Bundle && self.made.contains(&item.digest))
    }

    /// That the lock is that of a mirror file of this name, which stands at `file` seen from the lock's folder. A lock
    /// of version 1 does not tell the file.
    ///
    /// # Errors
    /// When it is another's: it must not be replaced.
    pub fn check_owner(&self, path: &Path, name: &str, file: &str) -> Result<(), Error> {
        let other = (self.name != name).then(|| format!("`{}`", self.name));
        let other = other.or_else(|| {
            let known = self.file.as_ref().filter(|known| *known != file)?;
            Some(format!("`{}` in `{known}`", self.name))
        });
        other.map_or(Ok(()), |other| Err(Error::Owner { path: path.display().to_string(), other }))
    }

    /// The file's bytes: JSON, two blanks of indent, a line end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Whether a set may have this name: it becomes part of file names, on FAT too.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with(['.', '-'])
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Malformed { .. } | Self::Owner { .. } | Self::Version(_) => {
                Class::Usage
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d19_a_lock_knows_its_mirror_file_wherever_both_stand() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("x")).unwrap();
        for name in ["a.yaml", "x/a.yaml"] {
            std::fs::write(path(name), "").unwrap();
        }
        assert_eq!(file_of(&path("a.lock"), &path("a.yaml")), "a.yaml");
        assert_eq!(file_of(&path("a.lock"), &path("x/../a.yaml")), "a.yaml");
        assert_eq!(file_of(&path("x/a.lock"), &path("a.yaml")), "../a.yaml");
        assert_eq!(file_of(&path("a.lock"), &path("x/a.yaml")), "x/a.yaml");
        let lock: Lock =
            serde_json::from_str(r#"{"version":2,"name":"a","file":"a.yaml","items":[],"repositories":[]}"#)
                .unwrap();
        let check = |name, file| lock.check_owner(Path::new("airlock.lock"), name, file);
        assert!(check("a", "a.yaml").is_ok());
        assert!(check("b", "a.yaml").is_err() && check("a", "x/a.yaml").is_err());
    }
}
