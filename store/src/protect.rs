//! Protected names: what operators and clusters still need. Retention, the collection of untagged manifests, and removals
//! leave them in place.
//!
//! The rows are only in the database; a rebuild keeps them if it can read the old database.

use std::collections::BTreeSet;
use std::fmt;

use oci::{Digest, RepositoryName, Selector};
use rusqlite::{Connection, Row, params};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::apply::{execute, now, signed};
use crate::query::{Readers, all, parsed, size};
use crate::{Error, Result};

/// Who protects a name if no one else is named.
pub(crate) const OPERATOR: &str = "operator";

/// A protected name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag or manifest; none for the whole repository.
    pub selector: Option<Selector>,
    /// Who needs it: `operator`, or a cluster. Each source has its own list.
    pub source: String,
    /// Why.
    pub reason: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

impl Protection {
    /// A name that an operator protects from now on.
    #[must_use]
    pub fn new(repository: RepositoryName, selector: Option<Selector>, reason: String) -> Self {
        let since = u64::try_from(now()).unwrap_or(0);
        Self { repository, selector, source: OPERATOR.to_owned(), reason, since }
    }

    /// The protection of another source.
    #[must_use]
    pub fn by(self, source: String) -> Self {
        Self { source, ..self }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = &self.repository;
        match &self.selector {
            None => write!(f, "{repository}"),
            Some(Selector::Tag(tag)) => write!(f, "{repository}:{tag}"),
            Some(Selector::Digest(digest)) => write!(f, "{repository}@{digest}"),
        }
    }
}

impl Serialize for Protection {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Protection", 4)?;
        fields.serialize_field("name", &self.to_string())?;
        fields.serialize_field("source", &self.source)?;
        fields.serialize_field("reason", &self.reason)?;
        fields.serialize_field("since", &self.since)?;
        fields.end()
    }
}

/// Protects a name; replaces the same protection of the same source.
pub(crate) fn add(connection: &Connection, protection: &Protection) -> Result<()> {
    let Protection { repository, selector, source, reason, since } = protection;
    let sql = "INSERT OR REPLACE INTO protected (repository, selector, source, reason, since)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = params![repository.as_str(), text(selector.as_ref()), source, reason, signed(*since)];
    execute(connection, sql, row)
}

/// Ends a protection.
pub(crate) fn remove(
    connection: &Connection,
    repository: &RepositoryName,
    selector: Option<&Selector>,
    source: &str,
) -> Result<()> {
    let sql = "DELETE FROM protected WHERE repository = ?1 AND selector = ?2 AND source = ?3";
    execute(connection, sql, params![repository.as_str(), text(selector), source])
}

/// Replaces everything that a source protects. What it protected before keeps its time.
pub(crate) fn replace(connection: &Connection, source: &str, protections: &[Protection]) -> Result<()> {
    let known: Vec<Protection> = of(connection, "source = ?1", [source])?;
    execute(connection, "DELETE FROM protected WHERE source = ?1", [source])?;
    for new in protections {
        let same = |known: &&Protection| known.repository == new.repository && known.selector == new.selector;
        let since = known.iter().find(same).map_or(new.since, |known| known.since);
        add(connection, &Protection { since, source: source.to_owned(), ..new.clone() })?;
    }
    Ok(())
}

/// The protections that a removal would violate: of the name itself, of the whole repository, and of tags that are removed
/// with a manifest, or of everything in a repository that is removed.
pub(crate) fn of_removal(
    connection: &Connection,
    repository: &RepositoryName,
    selector: Option<&Selector>,
) -> Result<Vec<Protection>> {
    if !exist(connection)? {
        return Ok(Vec::new());
    }
    let name = repository.as_str();
    match selector {
        None => of(connection, "repository = ?1", [name]),
        Some(Selector::Tag(tag)) => {
            of(connection, "repository = ?1 AND selector IN ('', ?2)", [name, tag.as_str()])
        }
        Some(Selector::Digest(digest)) => {
            let condition = "repository = ?1 AND (selector IN ('', ?2) OR selector IN (SELECT tag FROM tags
                WHERE digest = ?2 AND tags.repository = (SELECT id FROM repositories WHERE name = ?1)))";
            of(connection, condition, [name, &digest.to_string()])
        }
    }
}

/// Fails if a removal would violate a protection.
pub(crate) fn check_removable(
    connection: &Connection,
    repository: &RepositoryName,
    selector: Option<&Selector>,
) -> Result<()> {
    match of_removal(connection, repository, selector)?.into_iter().next() {
        None => Ok(()),
        Some(protection) => Err(Error::Protected(Box::new(protection))),
    }
}

/// The manifests of a repository that protections keep.
pub(crate) fn roots(connection: &Connection, repository: &RepositoryName) -> Result<BTreeSet<Digest>> {
    if !exist(connection)? {
        return Ok(BTreeSet::new());
    }
    let name = repository.as_str();
    let sql = "WITH home AS (SELECT id FROM repositories WHERE name = ?1),
                    own AS (SELECT selector FROM protected WHERE repository = ?1)
               SELECT digest FROM manifests WHERE repository = (SELECT id FROM home)
                 AND (digest IN own OR EXISTS (SELECT 1 FROM own WHERE selector = ''))
               UNION SELECT digest FROM tags WHERE repository = (SELECT id FROM home) AND tag IN own";
    Ok(all(connection, sql, [name], |row| parsed(row, 0))?.into_iter().collect())
}

const COLUMNS: &str = "repository, selector, source, reason, since";

fn of<P: rusqlite::Params>(
    connection: &Connection,
    condition: &str,
    parameters: P,
) -> Result<Vec<Protection>> {
    let sql =
        format!("SELECT {COLUMNS} FROM protected WHERE {condition} ORDER BY repository, selector, source");
    all(connection, &sql, parameters, read)
}

fn read(row: &Row<'_>) -> Result<Protection> {
    let selector: String = row.get(1)?;
    let selector = if selector.is_empty() { None } else { Some(selector.parse()?) };
    let (source, reason) = (row.get(2)?, row.get(3)?);
    Ok(Protection { repository: parsed(row, 0)?, selector, source, reason, since: size(row, 4)? })
}

/// How a selector is stored; empty for the whole repository.
fn text(selector: Option<&Selector>) -> String {
    selector.map(ToString::to_string).unwrap_or_default()
}

/// All protections.
pub(crate) fn read_all(connection: &Connection) -> Result<Vec<Protection>> {
    if exist(connection)? { of(connection, "true", []) } else { Ok(Vec::new()) }
}

/// Whether there can be protections: a store that was last written by an older version lacks the table.
fn exist(connection: &Connection) -> Result<bool> {
    Ok(connection.table_exists(None, "protected")?)
}

impl Readers {
    pub(crate) fn protections(&self) -> Result<Vec<Protection>> {
        self.with(read_all)
    }
}
