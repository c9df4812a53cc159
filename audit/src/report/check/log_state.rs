//! The state of the log before the current event, in the period or not.
//!
//! Digests and locks are recorded in an unnamed SQLite database: small ones stay in memory, large ones are moved to a
//! temporary file.

use std::cell::{OnceCell, RefCell};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SOURCE, is_verification};
use crate::{Ending, Error, Event, EventType, Result};

/// Creates the tables. `cache_size` limits the part in memory, in KiB.
const SCHEMA: &str = "
    PRAGMA cache_size = -8192;
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE seen (what INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (what, name)) WITHOUT ROWID;
    CREATE TABLE waiting (leaf INTEGER NOT NULL, digest TEXT NOT NULL);
    BEGIN;";

/// The kind of a recorded digest or lock.
#[derive(Clone, Copy)]
enum Seen {
    /// A digest that was verified.
    Verified = 0,
    /// The lock of a mirror run.
    Mirrored = 1,
}

/// The state of the log before the current event.
#[derive(Debug, Default)]
pub(crate) struct LogState {
    /// The event type of the first leaf.
    first: Option<EventType>,
    /// The number of running registries.
    running: u64,
    table: OnceCell<Connection>,
    failed: RefCell<Option<rusqlite::Error>>,
}

impl LogState {
    /// Takes the next leaf, after the checks have read it. All leaves must be passed in order.
    pub(crate) fn take(&mut self, index: u64, event: &Event) {
        if index == 0 {
            self.first = Some(event.event);
        }
        if is_verification(event) {
            for digest in &event.object.digests {
                self.record(Seen::Verified, digest);
            }
        }
        let succeeded = event.outcome.result == Ending::Success;
        match event.event {
            EventType::Mirror if succeeded => {
                let locks = SOURCE.iter().filter_map(|name| event.evidence.get(*name));
                locks.for_each(|lock| self.record(Seen::Mirrored, lock));
            }
            EventType::ServeStart if succeeded => self.running += 1,
            EventType::ServeStop => self.running = self.running.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether the log begins with its start event.
    pub(super) fn has_start(&self) -> bool {
        self.first == Some(EventType::LogStart)
    }

    /// Whether a registry is running.
    pub(super) fn is_serving(&self) -> bool {
        self.running > 0
    }

    /// Whether a digest was verified.
    pub(super) fn was_verified(&self, digest: &str) -> bool {
        self.has(Seen::Verified, digest)
    }

    /// Whether a mirror run with this lock was logged.
    pub(super) fn was_mirrored(&self, lock: &str) -> bool {
        self.has(Seen::Mirrored, lock)
    }

    /// Returns the first error of the database.
    pub(crate) fn check(&self) -> Result<()> {
        self.failed.take().map_or(Ok(()), |source| Err(Error::Scratch(source)))
    }

    /// Records that a push counts only if all its digests are verified later.
    pub(super) fn wait(&self, leaf: u64, digests: &[String]) {
        self.with_table(|table| {
            let mut insert = table.prepare_cached("INSERT INTO waiting (leaf, digest) VALUES (?1, ?2)")?;
            digests
                .iter()
                .try_for_each(|digest| insert.execute(params![leaf.cast_signed(), digest]).map(drop))
        });
    }

    /// Passes the recorded pushes with a digest that was never verified to `each`, in order.
    pub(super) fn never_verified(&self, mut each: impl FnMut(u64)) {
        if self.table.get().is_none() {
            return;
        }
        self.with_table(|table| {
            let mut select = table.prepare(
                "SELECT DISTINCT leaf FROM waiting
                 WHERE digest NOT IN (SELECT name FROM seen WHERE what = ?1) ORDER BY leaf",
            )?;
            let mut rows = select.query(params![Seen::Verified as i64])?;
            while let Some(row) = rows.next()? {
                each(row.get::<_, i64>(0)?.cast_unsigned());
            }
            Ok(())
        });
    }

    fn record(&self, what: Seen, name: &str) {
        self.with_table(|table| {
            let mut insert =
                table.prepare_cached("INSERT OR IGNORE INTO seen (what, name) VALUES (?1, ?2)")?;
            insert.execute(params![what as i64, name]).map(drop)
        });
    }

    fn has(&self, what: Seen, name: &str) -> bool {
        if self.table.get().is_none() {
            return false;
        }
        let found = self.with_table(|table| {
            let mut select = table.prepare_cached("SELECT 1 FROM seen WHERE what = ?1 AND name = ?2")?;
            select.query_row(params![what as i64, name], |_| Ok(())).optional()
        });
        found.flatten().is_some()
    }

    /// Runs `work` on the database, which is created on first use. An error is kept for [`Self::check`].
    fn with_table<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let opened = || {
            let table = Connection::open("")?;
            table.execute_batch(SCHEMA)?;
            rusqlite::Result::Ok(table)
        };
        let table = match self.table.get() {
            Some(table) => Ok(table),
            None => opened().map(|table| self.table.get_or_init(|| table)),
        };
        table.and_then(work).map_err(|error| self.fail(error)).ok()
    }

    fn fail(&self, error: rusqlite::Error) {
        self.failed.borrow_mut().get_or_insert(error);
    }
}
