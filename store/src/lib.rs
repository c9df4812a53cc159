//! The store: one directory that mirror fills, pack reads, import fills and serve serves.
//!
//! Blobs are files named by their digest; repositories, manifests, tags and referrers are rows of one SQLite
//! database. Several processes may have one store open. Everything here is synchronous.
//!
//! Invariants:
//! - A file below `blobs/` is complete, durable and hashes to its name: it gets there by write, fdatasync,
//!   rename, fsync of its folder ([`commit`]), never otherwise.
//! - A row that names a blob is committed only after that. A call that returned `Ok` survives a power cut.
//! - A call to [`Store::commit`] is visible as a whole or not at all.
//! - The database can be rebuilt from the blobs and `names.log`, the journal of what no blob knows:
//!   repository names and tags.
//!
//! What a crash leaves: before the rename, a temporary file that the next opening removes; after it, a blob
//! that nothing names, which garbage collection finds; after the journal line, a line that the next commit
//! cuts off.
//!
//! `bytes -> BlobWriter -> blobs/ -> Change* -> commit -> rows`

mod blob;
mod change;
mod check;
pub mod commit;
mod error;
mod garbage;
mod journal;
mod layout;
mod open;
mod query;
mod rebuild;
mod schema;
mod store;
mod upload;
mod write_behind;
mod writer;

pub use blob::{BlobFile, BlobHasher, BlobWriter, PartialBlob, UnhashedBlob};
pub use change::Change;
pub use check::{CheckReport, Fault};
pub use error::Error;
pub use garbage::{Collected, GarbagePlan};
pub use query::ManifestRow;
pub use rebuild::RebuildReport;
pub use store::Store;
pub use upload::{Upload, UploadId};
pub use write_behind::write_behind;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// How far a walk over all blobs has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes hashed.
    pub done: u64,
    /// Bytes to hash.
    pub total: u64,
}
