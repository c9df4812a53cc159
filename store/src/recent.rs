//! Rows of manifests in memory, valid as long as no process changes the database.
//!
//! SQLite counts the changes of a database that a connection has seen (`PRAGMA data_version`). The connection here reads
//! that number before a row is used: a change that was acknowledged before is always seen, whichever process made it.
//! Reading it takes two short file locks and no disk access.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

use oci::{RepositoryName, Selector};
use rusqlite::Connection;

use crate::Result;
use crate::query::ManifestRow;

/// The maximum number of rows. When it is reached, all are dropped.
const MAX_ROWS: usize = 8192;

/// The rows that were used recently.
#[derive(Default)]
pub(crate) struct RecentRows(Mutex<Option<Rows>>);

struct Rows {
    connection: Connection,
    version: Version,
    by_name: HashMap<RepositoryName, HashMap<Selector, ManifestRow>>,
    count: usize,
}

/// A state of the database, as one connection counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(i64);

impl RecentRows {
    /// The row, if it is in memory and current. Never waits for another thread or process.
    pub(crate) fn recall(&self, repository: &RepositoryName, selector: &Selector) -> Option<ManifestRow> {
        let mut rows = match self.0.try_lock() {
            Ok(rows) => rows,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let rows = rows.as_mut()?;
        rows.refresh().ok()?;
        rows.by_name.get(repository)?.get(selector).cloned()
    }

    /// The state of the database before a query.
    pub(crate) fn version(&self, open: impl FnOnce() -> Result<Connection>) -> Option<Version> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.is_none() {
            *rows = Rows::new(open).ok();
        }
        rows.as_mut()?.refresh().ok()
    }

    /// Keeps the result of a query, unless the database has changed since the state `before` the query.
    pub(crate) fn keep(
        &self,
        before: Option<Version>,
        repository: &RepositoryName,
        selector: &Selector,
        row: &ManifestRow,
    ) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rows) = rows.as_mut() else { return };
        if before.is_none() || rows.refresh().ok() != before {
            return;
        }
        if rows.count >= MAX_ROWS {
            rows.clear();
        }
        let of_repository = rows.by_name.entry(repository.clone()).or_default();
        if of_repository.insert(selector.clone(), row.clone()).is_none() {
            rows.count += 1;
        }
    }
}

impl Rows {
    fn new(open: impl FnOnce() -> Result<Connection>) -> Result<Self> {
        let connection = open()?;
        connection.busy_timeout(Duration::ZERO)?;
        Ok(Self { version: version(&connection)?, connection, by_name: HashMap::new(), count: 0 })
    }

    /// Drops all rows if the database has changed, and returns its state.
    fn refresh(&mut self) -> Result<Version> {
        let current = version(&self.connection);
        if current.as_ref().ok() != Some(&self.version) {
            self.clear();
        }
        self.version = current?;
        Ok(self.version)
    }

    fn clear(&mut self) {
        self.by_name.clear();
        self.count = 0;
    }
}

fn version(connection: &Connection) -> Result<Version> {
    let mut statement = connection.prepare_cached("PRAGMA data_version")?;
    Ok(Version(statement.query_row([], |row| row.get(0))?))
}
