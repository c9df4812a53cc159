//! The content of sources: images and files, from EKS manifests and plain lists.

pub mod archive;
mod chart;
mod eks;
mod file;
mod render;
pub mod url;

use bytes::Bytes;
use oci::{Digest, Manifest, Reference, RepositoryName, Tag};

pub(crate) use self::chart::archive_name;
pub use self::chart::chart_config;
pub use self::eks::{bundle_wants, release_wants, verified};
pub use self::file::{FILE_TYPE, artifact, chart_artifact, named_after};
pub(crate) use self::file::{tag_of, title_of};
pub use self::render::ChartImages;
pub use self::url::FileUrl;
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
