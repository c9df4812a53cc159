//! The store: one directory that `mirror` and `import` write, `pack` reads and `serve` serves.
//!
//! Blobs are files named by their digest; repositories, manifests, tags and referrers are rows of one SQLite
//! database. Several processes may have one store open. Everything here is synchronous.
//!
//! Invariants:
//! - A file below `blobs/` is complete, durable and hashes to its name: the only way there is write, fdatasync,
//!   rename, fsync of its folder ([`durable`]).
//! - A row that names a blob is committed only after that, in a transaction that finds the file in place. A call that
//!   returned `Ok` survives a power cut.
//! - The exception are small pushed blobs and short lines of the journal: the transaction that names them holds their bytes
//!   until their files are flushed (`unflushed`).
//! - A call to [`Store::commit`] is visible as a whole or not at all.
//! - A file that no row names may not be durable: [`Store::commit`] flushes it before it commits a row that does.
//! - A file that does not hash to its name is never returned: it is moved to `quarantine/`, and the next push, mirror or
//!   import restores it (`damage`).
//! - Only the holder of its exclusive lock publishes an upload or download (`exclusive`), as the file that was hashed.
//! - Folders have mode 0700 and files 0600 (crate `private`).
//! - The database can be rebuilt from the blobs and `names.log`, the journal of what blobs do not contain:
//!   repository names and tags.
//!
//! What a crash leaves: before the rename, a temporary file that the next open removes; after it, a blob that
//! nothing names, which garbage collection finds; after the journal line, a line that the next commit truncates; after the
//! commit, unflushed files, which the next open writes again.
//! Garbage collection removes rows first, so an interruption leaves files without rows, which the next run finds. It runs
//! while other processes use the store (`garbage`, `keep`).
//!
//! `bytes -> BlobWriter -> blobs/ -> Change* -> commit -> rows`

mod apply;
mod backup;
mod blob;
mod change;
mod check;
mod damage;
pub mod durable;
mod error;
mod exclusive;
mod garbage;
mod health;
mod history;
mod inbox;
mod journal;
mod keep;
mod layout;
mod open;
mod protect;
mod pulls;
mod pushed;
mod query;
mod quota;
mod reach;
mod reading;
mod rebuild;
mod recent;
mod referrers;
mod removal;
mod retention;
mod rules;
mod schema;
mod scrub;
mod store;
mod totals;
mod unflushed;
mod upkeep;
mod upload;
mod wanted;
mod why;
mod write_behind;
mod writer;

pub use apply::SizeMismatch;
pub use backup::{Backup, BackupMark, BackupReport, BlobCount, RestoreReport, copy_folder, restore};
pub use blob::{BlobFile, BlobHasher, BlobWriter, PartialBlob, UnhashedBlob};
pub use change::Change;
pub use check::{CheckFault, CheckReport};
pub use damage::Identity;
pub use error::Error;
pub use garbage::{Collected, GarbagePlan};
pub use health::{Damage, DamageKind, DamagedBlob, Health, HealthChange};
pub use history::TagChange;
pub use inbox::{InboxEntry, InboxLimits};
pub use private::{Holders, Locked, PATIENCE};
pub use protect::Protection;
pub use pulls::day_of;
pub use pushed::NamingLimits;
pub use query::ManifestRow;
pub use quota::{QuotaUsage, Usage};
pub use reach::Untagged;
pub use rebuild::RebuildReport;
pub use referrers::{PageLimits, ReferrerPage, ReferrerPosition, is_statement};
pub use retention::{ExpiredTag, RetentionRule, RetentionRules};
pub use rules::{QuotaRule, Rules, TagRule};
pub use scrub::{ScrubControl, ScrubReport};
pub use store::{ExpiredTags, Store};
pub use totals::Totals;
pub use upkeep::{Upkeep, UpkeepKind, UpkeepRun};
pub use upload::{Upload, UploadId, UploadLimits};
pub use wanted::{Wanted, WantedName};
pub use why::{Kept, LeaseRow, PathStep, Reason, Relation};
pub use write_behind::write_behind;

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// The progress of a walk over all blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes hashed.
    pub done: u64,
    /// Bytes to hash.
    pub total: u64,
}
