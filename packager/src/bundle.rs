//! The format on media, without I/O. `docs/bundle-format.md` describes it.
//!
//! A set is one or more volumes, each a plain POSIX tar file. Every volume begins with the same head: a volume
//! header, the manifest, and its signature. The manifest's entries follow in order, cut where a volume is full, and then
//! two zero blocks. The manifest determines all of this, so a reader computes the expected bytes of every tar header and
//! compares them: it never trusts a header of a hostile tar file.
//!
//! - [`manifest`]: the signed manifest, and the checks on it
//! - [`extents`]: the positions of entries on volumes
//! - [`tar`]: tar headers as bytes, and the diagnosis of headers that differ
//! - [`head`]: the first entries of every volume

pub mod error;
pub mod extents;
pub mod head;
pub mod manifest;
pub mod tar;

pub use error::Error;
pub use manifest::{BundleManifest, Encoding, Entry, EntryKind, Extent};

/// Limits for content that is read from a medium.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The size of a manifest in bytes. Default: 64 MiB.
    pub manifest: u64,
    /// The number of entries in a manifest. Default: 1,000,000.
    pub entries: usize,
    /// The number of volumes of a set. Default: 9,999.
    pub volumes: u32,
    /// The binary logarithm of the zstd window size in bytes. Default: 23, which is 8 MiB. airlock itself writes windows
    /// of 2 MiB.
    pub window_log: u32,
    /// The total size of a log's files in bytes. Default: 1 GiB.
    pub log: u64,
    /// The number of entries in a log. Default: 67,108,864.
    pub log_entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 64 << 20,
            entries: 1_000_000,
            volumes: 9_999,
            window_log: 23,
            log: 1 << 30,
            log_entries: 1 << 26,
        }
    }
}
