//! The on-media format, without I/O. `docs/bundle-format.md` describes it for people.
//!
//! A set is one or more volumes, each a plain POSIX tar file. Every volume begins with the same head: a volume
//! header, the manifest, its signature. Then come the manifest's entries, in its order, cut where a volume is
//! full, and two zero blocks. The manifest fixes all of it, so that a reader makes the expected bytes of every
//! tar header itself and compares: nothing that a hostile tar says is ever followed.
//!
//! - [`manifest`]: what the signed manifest says, and the checks on it
//! - [`layout`]: which bytes of which entry stand where
//! - [`tar`]: headers as bytes, and what is wrong with one that differs
//! - [`head`]: the first entries of every volume

pub mod error;
pub mod head;
pub mod layout;
pub mod manifest;
pub mod tar;

pub use error::Error;
pub use manifest::{BundleManifest, Encoding, Entry, EntryKind, Extent};

/// What must not be exceeded by something read from a medium.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a manifest; 64 MiB unless changed.
    pub manifest: u64,
    /// Entries of a manifest; 1,000,000.
    pub entries: usize,
    /// Volumes of a set; 9,999.
    pub volumes: u32,
    /// The logarithm of the largest zstd window in bytes; 23, which is 8 MiB. airlock itself writes windows of
    /// 2 MiB.
    pub window_log: u32,
    /// Bytes of a log's files; 1 GiB.
    pub log: u64,
    /// Entries of a log; 67,108,864.
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
