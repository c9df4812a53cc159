//! The lock, `airlock.lock`, as a file: the digests that the references of a mirror file resolved to. The same lock and the
//! same store give the same volumes. `run/pins.rs` resolves references by it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use error_class::{Class, Classified};
use oci::{Digest, MediaType, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

/// The version of the format. Version 1 does not declare absent content.
pub const VERSION: u32 = 2;

/// A lock. All lists are sorted, so that equal content gives equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lock {
    /// [`VERSION`].
    pub version: u32,
    /// The mirror file's name.
    pub name: String,
    /// Whether signatures, attestations and SBOMs were mirrored.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub follow: bool,
    /// EKS manifests that were accepted without verification, as the mirror file declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<String>,
    /// The mirror file, relative to the lock's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Bundles that were made here and are in no mirror file.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub made: BTreeSet<Digest>,
    /// Signatures, attestations and SBOMs that were left out: broken ones and, if the mirror file allows that, those that
    /// their registry did not have.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unavailable: BTreeSet<Unavailable>,
    /// The items of the mirror file, in its order.
    pub items: Vec<LockedItem>,
    /// The resulting content, by repository.
    pub repositories: Vec<LockedRepository>,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_yes(yes: &bool) -> bool {
    *yes
}

/// A signature, attestation or SBOM that is listed, but missing or broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unavailable {
    /// The image, as written in the mirror file or in a chart.
    pub image: String,
    /// The manifest that is left out, or its subject if only a tag identifies the manifest.
    pub digest: Digest,
    /// Why it is broken; `None` if its registry does not have it.
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
            Some(reason) => write!(
                formatter,
                "{image}: `{digest}`, a signature, attestation or SBOM, is broken and left out: {reason}"
            ),
        }
    }
}

/// An item of the mirror file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedItem {
    /// Its kind.
    pub kind: ItemKind,
    /// Its name in the mirror file: a reference, a URL or a path.
    pub source: String,
    /// Its repository in the store.
    pub repository: RepositoryName,
    /// Its tag, unless it was requested by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Its manifest or index.
    pub digest: Digest,
    /// The platforms that were mirrored from an index; empty for all, and for content without platforms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// The size of all its manifests and blobs, in bytes.
    pub size: u64,
}

/// The kinds of items.
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

/// The content of a repository.
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

/// A manifest and its blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockedManifest {
    /// Its digest.
    pub digest: Digest,
    /// The media type to serve it under.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub size: u64,
    /// Its blobs, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<LockedBlob>,
    /// Content that it lists and that is not included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
}

/// Content that a manifest lists and that is not included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Absent {
    /// Its digest.
    pub digest: Digest,
    /// Why it is not included.
    pub why: Absence,
}

/// Why content is not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absence {
    /// It is not for one of the mirror file's `platforms`.
    Platform,
    /// The mirror file lists it in `foreignLayers.absent`.
    Declared,
    /// It is a signature, attestation or SBOM that is broken, or that its registry does not have and the mirror file
    /// allows to be missing.
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
    /// The digest that it points to.
    pub digest: Digest,
}

/// An error in reading a lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the lock `{path}`")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a lock.
    #[error("`{path}` is not an airlock lock")]
    Malformed {
        /// The file.
        path: String,
        /// The position and the cause.
        #[source]
        source: serde_json::Error,
    },
    /// The lock belongs to another mirror file.
    #[error("the lock `{path}` belongs to another mirror file, {other}, and is not replaced")]
    Owner {
        /// The lock.
        path: String,
        /// The other mirror file.
        other: String,
    },
    /// A newer version of this program wrote the lock.
    #[error("the lock has version {0}, this program supports versions 1 to {VERSION}")]
    Version(u32),
}

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Owner { .. } => Some(
                "give each mirror file its own lock with --lock FILE; if this one was renamed or moved, run once with --renamed",
            ),
            Self::Malformed { .. } => {
                Some("restore the lock from a backup; without one, remove it and run `airlock mirror`")
            }
            Self::Read { .. } | Self::Version(_) => None,
        }
    }
}

/// The path of the mirror file relative to the lock's folder, so that both can be moved together; `-` for a pipe, which has
/// another path in each run.
#[must_use]
pub fn file_of(lock: &Path, file: &Path) -> String {
    if file.exists() && !file.is_file() {
        return "-".to_owned();
    }
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
        let bytes =
            input::read(path, input::MAX_SIZE).map_err(|source| Error::Read { path: name(), source })?;
        let lock: Self =
            serde_json::from_slice(&bytes).map_err(|source| Error::Malformed { path: name(), source })?;
        if (1..=VERSION).contains(&lock.version) { Ok(lock) } else { Err(Error::Version(lock.version)) }
    }

    /// The bundles that were made here, are in no mirror file, and were added.
    pub fn made_here(&self) -> impl Iterator<Item = &LockedItem> {
        self.items.iter().filter(|item| item.kind == ItemKind::Bundle && self.made.contains(&item.digest))
    }

    /// Checks that the lock belongs to the mirror file of this name, whose path relative to the lock's folder is `file`.
    /// A lock of version 1 does not state the file.
    ///
    /// # Errors
    /// When it belongs to another mirror file: it must not be replaced then.
    pub fn check_owner(&self, path: &Path, name: &str, file: &str) -> Result<(), Error> {
        let other = (self.name != name).then(|| format!("`{}`", self.name));
        let other = other.or_else(|| {
            let known = self.file.as_ref().filter(|known| *known != file)?;
            Some(format!("`{}` in `{known}`", self.name))
        });
        other.map_or(Ok(()), |other| Err(Error::Owner { path: path.display().to_string(), other }))
    }

    /// The file's bytes: JSON, indented by two spaces, with a final newline.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// Whether this is a valid name of a set: it is part of file names, also on FAT.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with(['.', '-'])
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Malformed { .. } | Self::Owner { .. } | Self::Version(_) => Class::Usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d19_a_lock_identifies_its_mirror_file_by_relative_path() {
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
