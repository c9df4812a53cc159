//! Database queries, and the bounded cache of manifests.

use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use oci::{Digest, Manifest, MediaType, RepositoryName, Selector, Tag};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use crate::blob::BlobFile;
use crate::damage::{Identity, Inspector, Verdict};
use crate::layout::Layout;
use crate::recent::RecentRows;
use crate::schema::{has_column, name_holders};
use crate::{Error, Result};

/// The maximum total size of the cached manifests.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A manifest in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// Its digest.
    pub digest: Digest,
    /// The type it was pushed with.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub size: u64,
    /// Whether only the inbox has it: see [`crate::Store::inbox`].
    pub held: bool,
}

/// Connections for reading, opened when needed and kept for reuse.
pub(crate) struct Readers {
    inspector: Inspector,
    open: fn(&Layout) -> Result<Connection>,
    idle: Mutex<Vec<Connection>>,
    cache: Mutex<Cache>,
    recent: RecentRows,
}

#[derive(Default)]
struct Cache {
    manifests: HashMap<Digest, Manifest>,
    order: VecDeque<Digest>,
    bytes: usize,
}

impl Cache {
    fn insert(&mut self, digest: &Digest, manifest: &Manifest) {
        if self.manifests.insert(digest.clone(), manifest.clone()).is_none() {
            self.order.push_back(digest.clone());
            self.bytes += manifest.bytes().len();
        }
        while self.bytes > CACHE_BYTES {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(manifest) = self.manifests.remove(&oldest) {
                self.bytes -= manifest.bytes().len();
            }
        }
    }
}

impl Readers {
    pub(crate) fn new(inspector: Inspector, open: fn(&Layout) -> Result<Connection>) -> Self {
        let (idle, cache, recent) = (Mutex::default(), Mutex::default(), RecentRows::default());
        Self { inspector, open, idle, cache, recent }
    }

    /// Hashes a blob, and returns whether an intact one exists.
    pub(crate) fn verify(&self, digest: &Digest) -> Result<bool> {
        match BlobFile::open(self.inspector.layout(), digest)? {
            Some(blob) => Ok(self.inspector.inspect(digest, &blob.file, &mut |_| true)? == Verdict::Sound),
            None => Ok(false),
        }
    }

    /// A blob's open file; `None` if it does not exist, is damaged, or may not be read.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        let mut blob = match BlobFile::open(self.inspector.layout(), digest) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                self.inspector.cannot_open(digest, &source);
                return Ok(None);
            }
            opened => match opened? {
                Some(blob) => blob,
                None => return Ok(None),
            },
        };
        let verdict = self.inspector.verdict(digest, &blob)?;
        blob.hashed = verdict == Verdict::Sound;
        Ok(verdict.is_usable().then_some(blob))
    }

    /// See [`crate::damage`].
    pub(crate) fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    /// See [`Inspector::record_hashed`].
    pub(crate) fn record_hashed(&self, digest: &Digest, identity: Identity) {
        self.inspector.record_hashed(digest, identity);
    }

    pub(crate) fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let layout = self.inspector.layout();
        let connection = match idle {
            Some(connection) => connection,
            None => (self.open)(layout).map_err(|error| name_holders(layout, error))?,
        };
        let result = query(&connection).map_err(|error| name_holders(layout, error));
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    pub(crate) fn repositories(
        &self,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<RepositoryName>> {
        self.with(|c| {
            let present = present(c)?;
            let sql =
                format!("SELECT name FROM repositories WHERE name > ?1 {present} ORDER BY name LIMIT ?2");
            all(c, &sql, params![after.unwrap_or(""), to_limit(limit)], |row| parsed(row, 0))
        })
    }

    pub(crate) fn repository_exists(&self, repository: &RepositoryName) -> Result<bool> {
        self.with(|c| {
            let sql = format!("SELECT 1 FROM repositories WHERE name = ?1 {}", present(c)?);
            Ok(c.prepare_cached(&sql)?.exists([repository.as_str()])?)
        })
    }

    pub(crate) fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<(Tag, Digest)>> {
        let sql =
            "SELECT tag, digest FROM tags WHERE repository = (SELECT id FROM repositories WHERE name = ?1)
                   AND tag > ?2 ORDER BY tag LIMIT ?3";
        let parameters = params![repository.as_str(), after.unwrap_or(""), to_limit(limit)];
        self.with(|c| all(c, sql, parameters, |row| Ok((parsed(row, 0)?, parsed(row, 1)?))))
    }

    pub(crate) fn resolve(
        &self,
        repository: &RepositoryName,
        selector: &Selector,
    ) -> Result<Option<ManifestRow>> {
        if let Some(row) = self.recent.recall(repository, selector) {
            return Ok(Some(row));
        }
        let sql = match selector {
            Selector::Tag(_) => {
                "SELECT m.digest, m.media_type, m.size, 0 FROM repositories r JOIN tags t ON t.repository = r.id
                 JOIN manifests m ON m.repository = r.id AND m.digest = t.digest WHERE r.name = ?1 AND t.tag = ?2"
            }
            Selector::Digest(_) => {
                "SELECT m.digest, m.media_type, m.size, EXISTS (SELECT 1 FROM inbox i
                   WHERE i.repository = r.id AND i.digest = m.digest AND i.held) FROM repositories r
                 JOIN manifests m ON m.repository = r.id WHERE r.name = ?1 AND m.digest = ?2"
            }
        };
        let before = self.recent.version(|| (self.open)(self.inspector.layout()));
        let row = self.with(|c| {
            Ok(all(c, sql, params![repository.as_str(), selector.to_string()], manifest_row)?.pop())
        })?;
        if let Some(row) = &row {
            self.recent.keep(before, repository, selector, row);
        }
        Ok(row)
    }

    /// A manifest's row and bytes, if both are in memory and current.
    pub(crate) fn recall(
        &self,
        repository: &RepositoryName,
        selector: &Selector,
    ) -> Option<(ManifestRow, Bytes)> {
        let row = self.recent.recall(repository, selector)?;
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let manifest = cache.manifests.get(&row.digest)?;
        let bytes = (*manifest.media_type() == row.media_type).then(|| manifest.bytes().clone())?;
        Some((row, bytes))
    }

    pub(crate) fn manifests(&self, repository: &RepositoryName) -> Result<Vec<ManifestRow>> {
        let sql = "SELECT digest, media_type, size, EXISTS (SELECT 1 FROM inbox i
                     WHERE i.repository = manifests.repository AND i.digest = manifests.digest AND i.held) FROM manifests
                   WHERE repository = (SELECT id FROM repositories WHERE name = ?1) ORDER BY digest";
        self.with(|c| all(c, sql, params![repository.as_str()], manifest_row))
    }

    pub(crate) fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Manifest>> {
        let Some(row) = self.resolve(repository, &Selector::Digest(digest.clone()))? else { return Ok(None) };
        let cached = {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.manifests.get(digest).filter(|cached| *cached.media_type() == row.media_type).cloned()
        };
        if cached.is_some() {
            return Ok(cached);
        }
        let Some(blob) = self.blob(digest)? else { return Ok(None) };
        let manifest = read_manifest(self.inspector.layout(), digest, blob, Some(&row.media_type))?;
        // A manifest is small, so it is hashed once more before it is cached.
        if Digest::of(digest.algorithm(), manifest.bytes()) != *digest {
            return Ok(None);
        }
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, &manifest);
        Ok(Some(manifest))
    }

    pub(crate) fn blob_in(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<u64>> {
        let sql = "SELECT size FROM blobs
                   WHERE repository = (SELECT id FROM repositories WHERE name = ?1) AND digest = ?2";
        let parameters = params![repository.as_str(), digest.to_string()];
        self.with(|c| Ok(c.prepare_cached(sql)?.query_row(parameters, |row| size(row, 0)).optional()?))
    }

    /// Whether a row names the blob; a named blob is durable.
    pub(crate) fn is_named(&self, digest: &Digest) -> Result<bool> {
        let sql = "SELECT 1 FROM blobs WHERE digest = ?1 UNION ALL SELECT 1 FROM manifests WHERE digest = ?1";
        self.with(|c| Ok(c.prepare_cached(sql)?.exists([digest.to_string()])?))
    }

    /// Whether it is a manifest of a repository, or a manifest of a repository lists it.
    pub(crate) fn is_needed(&self, digest: &Digest) -> Result<bool> {
        let sql = "SELECT 1 FROM manifests WHERE digest = ?1 UNION ALL
                   SELECT 1 FROM edges e JOIN manifests m ON m.digest = e.parent WHERE e.child = ?1";
        self.with(|c| Ok(c.prepare_cached(sql)?.exists([digest.to_string()])?))
    }

    pub(crate) fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<RepositoryName>> {
        let sql = "SELECT name FROM blobs JOIN repositories ON id = repository WHERE digest = ?1 LIMIT ?2";
        self.with(|c| all(c, sql, params![digest.to_string(), to_limit(Some(limit))], |row| parsed(row, 0)))
    }

    pub(crate) fn blob_is_referenced(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        let sql = "SELECT 1 FROM edges e JOIN manifests m ON m.digest = e.parent
                   WHERE e.child = ?2 AND m.repository = (SELECT id FROM repositories WHERE name = ?1)";
        self.with(|c| Ok(c.prepare_cached(sql)?.exists(params![repository.as_str(), digest.to_string()])?))
    }

    pub(crate) fn note(&self, name: &str) -> Result<Option<u64>> {
        let sql = "SELECT value FROM notes WHERE name = ?1";
        self.with(|c| {
            // A store that was last written by an older version lacks this table.
            if !c.table_exists(None, "notes")? {
                return Ok(None);
            }
            Ok(c.prepare_cached(sql)?.query_row([name], |row| size(row, 0)).optional()?)
        })
    }

    pub(crate) fn notes(&self, prefix: &str) -> Result<Vec<(String, u64)>> {
        let sql = "SELECT name, value FROM notes WHERE substr(name, 1, length(?1)) = ?1 ORDER BY name";
        self.with(|c| {
            if !c.table_exists(None, "notes")? {
                return Ok(Vec::new());
            }
            all(c, sql, [prefix], |row| Ok((row.get(0)?, size(row, 1)?)))
        })
    }

    pub(crate) fn manifests_naming(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<Digest>> {
        let sql = "SELECT m.digest FROM edges e JOIN manifests m ON m.digest = e.parent
                   WHERE e.child = ?2 AND m.repository = (SELECT id FROM repositories WHERE name = ?1)
                   ORDER BY m.digest LIMIT ?3";
        let parameters = params![repository.as_str(), digest.to_string(), to_limit(Some(limit))];
        self.with(|c| all(c, sql, parameters, |row| parsed(row, 0)))
    }
}

/// The condition for repositories that were not removed. A store that was last written by an older version has no others.
pub(crate) fn present(connection: &Connection) -> Result<&'static str> {
    Ok(if has_column(connection, "repositories", "removed")? { "AND NOT removed" } else { "" })
}

/// Reads a manifest's bytes from its blob file.
pub(crate) fn read_manifest(
    layout: &Layout,
    digest: &Digest,
    mut blob: BlobFile,
    kind: Option<&MediaType>,
) -> Result<Manifest> {
    let path = layout.blob(digest);
    let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or(0));
    blob.file.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
    Ok(Manifest::parse(Bytes::from(bytes), kind)?)
}

/// Runs a query and collects its rows.
pub(crate) fn all<T, P: Params>(
    connection: &Connection,
    sql: &str,
    parameters: P,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Reads a column and parses it.
pub(crate) fn parsed<T>(row: &Row<'_>, column: usize) -> Result<T>
where
    T: FromStr<Err = oci::Error>,
{
    let text: String = row.get(column)?;
    Ok(text.parse()?)
}

pub(crate) fn size(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|size| u64::try_from(size).unwrap_or(0))
}

fn manifest_row(row: &Row<'_>) -> Result<ManifestRow> {
    let (digest, media_type) = (parsed(row, 0)?, parsed(row, 1)?);
    Ok(ManifestRow { digest, media_type, size: size(row, 2)?, held: row.get(3)? })
}

pub(crate) fn to_limit(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
