//! Every path of a store.

use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::durable::Disk;

/// The format version in `store.json`.
pub(crate) const VERSION: u32 = 1;

/// The paths below a store's root.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The store of a blob's file.
    pub(crate) fn of_blob(path: &Path) -> Self {
        Self::new(path.ancestors().nth(4).unwrap_or(path))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file that marks the folder as a store and states its version; written last when a store is created.
    pub(crate) fn marker(&self) -> PathBuf {
        self.root.join("store.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("store.lock")
    }

    /// The lock that a scrub holds.
    pub(crate) fn scrub_lock(&self) -> PathBuf {
        self.root.join("scrub.lock")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("airlock.db")
    }

    /// SQLite's write-ahead log; missing or empty after a clean shutdown.
    pub(crate) fn write_ahead(&self) -> PathBuf {
        self.root.join("airlock.db-wal")
    }

    /// SQLite's shared memory; its processes hold their locks on this file.
    pub(crate) fn shared_memory(&self) -> PathBuf {
        self.root.join("airlock.db-shm")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("names.log")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn algorithm(&self, algorithm: Algorithm) -> PathBuf {
        self.blobs().join(algorithm.as_str())
    }

    /// The folder of a blob: `blobs/<algorithm>/<first two hex digits>`.
    pub(crate) fn shard(&self, digest: &Digest) -> PathBuf {
        self.algorithm(digest.algorithm()).join(&digest.hex()[..2])
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.shard(digest).join(digest.hex())
    }

    /// Temporary files and upload sessions.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Interrupted downloads.
    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.partials().join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    /// The folder for files that do not hash to their names.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// The 256 shard folders of each algorithm.
    pub(crate) fn shards(&self) -> impl Iterator<Item = PathBuf> + '_ {
        Algorithm::ALL.into_iter().flat_map(move |algorithm| {
            (0..=255_u8).map(move |byte| self.algorithm(algorithm).join(format!("{byte:02x}")))
        })
    }
}

/// The content of `store.json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) format: u32,
    /// Set during a rebuild: the database must not be used.
    #[serde(default)]
    pub(crate) rebuilding: bool,
}

impl Marker {
    pub(crate) fn write(layout: &Layout, disk: &Disk, rebuilding: bool) -> Result<()> {
        let marker = serde_json::to_vec(&Self { format: VERSION, rebuilding }).unwrap_or_default();
        disk.write_file(&layout.marker(), &marker)
    }
}
