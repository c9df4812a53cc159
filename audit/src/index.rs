//! The search index: a database in the log's folder that can be rebuilt from the log's entries, and is never trusted.
//!
//! Every event that a search returns was read from the log and proved; a wrong index could only omit events. To prevent
//! that, the log's own key seals the file each time it is written (`seal`). An index that does not match its seal or the
//! log is not used: it is kept as `index.refused` for an investigation, and rebuilt. An index whose update was interrupted
//! is rebuilt without a warning. The file is `index.sqlite` in the log's folder; [`crate::verify`] compares it row by row.

mod seal;

use std::fs;
use std::path::{Path, PathBuf};

use private::{Holders, Locked, PATIENCE};
use rusqlite::types::Value;
use rusqlite::{
    Connection, OptionalExtension as _, Transaction, TransactionBehavior, params, params_from_iter,
};
use tlog::{Checkpoint, Folder, Hash};

use crate::{Error, Event, Filter, Reader, Result};

const NAME: &str = "index.sqlite";
const REFUSED: &str = "index.refused";

const SCHEMA: &str = "
    CREATE TABLE meta (origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL);
    CREATE TABLE events (
        idx INTEGER PRIMARY KEY, time TEXT NOT NULL, event TEXT NOT NULL, result TEXT NOT NULL,
        actor TEXT, object TEXT NOT NULL
    );
    CREATE TABLE digests (digest TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (digest, idx)) WITHOUT ROWID;
    CREATE INDEX digests_idx ON digests (idx);
    CREATE INDEX events_time ON events (time);
    CREATE INDEX events_event ON events (event);
    CREATE INDEX events_actor ON events (actor);
    CREATE INDEX events_object ON events (object);
    PRAGMA user_version = 1;";

const CANDIDATES: &str = "
    CREATE TEMP TABLE IF NOT EXISTS candidates (idx INTEGER PRIMARY KEY);
    DELETE FROM candidates;";

/// The number of candidates that are read at once.
const PAGE: i64 = 1000;

/// An index that is up to date with its reader's checkpoint.
pub struct Index {
    /// `None` if nothing can be written: then a search reads the log.
    connection: Option<Connection>,
    /// The reason why an older index was replaced, if it did not match.
    refused: Option<&'static str>,
    /// Whether the index was rebuilt because its last update was interrupted.
    interrupted: bool,
}

impl Index {
    /// The path of the index.
    #[must_use]
    pub fn path(log: &Path) -> PathBuf {
        log.join(NAME)
    }

    /// Opens the index and adds the new events of the log. If it cannot be written, no index is used, and searches read the
    /// log.
    ///
    /// # Errors
    /// [`Error::Index`], or an error of the log.
    pub fn open(reader: &Reader) -> Result<Self> {
        let path = Self::path(reader.path());
        // Without the lock, two processes would mistake each other's changes for those of another program.
        let lock = seal::lock(reader.path())?;
        let writable = lock.is_some() && seal::can_write(reader);
        let interrupted = seal::is_interrupted(reader.path());
        if interrupted {
            if !writable {
                return Ok(Self::none());
            }
            Self::remove(&path)?;
        }
        let exists = path.exists();
        let matches_seal = exists && seal::matches(reader, &path);
        if !matches_seal && !writable {
            return Ok(Self::none());
        }
        if exists && !matches_seal {
            return Self::replace(
                reader,
                "its seal is missing or does not match, so another program wrote to it",
            );
        }
        match Self::open_current(reader, writable) {
            Ok(Opened::Index(index)) => Ok(Self { interrupted, ..index }),
            Ok(Opened::Unwritable) => Ok(Self::none()),
            Ok(Opened::Unusable(reason)) => Self::replace(reader, reason),
            Err(Error::Index { source, .. }) if is_damage(&source) => Self::replace(reader, "it is damaged"),
            Err(Error::Index { source, .. }) if is_unwritable(&source) => Ok(Self::none()),
            Err(error) => Err(error),
        }
    }

    /// Opens the file and adds the events that it lacks.
    fn open_current(reader: &Reader, writable: bool) -> Result<Opened> {
        let path = Self::path(reader.path());
        let failed = |source| failure(&path, source);
        let may_begin = || writable && seal::begin(reader.path()).is_ok();
        let is_new = !path.exists();
        if is_new && !may_begin() {
            return Ok(Opened::Unwritable);
        }
        let mut connection = Self::connect(&path).map_err(failed)?;
        let state = state(&connection).map_err(failed)?;
        let is_behind = state.is_none_or(|state| state.size < reader.size());
        if is_behind && !is_new && !may_begin() {
            return Ok(Opened::Unwritable);
        }
        match catch_up(&mut connection, reader)? {
            CatchUp::Updated => update_seal(&connection, reader)?,
            CatchUp::Current => {}
            CatchUp::Unusable(reason) => return Ok(Opened::Unusable(reason)),
        }
        Ok(Opened::Index(Self { connection: Some(connection), refused: None, interrupted: false }))
    }

    /// Moves the index aside and builds another one.
    fn replace(reader: &Reader, reason: &'static str) -> Result<Self> {
        let path = Self::path(reader.path());
        private::rename(&path, &reader.path().join(REFUSED)).map_err(Error::io("move aside", &path))?;
        Self::remove(&path)?;
        match Self::open_current(reader, true)? {
            Opened::Index(index) => Ok(Self { refused: Some(reason), ..index }),
            Opened::Unwritable | Opened::Unusable(_) => Ok(Self { refused: Some(reason), ..Self::none() }),
        }
    }

    /// Removes the index with the database's other files: the journal of one index would be replayed into the next.
    fn remove(path: &Path) -> Result<()> {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", Path::new(&name))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an update of the index of the log at `log` was interrupted, or is in progress.
    pub(crate) fn is_interrupted(log: &Path) -> bool {
        seal::is_interrupted(log)
    }

    /// Rebuilds the index.
    ///
    /// # Errors
    /// Like [`Self::open`].
    pub fn rebuild(reader: &Reader) -> Result<Self> {
        Self::remove(&Self::path(reader.path()))?;
        Self::open(reader)
    }

    /// The reason why an older index was moved aside.
    #[must_use]
    pub fn refused(&self) -> Option<&'static str> {
        self.refused
    }

    /// Whether the index was rebuilt because its last update was interrupted, for example by a power cut.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The newest events that may match a filter, in the order of the log; `None` without an index. Only the events
    /// themselves show whether they match.
    pub(crate) fn candidates(&self, filter: &Filter, below: u64) -> Result<Option<Candidates<'_>>> {
        let Some(connection) = &self.connection else { return Ok(None) };
        let (sql, values) = filter.sql(below);
        let fill = || {
            connection.execute_batch(CANDIDATES)?;
            connection.execute(&format!("INSERT INTO candidates {sql}"), params_from_iter(values))
        };
        fill().map_err(|source| failure(Path::new(NAME), source))?;
        Ok(Some(Candidates(connection)))
    }

    fn none() -> Self {
        Self { connection: None, refused: None, interrupted: false }
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        if !path.exists() {
            // SQLite would create it with the permissions that the umask leaves, and uses its permissions for its other files. If
            // this fails, SQLite fails too, with an error.
            let _ = private::create(path);
        }
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        let version = |connection: &Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        if version(&connection)? == 0 {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have created the schema in the meantime.
            if version(&transaction)? == 0 {
                transaction.execute_batch(SCHEMA)?;
            }
            transaction.commit()?;
        }
        Ok(connection)
    }
}

/// Found entries, in a temporary table that SQLite moves to a file when it grows. The index itself is not locked while they
/// are read.
pub(crate) struct Candidates<'a>(&'a Connection);

impl Candidates<'_> {
    /// Passes each candidate to `take`.
    pub(crate) fn each(&self, take: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let mut next = i64::MIN;
        loop {
            let page = self.page(next).map_err(|source| failure(Path::new(NAME), source))?;
            let Some(last) = page.last() else { return Ok(()) };
            next = last.saturating_add(1);
            for index in page.into_iter().filter_map(|index| u64::try_from(index).ok()) {
                take(index)?;
            }
        }
    }

    fn page(&self, next: i64) -> rusqlite::Result<Vec<i64>> {
        let mut statement =
            self.0.prepare_cached("SELECT idx FROM candidates WHERE idx >= ?1 ORDER BY idx LIMIT ?2")?;
        statement.query_map(params![next, PAGE], |row| row.get(0))?.collect()
    }
}

/// Seals the file with the log's key in its current state.
fn update_seal(connection: &Connection, reader: &Reader) -> Result<()> {
    let path = Index::path(reader.path());
    match state(connection).map_err(|source| failure(&path, source))? {
        Some(state) => seal::write(reader, &path, (state.size, state.root)),
        None => seal::remove(reader.path()),
    }
    Ok(())
}

/// Adds the new events, unless the index does not belong to this log's history.
fn catch_up(connection: &mut Connection, reader: &Reader) -> Result<CatchUp> {
    let failed = |source| failure(&Index::path(reader.path()), source);
    let state = state(connection).map_err(failed)?;
    let of_log = |state: &&IndexState| state.origin == reader.checkpoint().origin;
    if let Some(state) = state.as_ref().filter(of_log).filter(|state| state.size >= reader.size()) {
        return Ok(compare_to_log(state, reader));
    }
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
    let begin = match self::state(&transaction).map_err(failed)? {
        None => 0,
        Some(state) if state.origin != reader.checkpoint().origin => {
            return Ok(CatchUp::Unusable("it belongs to another log"));
        }
        Some(state) if state.size >= reader.size() => return Ok(compare_to_log(&state, reader)),
        Some(state) if reader.root(state.size)? != state.root => {
            return Ok(CatchUp::Unusable("it belongs to another history of this log"));
        }
        Some(state) => state.size,
    };
    let mut outcome = Ok(());
    reader.entries(begin, &mut |index, entry| {
        if outcome.is_ok()
            && let Ok(event) = Event::parse(entry)
        {
            outcome = add(&transaction, index, &event);
        }
    })?;
    outcome.map_err(failed)?;
    let checkpoint = reader.checkpoint();
    let write_state = || {
        transaction.execute("DELETE FROM meta", [])?;
        let size = i64::try_from(checkpoint.size).unwrap_or(i64::MAX);
        let values = params![checkpoint.origin, size, checkpoint.root.as_bytes()];
        transaction.execute("INSERT INTO meta (origin, size, root) VALUES (?1, ?2, ?3)", values)
    };
    write_state().map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(CatchUp::Updated)
}

/// Compares the log with an index that has at least the reader's entries: other processes may have logged events since the
/// reader was opened.
fn compare_to_log(state: &IndexState, reader: &Reader) -> CatchUp {
    let checkpoint = reader.checkpoint();
    if state.size == checkpoint.size && state.root != checkpoint.root {
        return CatchUp::Unusable("it belongs to another history of this log");
    }
    let now = || Checkpoint::read(&Folder::checkpoint(reader.path()).ok()?).ok();
    if state.size > checkpoint.size && now().is_none_or(|now| now.size < state.size) {
        return CatchUp::Unusable("it has more entries than the log, which was truncated");
    }
    CatchUp::Current
}

/// The result of opening the file.
enum Opened {
    /// The index is up to date with the reader.
    Index(Index),
    /// The index must be updated, but cannot be written.
    Unwritable,
    /// The index cannot be used, for this reason.
    Unusable(&'static str),
}

/// The result of updating an index.
enum CatchUp {
    /// It was up to date already.
    Current,
    /// Events were added.
    Updated,
    /// The index cannot be used, for this reason.
    Unusable(&'static str),
}

/// The part of a log's history that an index contains.
pub(crate) struct IndexState {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

pub(crate) fn state(connection: &Connection) -> rusqlite::Result<Option<IndexState>> {
    let query = "SELECT origin, size, root FROM meta";
    let row = |row: &rusqlite::Row<'_>| {
        let size = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok(IndexState { origin: row.get(0)?, size, root: Hash::from_bytes(row.get::<_, [u8; 32]>(2)?) })
    };
    connection.query_row(query, [], row).optional()
}

fn add(transaction: &Transaction<'_>, index: u64, event: &Event) -> rusqlite::Result<()> {
    let index = i64::try_from(index).unwrap_or(i64::MAX);
    let mut insert = transaction.prepare_cached(
        "INSERT INTO events (idx, time, event, result, actor, object) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (kind, result) = (event.event.name(), event.outcome.result.name());
    insert.execute(params![index, event.time, kind, result, event.actor.user, event.object.name])?;
    let mut digest =
        transaction.prepare_cached("INSERT OR IGNORE INTO digests (digest, idx) VALUES (?1, ?2)")?;
    for name in &event.object.digests {
        digest.execute(params![name, index])?;
    }
    Ok(())
}

/// The error for a failure of the database, with the processes that lock it.
pub(crate) fn failure(path: &Path, source: rusqlite::Error) -> Error {
    if source.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) {
        return Error::Index { path: path.to_owned(), source };
    }
    let holders = Holders::of(&[path]);
    Error::Locked(Locked { path: path.to_owned(), seconds: PATIENCE.as_secs(), holders })
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TypeMismatch};
    match error {
        rusqlite::Error::SqliteFailure(failure, Some(text)) => {
            matches!(failure.code, DatabaseCorrupt | NotADatabase | TypeMismatch)
                || text.starts_with("no such table")
                || text.starts_with("no such column")
                || failure.code == rusqlite::ErrorCode::ConstraintViolation
        }
        rusqlite::Error::SqliteFailure(failure, None) => {
            matches!(failure.code, DatabaseCorrupt | NotADatabase)
        }
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => true,
        _ => false,
    }
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
}

/// An integer as the value of a query.
pub(crate) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
