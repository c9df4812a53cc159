//! When manifests were pulled last, to the day. A manifest has one row, which is written at most once a day; whoever
//! serves pulls collects them in memory first. The rows are only in the database.

use oci::{Digest, RepositoryName};
use rusqlite::{Connection, params};

use crate::Result;
use crate::apply::{execute, signed};

/// The seconds of a day.
const DAY: u64 = 24 * 3600;

/// The day of a time, as pulls are recorded: its first second.
#[must_use]
pub fn day_of(at: u64) -> u64 {
    at / DAY * DAY
}

/// The last second of a recorded day: the pull may have been as late as this.
pub(crate) fn end_of(day: u64) -> u64 {
    day + DAY - 1
}

/// Records pulls of a manifest on a day, if the repository has it.
pub(crate) fn record(
    connection: &Connection,
    repository: &RepositoryName,
    digest: &Digest,
    at: u64,
) -> Result<()> {
    let sql = "INSERT INTO pulls (repository, digest, at)
               SELECT repository, digest, ?3 FROM manifests
               WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND digest = ?2
               ON CONFLICT (repository, digest) DO UPDATE SET at = max(at, excluded.at)";
    execute(connection, sql, params![repository.as_str(), digest.to_string(), signed(day_of(at))])
}
