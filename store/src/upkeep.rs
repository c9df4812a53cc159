//! What maintenance of a store did, for its operator: how often it ran, and when it succeeded last. The rows are only in
//! the database.

use std::time::Duration;

use rusqlite::{Connection, params};
use serde::Serialize;

use crate::Result;
use crate::apply::{execute, now, signed};
use crate::query::{Readers, all, size};

/// A kind of maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpkeepKind {
    /// The removal of blobs that nothing needs.
    Gc,
    /// The removal of tags that no rule keeps.
    Retention,
}

impl UpkeepKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Gc, Self::Retention];

    /// The name, as in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gc => "gc",
            Self::Retention => "retention",
        }
    }
}

/// The result of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpkeepRun {
    /// What ran.
    pub kind: UpkeepKind,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// What it removed: blobs, or tags.
    pub removed: u64,
    /// The freed bytes.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// All runs of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// What ran.
    pub kind: UpkeepKind,
    /// How many runs succeeded.
    pub succeeded: u64,
    /// How many runs failed.
    pub failed: u64,
    /// What they removed: blobs, or tags.
    pub removed: u64,
    /// The freed bytes.
    pub bytes: u64,
    /// How long the last one took, in milliseconds.
    pub milliseconds: u64,
    /// When one succeeded last, in seconds since 1970; 0 if none did.
    pub last_success: u64,
}

/// Adds a run.
pub(crate) fn record(connection: &Connection, run: &UpkeepRun) -> Result<()> {
    let sql = "INSERT INTO upkeep (kind, succeeded, failed, removed, bytes, milliseconds, last_success)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (kind) DO UPDATE SET succeeded = succeeded + excluded.succeeded,
                 failed = failed + excluded.failed, removed = removed + excluded.removed,
                 bytes = bytes + excluded.bytes, milliseconds = excluded.milliseconds,
                 last_success = max(last_success, excluded.last_success)";
    let milliseconds = i64::try_from(run.took.as_millis()).unwrap_or(i64::MAX);
    let last = if run.succeeded { now() } else { 0 };
    let (removed, bytes) = (signed(run.removed), signed(run.bytes));
    let row = params![run.kind.name(), run.succeeded, !run.succeeded, removed, bytes, milliseconds, last];
    execute(connection, sql, row)
}

impl Readers {
    /// The runs of each kind that ever ran.
    pub(crate) fn upkeep(&self) -> Result<Vec<Upkeep>> {
        self.with(|c| {
            // A store that was last written by an older version lacks the table.
            if !c.table_exists(None, "upkeep")? {
                return Ok(Vec::new());
            }
            let sql =
                "SELECT kind, succeeded, failed, removed, bytes, milliseconds, last_success FROM upkeep";
            let rows = all(c, sql, [], |row| {
                let name: String = row.get(0)?;
                let kind = UpkeepKind::ALL.into_iter().find(|kind| kind.name() == name);
                let read = |kind| {
                    Ok::<_, rusqlite::Error>(Upkeep {
                        kind,
                        succeeded: size(row, 1)?,
                        failed: size(row, 2)?,
                        removed: size(row, 3)?,
                        bytes: size(row, 4)?,
                        milliseconds: size(row, 5)?,
                        last_success: size(row, 6)?,
                    })
                };
                Ok(kind.map(read).transpose()?)
            })?;
            Ok(rows.into_iter().flatten().collect())
        })
    }
}
