//! Where to look: a database beside the log that can be made again from its entries, and is never believed.
//!
//! Every event that a search gives was read from the log and proved; a wrong index could only leave one out. So that it
//! does not, the log's own key seals the file each time it is written (`seal`), and what does not fit its seal or the log
//! is not asked: it is kept as `index.refused` for whoever asks why, and made anew. One whose update was interrupted is made
//! anew without a word about others. The file is `index.sqlite` in the log's folder; [`crate::verify`] compares it row by row.

mod seal;

use std::fs;
use std::path::{Path, PathBuf};

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

/// How long another process may hold the index.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// An index that is as far as its reader's checkpoint.
pub struct Index {
    connection: Connection,
    /// Why it was made anew, if an older one did not fit.
    refused: Option<&'static str>,
    /// Whether it was made anew because the last update was interrupted.
    interrupted: bool,
}

impl Index {
    /// The index's file.
    #[must_use]
    pub fn path(log: &Path) -> PathBuf {
        log.join(NAME)
    }

    /// Opens the index and adds what is new in the log. Where it cannot be written it is made in memory.
    ///
    /// # Errors
    /// [`Error::Index`], or what is wrong with the log.
    pub fn open(reader: &Reader) -> Result<Self> {
        let path = Self::path(reader.path());
        // Two processes must not take each other's changes for a stranger's.
        let held = seal::lock(reader.path());
        let writable = held.is_some() && seal::can_write(reader);
        let interrupted = seal::is_interrupted(reader.path());
        if interrupted {
            if !writable {
                return Self::in_memory(reader);
            }
            Self::remove(&path)?;
        }
        let is_there = path.exists();
        let fits = is_there && seal::fits(reader, &path);
        if !fits && !writable {
            return Self::in_memory(reader);
        }
        if is_there && !fits {
            return Self::anew(reader, "its seal is not there or does not fit: something else wrote to it");
        }
        match Self::connected(reader, writable) {
            Ok(Connected::Index(index)) => Ok(Self { interrupted, ..index }),
            Ok(Connected::Unwritable) => Self::in_memory(reader),
            Ok(Connected::Other(why)) => Self::anew(reader, why),
            Err(Error::Index { source, .. }) if is_damage(&source) => Self::anew(reader, "it is damaged"),
            Err(Error::Index { source, .. }) if is_unwritable(&source) => Self::in_memory(reader),
            Err(error) => Err(error),
        }
    }

    /// Opens the file and brings it up to date, if it is behind.
    fn connected(reader: &Reader, writable: bool) -> Result<Connected> {
        let path = Self::path(reader.path());
        let failed = |source| Error::Index { path: path.clone(), source };
        let may_begin = || writable && seal::begin(reader.path()).is_ok();
        let is_new = !path.exists();
        if is_new && !may_begin() {
            return Ok(Connected::Unwritable);
        }
        let connection = Self::connect(&path).map_err(failed)?;
        let known = known(&connection).map_err(failed)?;
        let is_behind = known.is_none_or(|known| known.size < reader.size());
        if is_behind && !is_new && !may_begin() {
            return Ok(Connected::Unwritable);
        }
        let mut index = Self { connection, refused: None, interrupted: false };
        match index.catch_up(reader)? {
            Caught::More => Ok(Connected::Index(index.sealed(reader)?)),
            Caught::Up => Ok(Connected::Index(index)),
            Caught::Other(why) => Ok(Connected::Other(why)),
        }
    }

    /// Puts the index aside and makes another one.
    fn anew(reader: &Reader, why: &'static str) -> Result<Self> {
        let path = Self::path(reader.path());
        fs::rename(&path, reader.path().join(REFUSED)).map_err(Error::io("put aside", &path))?;
        Self::remove(&path)?;
        match Self::connected(reader, true)? {
            Connected::Index(index) => Ok(Self { refused: Some(why), ..index }),
            Connected::Unwritable | Connected::Other(_) => Self::in_memory(reader),
        }
    }

    /// Removes the index with what the database keeps beside it: the journal of one would be played back into the next.
    fn remove(path: &Path) -> Result<()> {
        for end in ["", "-journal", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            match fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", Path::new(&name))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an update of the index of the log at `log` was interrupted, or is under way.
    pub(crate) fn is_interrupted(log: &Path) -> bool {
        seal::is_interrupted(log)
    }

    /// Has the log's key say that the file is as it was left.
    fn sealed(self, reader: &Reader) -> Result<Self> {
        let path = Self::path(reader.path());
        let known = known(&self.connection).map_err(|source| Error::Index { path: path.clone(), source })?;
        match known {
            Some(known) => seal::write(reader, &path, (known.size, known.root)),
            None => seal::remove(reader.path()),
        }
        Ok(self)
    }

    /// Makes the index anew, whatever is there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn rebuild(reader: &Reader) -> Result<Self> {
        Self::remove(&Self::path(reader.path()))?;
        Self::open(reader)
    }

    /// Why an older index was put aside.
    #[must_use]
    pub fn refused(&self) -> Option<&'static str> {
        self.refused
    }

    /// Whether it was made anew because the last update was interrupted, as by a power cut.
    #[must_use]
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The indexes of the newest events that may fit a filter, in the order of the log. Whether they fit is told by
    /// the events themselves.
    pub(crate) fn candidates(&self, filter: &Filter, below: u64) -> Result<Vec<u64>> {
        let (sql, values) = filter.sql(below);
        let query = || {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))?;
            rows.collect::<rusqlite::Result<Vec<i64>>>()
        };
        let found = query().map_err(|source| Error::Index { path: PathBuf::from(NAME), source })?;
        Ok(found.into_iter().rev().filter_map(|index| u64::try_from(index).ok()).collect())
    }

    fn in_memory(reader: &Reader) -> Result<Self> {
        let failed = |source| Error::Index { path: PathBuf::from(":memory:"), source };
        let connection = Connection::open_in_memory().map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        let mut index = Self { connection, refused: None, interrupted: false };
        index.catch_up(reader)?;
        Ok(index)
    }

    fn connect(path: &Path) -> rusqlite::Result<Connection> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        let version = |connection: &Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        if version(&connection)? == 0 {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have been faster.
            if version(&transaction)? == 0 {
                transaction.execute_batch(SCHEMA)?;
            }
            transaction.commit()?;
        }
        Ok(connection)
    }

    /// Adds what is new. Says why not, if the index is not of this log's history.
    fn catch_up(&mut self, reader: &Reader) -> Result<Caught> {
        let failed = |source| Error::Index { path: Self::path(reader.path()), source };
        let known = known(&self.connection).map_err(failed)?;
        let of_log = |known: &&Known| known.origin == reader.checkpoint().origin;
        if let Some(known) = known.as_ref().filter(of_log).filter(|known| known.size >= reader.size()) {
            return Ok(Self::is_ahead(known, reader));
        }
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(failed)?;
        let begin = match self::known(&transaction).map_err(failed)? {
            None => 0,
            Some(known) if known.origin != reader.checkpoint().origin => {
                return Ok(Caught::Other("it is of another log"));
            }
            Some(known) if known.size >= reader.size() => return Ok(Self::is_ahead(&known, reader)),
            Some(known) if reader.root(known.size)? != known.root => {
                return Ok(Caught::Other("it is of another history of this log"));
            }
            Some(known) => known.size,
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
        let noted = || {
            transaction.execute("DELETE FROM meta", [])?;
            let size = i64::try_from(checkpoint.size).unwrap_or(i64::MAX);
            let values = params![checkpoint.origin, size, checkpoint.root.as_bytes()];
            transaction.execute("INSERT INTO meta (origin, size, root) VALUES (?1, ?2, ?3)", values)
        };
        noted().map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Caught::More)
    }
}

impl Index {
    /// An index that is as far as its reader, or further: others may have logged since the reader looked.
    fn is_ahead(known: &Known, reader: &Reader) -> Caught {
        let checkpoint = reader.checkpoint();
        if known.size == checkpoint.size && known.root != checkpoint.root {
            return Caught::Other("it is of another history of this log");
        }
        let now = || Checkpoint::read(&Folder::checkpoint(reader.path()).ok()?).ok();
        if known.size > checkpoint.size && now().is_none_or(|now| now.size < known.size) {
            return Caught::Other("it knows more than the log has, which was cut back");
        }
        Caught::Up
    }
}

/// What became of opening the file.
enum Connected {
    /// It is as far as the reader.
    Index(Index),
    /// It would have to be written to, and cannot.
    Unwritable,
    /// It cannot be used, because of this.
    Other(&'static str),
}

/// What became of bringing an index up to date.
enum Caught {
    /// It was.
    Up,
    /// It was written to.
    More,
    /// It cannot be, because of this.
    Other(&'static str),
}

/// How far an index is.
pub(crate) struct Known {
    pub(crate) origin: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

pub(crate) fn known(connection: &Connection) -> rusqlite::Result<Option<Known>> {
    let query = "SELECT origin, size, root FROM meta";
    let row = |row: &rusqlite::Row<'_>| {
        let size = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok(Known { origin: row.get(0)?, size, root: Hash::from_bytes(row.get::<_, [u8; 32]>(2)?) })
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

/// A number for a query.
pub(crate) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
