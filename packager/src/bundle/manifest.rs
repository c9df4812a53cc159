//! The manifest: the content of a set and its positions, under one signature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mirror::lock::is_name;
use mirror::lock::{Absent, LockedItem, LockedTag};
use oci::{Digest, MediaType, RepositoryName};
use serde::{Deserialize, Serialize};
use tlog::text::is_plain;

use super::{Error, Limits, extents};

/// The version of manifest and volumes. Version 1, which is still supported, does not declare absent content.
pub const VERSION: u32 = 2;

/// Whether this program supports the version.
#[must_use]
pub fn is_known(version: u32) -> bool {
    (1..=VERSION).contains(&version)
}

/// The maximum length of a log's name.
const MOST_LOG_NAME: usize = 1024;

/// The signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleManifest {
    /// [`VERSION`].
    pub version: u32,
    /// The mirror file's name; the volumes' names begin with it.
    pub name: String,
    /// The program that wrote it.
    pub created_by: String,
    /// The name of the sender's log, which is on the drive and has an entry for the set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The number of volumes in the set.
    pub volumes: u32,
    /// The items of the mirror file, for information.
    pub items: Vec<LockedItem>,
    /// The content that an import puts into each repository.
    pub repositories: Vec<BundleRepository>,
    /// All files of the set, in the order of the volumes.
    pub entries: Vec<Entry>,
}

/// A repository's manifests and tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundleRepository {
    /// Its name.
    pub name: RepositoryName,
    /// Its manifests; their bytes are entries.
    pub manifests: Vec<BundledManifest>,
    /// Its tags.
    pub tags: Vec<LockedTag>,
}

/// A manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BundledManifest {
    /// Its digest.
    pub digest: Digest,
    /// The media type to serve it under.
    pub media_type: MediaType,
    /// Content that it lists and that is not in the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
}

/// A file of the OCI layout on the volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The kind of file.
    pub kind: EntryKind,
    /// The digest of its content.
    pub digest: Digest,
    /// The size of its content.
    pub size: u64,
    /// The encoding of the content on the volumes.
    pub encoding: Encoding,
    /// The encoded size.
    pub encoded_size: u64,
    /// The SHA-256 digest of the encoded bytes, if they differ from the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded_digest: Option<Digest>,
    /// The positions of the bytes, in order.
    pub extents: Vec<Extent>,
}

/// The files of an OCI image layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// `oci-layout`.
    OciLayout,
    /// `index.json`.
    Index,
    /// `blobs/<algorithm>/<hex>`.
    Blob,
}

/// The encoding of content on volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Not encoded.
    Identity,
    /// As a zstd frame (RFC 8878).
    Zstd,
}

/// A piece of an entry on a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Extent {
    /// The volume, from 1.
    pub volume: u32,
    /// The offset of the first byte, from the end of the volume's head.
    pub offset: u64,
    /// The number of bytes.
    pub length: u64,
}

impl Entry {
    /// The file's name in the layout, after extraction and decompression.
    #[must_use]
    pub fn path(&self) -> String {
        match self.kind {
            EntryKind::OciLayout => "oci-layout".to_owned(),
            EntryKind::Index => "index.json".to_owned(),
            EntryKind::Blob => format!("blobs/{}/{}", self.digest.algorithm(), self.digest.hex()),
        }
    }

    /// The name of the tar entry with extent `number` (from 0).
    #[must_use]
    pub fn tar_name(&self, number: usize) -> String {
        let mut name = self.path();
        if self.encoding == Encoding::Zstd {
            name.push_str(".zst");
        }
        if self.extents.len() > 1 {
            let _ = write!(name, ".part-{:04}", number + 1);
        }
        name
    }
}

impl BundleManifest {
    /// The manifest's bytes, which are signed: compact JSON in a fixed order, and a final newline.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Parses a manifest and checks that airlock could have written it: even a signed manifest is not trusted blindly.
    ///
    /// # Errors
    /// When it is malformed, too large, or inconsistent.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(Error::ManifestJson)?;
        if !is_known(manifest.version) {
            return Err(Error::Inconsistent("its version is unknown"));
        }
        if !is_name(&manifest.name) {
            return Err(Error::Inconsistent("its name is not a valid file name"));
        }
        let too_many = |what, found: usize, limit: u64| Error::TooMany { what, found: found as u64, limit };
        if manifest.entries.len() > limits.entries {
            return Err(too_many("entries", manifest.entries.len(), limits.entries as u64));
        }
        if manifest.volumes == 0 || manifest.volumes > limits.volumes {
            return Err(too_many("volumes", manifest.volumes as usize, limits.volumes.into()));
        }
        if manifest.log.as_ref().is_some_and(|log| log.is_empty() || log.len() > MOST_LOG_NAME) {
            return Err(Error::Inconsistent("the name of its log is empty or too long"));
        }
        if !manifest.log.iter().chain([&manifest.created_by]).all(|name| is_plain(name)) {
            return Err(Error::Inconsistent("a name in it has non-printable characters"));
        }
        manifest.check_entries()?;
        manifest.check_repositories()?;
        extents::check_extents(&manifest)?;
        Ok(manifest)
    }

    /// The file name of a volume.
    #[must_use]
    pub fn volume_name(&self, volume: u32) -> String {
        format!("{}-{volume:03}-of-{:03}.tar", self.name, self.volumes)
    }

    /// The size of all content, each blob counted once.
    #[must_use]
    pub fn content_size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    fn check_entries(&self) -> Result<(), Error> {
        let sizes = self.entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.size));
        if sizes.is_none() {
            return Err(Error::Inconsistent("the total size of its entries is too large"));
        }
        let mut paths = BTreeSet::new();
        for entry in &self.entries {
            if !paths.insert(entry.path()) {
                return Err(Error::DuplicateInManifest(entry.path()));
            }
            let consistent = match entry.encoding {
                Encoding::Identity => entry.encoded_size == entry.size && entry.encoded_digest.is_none(),
                Encoding::Zstd => entry.encoded_digest.is_some(),
            };
            if !consistent {
                return Err(Error::Inconsistent("an entry's encoding and sizes do not match"));
            }
            let total = entry.extents.iter().try_fold(0_u64, |sum, extent| sum.checked_add(extent.length));
            if total != Some(entry.encoded_size) || entry.extents.is_empty() {
                return Err(Error::Inconsistent("an entry's extents do not add up to its size"));
            }
        }
        Ok(())
    }

    fn check_repositories(&self) -> Result<(), Error> {
        let blobs: BTreeMap<&Digest, u64> = self
            .entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Blob)
            .map(|entry| (&entry.digest, entry.size))
            .collect();
        let mut names = BTreeSet::new();
        for repository in &self.repositories {
            if !names.insert(&repository.name) {
                return Err(Error::DuplicateInManifest(repository.name.to_string()));
            }
            let manifests: BTreeSet<_> =
                repository.manifests.iter().map(|manifest| &manifest.digest).collect();
            if manifests.iter().any(|digest| !blobs.contains_key(*digest)) {
                return Err(Error::Inconsistent("a repository's manifest is not among the entries"));
            }
            if repository.tags.iter().any(|tag| !manifests.contains(&tag.digest)) {
                return Err(Error::Inconsistent("a tag points to a manifest that its repository lacks"));
            }
        }
        Ok(())
    }
}
