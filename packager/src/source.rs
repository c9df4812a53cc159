//! What sources name: images and files, from EKS manifests and plain lists.

mod chart;
mod eks;
mod file;

use oci::{Digest, Manifest, Reference, RepositoryName, Tag};

pub use self::chart::chart_config;
pub use self::eks::{bundle_wants, release_wants};
pub(crate) use self::file::tag_of;
pub use self::file::{artifact, chart_artifact, named_after};
use crate::config::Location;
use crate::lock::ItemKind;

/// One thing to mirror.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Something that is in a registry already.
    Image {
        /// What it is.
        kind: ItemKind,
        /// Where.
        reference: Reference,
    },
    /// A file that becomes an artifact.
    File {
        /// How the mirror file names it.
        source: String,
        /// Where it is, overrides applied.
        location: Location,
        /// What it must hash to.
        checksums: Vec<Digest>,
        /// Where it goes.
        repository: RepositoryName,
        /// Under which tag.
        tag: Tag,
    },
    /// A packaged chart that becomes Helm's artifact.
    Chart {
        /// Where it is.
        path: std::path::PathBuf,
    },
}

impl Wanted {
    /// How the mirror file names it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Image { reference, .. } => reference.to_string(),
            Self::File { source, .. } => source.clone(),
            Self::Chart { path } => path.display().to_string(),
        }
    }
}

/// A manifest made here, with the small blob that it needs beside its layer.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration's bytes.
    pub config: Vec<u8>,
}
