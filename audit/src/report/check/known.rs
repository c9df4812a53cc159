//! What the log said up to now, in the period or not.
//!
//! Digests and locks are remembered in a table of SQLite's that has no name: a few of them stay in memory, and where
//! there are many it is a temporary file.

use std::cell::{OnceCell, RefCell};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SOURCE, is_good};
use crate::{Ending, Error, Event, EventType, Result};

/// How much of the table is held in memory, in KiB, as SQLite takes it.
const SETTINGS: &str = "
    PRAGMA cache_size = -8192;
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE seen (what INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (what, name)) WITHOUT ROWID;
    CREATE TABLE waiting (leaf INTEGER NOT NULL, digest TEXT NOT NULL);
    BEGIN;";

/// What was seen.
#[derive(Clone, Copy)]
enum What {
    /// A digest that was verified.
    Verified = 0,
    /// The lock of something that was mirrored.
    Mirrored = 1,
}

/// What the log said up to now.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The first leaf's kind.
    first: Option<EventType>,
    /// How many registries are open.
    open: u64,
    table: OnceCell<Connection>,
    failed: RefCell<Option<rusqlite::Error>>,
}

impl Known {
    /// Takes a leaf, after the checks have looked at it; all leaves come in order.
    pub(crate) fn take(&mut self, index: u64, event: &Event) {
        if index == 0 {
            self.first = Some(event.event);
        }
        if is_good(event) {
            for digest in &event.object.digests {
                self.remember(What::Verified, digest);
            }
        }
        let done = event.outcome.result == Ending::Success;
        match event.event {
            EventType::Mirror if done => {
                let locks = SOURCE.iter().filter_map(|name| event.evidence.get(*name));
                locks.for_each(|lock| self.remember(What::Mirrored, lock));
            }
            EventType::ServeStart if done => self.open += 1,
            EventType::ServeStop => self.open = self.open.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether the log begins as it must.
    pub(super) fn begins(&self) -> bool {
        self.first == Some(EventType::LogStart)
    }

    /// Whether a registry is open.
    pub(super) fn is_open(&self) -> bool {
        self.open > 0
    }

    /// Whether a digest was verified.
    pub(super) fn was_verified(&self, digest: &str) -> bool {
        self.has(What::Verified, digest)
    }

    /// Whether something was mirrored with this lock.
    pub(super) fn was_mirrored(&self, lock: &str) -> bool {
        self.has(What::Mirrored, lock)
    }

    /// That all could be remembered.
    pub(crate) fn check(&self) -> Result<()> {
        self.failed.take().map_or(Ok(()), |source| Err(Error::Scratch(source)))
    }

    /// Keeps that a push counts only once all its digests are verified.
    pub(super) fn wait(&self, leaf: u64, digests: &[String]) {
        self.with_table(|table| {
            let mut insert = table.prepare_cached("INSERT INTO waiting (leaf, digest) VALUES (?1, ?2)")?;
            digests
                .iter()
                .try_for_each(|digest| insert.execute(params![leaf.cast_signed(), digest]).map(drop))
        });
    }

    /// The pushes that waited, and some digest of which was never verified, in order.
    pub(super) fn never_verified(&self, mut each: impl FnMut(u64)) {
        if self.table.get().is_none() {
            return;
        }
        self.with_table(|table| {
            let mut select = table.prepare(
                "SELECT DISTINCT leaf FROM waiting
                 WHERE digest NOT IN (SELECT name FROM seen WHERE what = ?1) ORDER BY leaf",
            )?;
            let mut rows = select.query(params![What::Verified as i64])?;
            while let Some(row) = rows.next()? {
                each(row.get::<_, i64>(0)?.cast_unsigned());
            }
            Ok(())
        });
    }

    fn remember(&self, what: What, name: &str) {
        self.with_table(|table| {
            let mut insert =
                table.prepare_cached("INSERT OR IGNORE INTO seen (what, name) VALUES (?1, ?2)")?;
            insert.execute(params![what as i64, name]).map(drop)
        });
    }

    fn has(&self, what: What, name: &str) -> bool {
        if self.table.get().is_none() {
            return false;
        }
        let found = self.with_table(|table| {
            let mut select = table.prepare_cached("SELECT 1 FROM seen WHERE what = ?1 AND name = ?2")?;
            select.query_row(params![what as i64, name], |_| Ok(())).optional()
        });
        found.flatten().is_some()
    }

    /// Does something with the table, which is made when it is needed. A failure is kept for [`Self::check`].
    fn with_table<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        let opened = || {
            let table = Connection::open("")?;
            table.execute_batch(SETTINGS)?;
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
