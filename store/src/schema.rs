//! The database's tables, and opening connections.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use private::{Holders, Locked, PATIENCE};
use rusqlite::{Connection, OpenFlags};

use crate::layout::Layout;
use crate::{Error, Result, health, quota};

/// `edges` belongs to a manifest's content, not to a repository: a manifest names the same content everywhere. A repository
/// that was removed keeps its row for the history of its tags.
pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS repositories (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, removed INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS manifests (
  repository INTEGER NOT NULL REFERENCES repositories, digest TEXT NOT NULL, media_type TEXT NOT NULL,
  size INTEGER NOT NULL, artifact_type TEXT, subject TEXT, PRIMARY KEY (repository, digest)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS manifests_by_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
CREATE INDEX IF NOT EXISTS manifests_by_digest ON manifests (digest);
CREATE TABLE IF NOT EXISTS tags (
  repository INTEGER NOT NULL REFERENCES repositories, tag TEXT NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (repository, tag)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tags_by_digest ON tags (repository, digest);
CREATE TABLE IF NOT EXISTS tag_history (
  repository INTEGER NOT NULL REFERENCES repositories, tag TEXT NOT NULL, digest TEXT, at INTEGER NOT NULL,
  actor TEXT) STRICT;
CREATE INDEX IF NOT EXISTS tag_history_by_tag ON tag_history (repository, tag);
CREATE TABLE IF NOT EXISTS blobs (
  repository INTEGER NOT NULL REFERENCES repositories, digest TEXT NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_digest ON blobs (digest);
CREATE TABLE IF NOT EXISTS edges (
  parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS edges_by_child ON edges (child);
CREATE TABLE IF NOT EXISTS pushed (
  repository INTEGER NOT NULL REFERENCES repositories, named TEXT NOT NULL, pusher TEXT NOT NULL, manifest TEXT NOT NULL,
  things INTEGER NOT NULL, bytes INTEGER NOT NULL, turn INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (repository, named, pusher, manifest)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pushed_by_manifest ON pushed (repository, manifest);
CREATE TABLE IF NOT EXISTS leases (
  holder TEXT NOT NULL, digest TEXT NOT NULL, expires INTEGER NOT NULL,
  PRIMARY KEY (holder, digest)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_by_digest ON leases (digest);
CREATE TABLE IF NOT EXISTS wanted (
  host TEXT NOT NULL, repository TEXT NOT NULL, selector TEXT NOT NULL, first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL, count INTEGER NOT NULL, clients TEXT NOT NULL,
  PRIMARY KEY (host, repository, selector)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS wanted_by_last ON wanted (last_at);
CREATE TABLE IF NOT EXISTS inbox (
  repository INTEGER NOT NULL REFERENCES repositories, tag TEXT NOT NULL, digest TEXT NOT NULL, held INTEGER NOT NULL,
  bytes INTEGER NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL, actor TEXT,
  PRIMARY KEY (repository, tag)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inbox_by_digest ON inbox (repository, digest);
CREATE TABLE IF NOT EXISTS rules (
  id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS protected (
  repository TEXT NOT NULL, selector TEXT NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL,
  since INTEGER NOT NULL, PRIMARY KEY (repository, selector, source)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pulls (
  repository INTEGER NOT NULL REFERENCES repositories ON DELETE CASCADE, digest TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upkeep (
  kind TEXT PRIMARY KEY, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL, removed INTEGER NOT NULL,
  bytes INTEGER NOT NULL, milliseconds INTEGER NOT NULL, last_success INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Opens the connection for writing.
pub(crate) fn open_writer(layout: &Layout) -> Result<Connection> {
    let path = layout.database();
    // SQLite creates its other files with the mode of the database.
    private::open(OpenOptions::new().write(true).create(true).truncate(false), &path)
        .map_err(Error::io("create", &path))?;
    prepare(layout).map_err(|error| name_holders(layout, error))
}

/// Turns the error of a database that stays locked into one that names the holders of the lock.
pub(crate) fn name_holders(layout: &Layout, error: Error) -> Error {
    let Error::Database(source) = &error else { return error };
    if source.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) {
        return error;
    }
    let path = layout.database();
    let holders = Holders::of(&[&path, &layout.shared_memory()]);
    Error::Locked(Locked { path, seconds: PATIENCE.as_secs(), holders })
}

fn prepare(layout: &Layout) -> Result<Connection> {
    let connection = Connection::open(layout.database())?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let tables = format!("{TABLES} {} {}", health::TABLES, quota::TABLES);
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {tables} COMMIT;"))?;
    // Databases of earlier versions.
    if !has_column(&connection, "pushed", "turn")? {
        connection.execute_batch("ALTER TABLE pushed ADD COLUMN turn INTEGER NOT NULL DEFAULT 0")?;
    }
    if !has_column(&connection, "tag_history", "actor")? {
        connection.execute_batch("ALTER TABLE tag_history ADD COLUMN actor TEXT")?;
    }
    if !has_column(&connection, "repositories", "removed")? {
        connection.execute_batch("ALTER TABLE repositories ADD COLUMN removed INTEGER NOT NULL DEFAULT 0")?;
    }
    Ok(connection)
}

/// Whether a table has a column: databases of earlier versions lack some.
pub(crate) fn has_column(connection: &Connection, table: &str, column: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
    Ok(connection.prepare_cached(sql)?.exists([table, column])?)
}

/// Opens a connection for reading.
pub(crate) fn open_reader(layout: &Layout) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(layout.database(), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "query_only", "ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens a connection that needs no write permission.
pub(crate) fn open_read_only(layout: &Layout) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(layout.database(), flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(64);
    add_missing(&connection)?;
    Ok(connection)
}

/// Adds, for this connection only, a table that databases of earlier versions lack and that cannot be created in them.
fn add_missing(connection: &Connection) -> Result<()> {
    if !connection.table_exists(Some("main"), "inbox")? {
        connection.execute_batch(
            "PRAGMA temp_store = MEMORY;
             CREATE TEMP TABLE inbox (repository, tag, digest, held, bytes, at, expires, actor)",
        )?;
    }
    Ok(())
}

/// Checks that the database can be queried: SQLite opens it at the first query.
pub(crate) fn check_readable(connection: &Connection) -> Result<()> {
    Ok(connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?)
}

/// Opens a connection to a database that no process can change: SQLite then creates no other files and takes no locks.
pub(crate) fn open_immutable(layout: &Layout) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let mut uri = b"file:".to_vec();
    for byte in layout.database().into_os_string().into_encoded_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend(format!("%{byte:02X}").bytes()),
            _ => uri.push(byte),
        }
    }
    uri.extend(b"?immutable=1");
    let connection = Connection::open_with_flags(PathBuf::from(OsString::from_vec(uri)), flags)?;
    connection.set_prepared_statement_cache_capacity(64);
    add_missing(&connection)?;
    Ok(connection)
}
