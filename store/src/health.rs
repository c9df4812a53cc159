//! What is known about the health of blobs: the damaged ones, and when each part of the store was last verified.
//!
//! A damaged blob has a row in `damaged` until its file is intact again or no repository needs it; whoever replaces the
//! file need not know about the row. The time of a verification is kept for each folder of blobs, and within the folder
//! that is being verified, for the blobs up to a position. Both tables are only in the database: a rebuild, which hashes
//! every blob, starts without them.

use std::collections::BTreeSet;
use std::fs;

use oci::{Algorithm, Digest, RepositoryName};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use crate::apply::{execute, now, signed};
use crate::damage::Identity;
use crate::layout::Layout;
use crate::query::{all, parsed, size};
use crate::reading::open_blob;
use crate::{Error, Result};

/// The tables of this module, in addition to those of the schema.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS damaged (
  digest TEXT PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, file TEXT) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verified (
  folder TEXT PRIMARY KEY, at INTEGER NOT NULL, position TEXT, began INTEGER) STRICT, WITHOUT ROWID;
";

/// The key in `meta` of the time when the unfinished pass began.
const UNFINISHED: &str = "scrub";
/// The number of folders of blobs.
const FOLDERS: usize = 256 * Algorithm::ALL.len();

/// What is wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// Its bytes do not hash to its digest. The file is in `quarantine/`.
    Content,
    /// It has no file.
    Missing,
    /// Something else is in the place of its file, such as a folder. It is in `quarantine/`.
    NotAFile,
    /// The system cannot read its file. The file stays, because its bytes may be intact.
    Unreadable,
}

impl DamageKind {
    const ALL: [Self; 4] = [Self::Content, Self::Missing, Self::NotAFile, Self::Unreadable];

    /// Its name in the database, in reports and in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Missing => "missing",
            Self::NotAFile => "not-a-file",
            Self::Unreadable => "unreadable",
        }
    }

    /// A description for people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Content => "its bytes do not match its digest; moved to `quarantine/`",
            Self::Missing => "its file is missing",
            Self::NotAFile => "its path is not a file; moved to `quarantine/`",
            Self::Unreadable => "its file cannot be read",
        }
    }
}

/// A damaged blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Its digest.
    pub digest: Digest,
    /// What is wrong.
    pub kind: DamageKind,
    /// When it was found, in seconds since 1970.
    pub at: u64,
    /// The state of an unreadable file.
    #[serde(skip)]
    pub(crate) file: Option<String>,
}

impl Damage {
    /// Damage that is found now.
    pub(crate) fn now(digest: &Digest, kind: DamageKind, file: Option<String>) -> Self {
        Self { digest: digest.clone(), kind, at: u64::try_from(now()).unwrap_or(0), file }
    }
}

/// A damaged blob that repositories need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedBlob {
    /// The damage.
    #[serde(flatten)]
    pub damage: Damage,
    /// The repositories that have it.
    pub repositories: Vec<RepositoryName>,
}

/// The health of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The damaged blobs, by digest.
    pub damaged: Vec<DamagedBlob>,
    /// Since when each blob was verified, in seconds since 1970; none if a part of the store was never scrubbed.
    pub verified: Option<u64>,
    /// When the unfinished scrub began, in seconds since 1970.
    pub unfinished: Option<u64>,
}

/// When the blobs of a folder were verified, in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FolderHealth {
    /// When the last verification of all its blobs began; 0 if never.
    pub(crate) at: u64,
    /// The unfinished verification: the last verified blob, and when it began.
    pub(crate) unfinished: Option<(String, u64)>,
}

/// A change of these tables.
#[derive(Clone, Debug)]
pub struct HealthChange(pub(crate) HealthRows);

#[derive(Clone, Debug)]
pub(crate) enum HealthRows {
    Damaged(Damage),
    Intact(Vec<Digest>),
    Verified(Vec<(String, FolderHealth)>),
    Began(u64),
    Completed,
}

/// Applies a change.
pub(crate) fn apply(connection: &Connection, HealthChange(rows): &HealthChange) -> Result<()> {
    match rows {
        HealthRows::Damaged(Damage { digest, kind, at, file }) => {
            // The time of the first finding stays.
            let sql =
                "INSERT INTO damaged (digest, kind, at, file) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (digest)
                       DO UPDATE SET at = iif(kind = excluded.kind, at, excluded.at), kind = excluded.kind,
                                     file = excluded.file";
            execute(connection, sql, params![digest.to_string(), kind.name(), signed(*at), file])
        }
        HealthRows::Intact(digests) => digests.iter().try_for_each(|digest| {
            execute(connection, "DELETE FROM damaged WHERE digest = ?1", [digest.to_string()])
        }),
        HealthRows::Verified(folders) => folders.iter().try_for_each(|(folder, health)| {
            let (position, began) = health.unfinished.clone().unzip();
            let sql = "INSERT OR REPLACE INTO verified (folder, at, position, began) VALUES (?1, ?2, ?3, ?4)";
            execute(connection, sql, params![folder, signed(health.at), position, began.map(signed)])
        }),
        HealthRows::Began(at) => {
            let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
            execute(connection, sql, params![UNFINISHED, signed(*at)])
        }
        HealthRows::Completed => execute(connection, "DELETE FROM meta WHERE key = ?1", [UNFINISHED]),
    }
}

/// When the unfinished pass began.
pub(crate) fn unfinished(connection: &Connection) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([UNFINISHED], |row| size(row, 0)).optional()?)
}

/// The health of the folders of blobs, by name.
pub(crate) fn folders(connection: &Connection) -> Result<Vec<(String, FolderHealth)>> {
    if !connection.table_exists(None, "verified")? {
        return Ok(Vec::new());
    }
    all(connection, "SELECT folder, at, position, began FROM verified", [], |row| {
        let unfinished = match row.get::<_, Option<String>>(2)? {
            Some(position) => Some((position, size(row, 3)?)),
            None => None,
        };
        Ok((row.get(0)?, FolderHealth { at: size(row, 1)?, unfinished }))
    })
}

/// All rows about damage, also about blobs that are intact again.
pub(crate) fn recorded(connection: &Connection) -> Result<Vec<Damage>> {
    // A store that was last written by an older version lacks the table.
    if !connection.table_exists(None, "damaged")? {
        return Ok(Vec::new());
    }
    all(connection, "SELECT digest, kind, at, file FROM damaged ORDER BY digest", [], damage)
}

/// The row about damage of a blob.
pub(crate) fn recorded_about(connection: &Connection, digest: &Digest) -> Result<Option<Damage>> {
    let sql = "SELECT digest, kind, at, file FROM damaged WHERE digest = ?1";
    Ok(all(connection, sql, [digest.to_string()], damage)?.pop())
}

fn damage(row: &Row<'_>) -> Result<Damage> {
    let name: String = row.get(1)?;
    let kind = DamageKind::ALL.into_iter().find(|kind| kind.name() == name);
    let unknown = || Error::Invalid(oci::Error::Reference(name.clone()));
    let kind = kind.ok_or_else(unknown)?;
    Ok(Damage { digest: parsed(row, 0)?, kind, at: size(row, 2)?, file: row.get(3)? })
}

/// Whether the file of a blob that was damaged is no longer the damaged one.
pub(crate) fn is_replaced(layout: &Layout, damage: &Damage) -> bool {
    let path = layout.blob(&damage.digest);
    match damage.kind {
        DamageKind::Content | DamageKind::Missing | DamageKind::NotAFile => {
            fs::metadata(&path).is_ok_and(|found| found.is_file())
        }
        DamageKind::Unreadable => {
            let identity = open_blob(&path).and_then(|file| Identity::of(&file));
            identity.is_ok_and(|identity| identity.is_file() && damage.file != Some(identity.text()))
        }
    }
}

/// The repositories that have a blob or a manifest.
pub(crate) fn repositories(connection: &Connection, digest: &Digest) -> Result<Vec<RepositoryName>> {
    let sql = "SELECT name FROM repositories WHERE id IN
                 (SELECT repository FROM manifests WHERE digest = ?1
                  UNION SELECT repository FROM blobs WHERE digest = ?1) ORDER BY name";
    all(connection, sql, [digest.to_string()], |row| parsed(row, 0))
}

/// The health of the store.
pub(crate) fn health(layout: &Layout, connection: &Connection) -> Result<Health> {
    let mut damaged = Vec::new();
    for damage in recorded(connection)? {
        if is_replaced(layout, &damage) {
            continue;
        }
        let repositories = repositories(connection, &damage.digest)?;
        if !repositories.is_empty() {
            damaged.push(DamagedBlob { damage, repositories });
        }
    }
    let folders = folders(connection)?;
    let oldest = folders.iter().map(|(_, folder)| folder.at).min().filter(|_| folders.len() >= FOLDERS);
    let verified = oldest.filter(|at| *at > 0).map(|at| at / 1000);
    Ok(Health { damaged, verified, unfinished: unfinished(connection)?.map(|at| at / 1000) })
}

/// The blobs and manifests of one folder that manifests of repositories need and that the store had.
pub(crate) fn needed_in(connection: &Connection, algorithm: Algorithm, byte: u8) -> Result<BTreeSet<Digest>> {
    let sql = "SELECT digest FROM manifests WHERE digest >= ?1 AND digest < ?2
               UNION SELECT b.digest FROM blobs b WHERE b.digest >= ?1 AND b.digest < ?2 AND EXISTS
                 (SELECT 1 FROM edges e JOIN manifests m ON m.digest = e.parent
                  WHERE e.child = b.digest AND m.repository = b.repository)";
    let first = format!("{algorithm}:{byte:02x}");
    // The letter after the last hex digit.
    let end = format!("{first}g");
    Ok(all(connection, sql, [first, end], |row| parsed(row, 0))?.into_iter().collect())
}

/// Whether a manifest of a repository needs a blob or a manifest that the store had.
pub(crate) fn is_needed(connection: &Connection, digest: &Digest) -> Result<bool> {
    let sql = "SELECT 1 FROM manifests WHERE digest = ?1
               UNION ALL SELECT 1 FROM blobs b WHERE b.digest = ?1 AND EXISTS
                 (SELECT 1 FROM edges e JOIN manifests m ON m.digest = e.parent
                  WHERE e.child = b.digest AND m.repository = b.repository)";
    Ok(connection.prepare_cached(sql)?.exists([digest.to_string()])?)
}
