//! Manifests that clients asked for and that the store does not have.
//!
//! The rows are only in the database: they are no content, and `store rebuild` loses them. Their number is limited; the ones
//! that were not asked for the longest time are removed first.

use std::fmt;

use oci::{RegistryHost, RepositoryName, Selector};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Serialize, Serializer};

use crate::Result;
use crate::apply::signed;
use crate::query::{Readers, all, parsed, size};

/// The maximum number of rows.
const MOST: u64 = 10_000;

/// The maximum number of clients that are kept for one row.
const CLIENTS: usize = 4;

/// The name of a manifest that the store does not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WantedName {
    /// The upstream registry, if the client named one.
    pub host: Option<RegistryHost>,
    /// The repository in that registry, or in the store.
    pub repository: RepositoryName,
    /// The tag or digest.
    pub selector: Selector,
}

impl fmt::Display for WantedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        match &self.selector {
            Selector::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Selector::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

impl Serialize for WantedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Requests for a manifest that the store does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    /// The manifest.
    #[serde(rename = "reference")]
    pub name: WantedName,
    /// The time of the first request, in seconds since 1970.
    pub first: u64,
    /// The time of the last request.
    pub last: u64,
    /// The number of requests.
    pub count: u64,
    /// The first clients that asked.
    pub clients: Vec<String>,
}

impl Wanted {
    /// Adds later requests for the same manifest.
    pub fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
        for client in &other.clients {
            if self.clients.len() < CLIENTS && !self.clients.contains(client) {
                self.clients.push(client.clone());
            }
        }
    }
}

/// Adds requests to the row of their manifest, or adds a row.
pub(crate) fn record(connection: &Connection, wanted: &Wanted) -> Result<()> {
    let (host, repository, selector) = key(&wanted.name);
    let sql = format!("SELECT {COLUMNS} FROM wanted WHERE host = ?1 AND repository = ?2 AND selector = ?3");
    let found =
        connection.prepare_cached(&sql)?.query_row(params![host, repository, selector], |row| Ok(read(row)));
    let known = found.optional()?.transpose()?;
    let is_new = known.is_none();
    let mut whole = known.unwrap_or_else(|| Wanted { count: 0, clients: Vec::new(), ..wanted.clone() });
    whole.add(wanted);
    let sql = "INSERT OR REPLACE INTO wanted (host, repository, selector, first_at, last_at, count, clients)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    // A list of texts is always valid JSON.
    let clients = serde_json::to_string(&whole.clients).unwrap_or_default();
    let (first, last, count) = (signed(whole.first), signed(whole.last), signed(whole.count));
    let row = params![host, repository, selector, first, last, count, clients];
    connection.prepare_cached(sql)?.execute(row)?;
    if is_new { trim(connection, MOST) } else { Ok(()) }
}

fn trim(connection: &Connection, most: u64) -> Result<()> {
    let sql = "DELETE FROM wanted WHERE (host, repository, selector) IN (
                 SELECT host, repository, selector FROM wanted ORDER BY last_at
                 LIMIT max(0, (SELECT count(*) FROM wanted) - ?1))";
    connection.prepare_cached(sql)?.execute([signed(most)])?;
    Ok(())
}

/// Removes a row.
pub(crate) fn forget(connection: &Connection, name: &WantedName) -> Result<()> {
    let sql = "DELETE FROM wanted WHERE host = ?1 AND repository = ?2 AND selector = ?3";
    let (host, repository, selector) = key(name);
    connection.prepare_cached(sql)?.execute(params![host, repository, selector])?;
    Ok(())
}

/// The key of a row. A repository of the store itself has no host.
fn key(name: &WantedName) -> (&str, &str, String) {
    let host = name.host.as_ref().map_or("", RegistryHost::as_str);
    (host, name.repository.as_str(), name.selector.to_string())
}

const COLUMNS: &str = "host, repository, selector, first_at, last_at, count, clients";

fn read(row: &Row<'_>) -> Result<Wanted> {
    let (host, clients): (String, String) = (row.get(0)?, row.get(6)?);
    let host = if host.is_empty() { None } else { Some(host.parse()?) };
    let name = WantedName { host, repository: parsed(row, 1)?, selector: parsed(row, 2)? };
    Ok(Wanted {
        name,
        first: size(row, 3)?,
        last: size(row, 4)?,
        count: size(row, 5)?,
        // Only shown to users, so a damaged list is not an error.
        clients: serde_json::from_str(&clients).unwrap_or_default(),
    })
}

impl Readers {
    pub(crate) fn wanted(&self) -> Result<Vec<Wanted>> {
        let sql = format!("SELECT {COLUMNS} FROM wanted ORDER BY host, repository, selector");
        self.with(|c| if c.table_exists(None, "wanted")? { all(c, &sql, [], read) } else { Ok(Vec::new()) })
    }

    pub(crate) fn is_wanted(&self, name: &WantedName) -> Result<bool> {
        let sql = "SELECT 1 FROM wanted WHERE host = ?1 AND repository = ?2 AND selector = ?3";
        let (host, repository, selector) = key(name);
        self.with(|c| Ok(c.prepare_cached(sql)?.exists(params![host, repository, selector])?))
    }
}
