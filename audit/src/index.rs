//! Where to look: a database beside the log that can be made again from its entries, and is never believed.
//!
//! Every event that a search gives was read from the log and proved; a wrong index could only leave one out. So that it
//! does not, the log's own key seals the file each time it is written (`seal`), and what does not fit its seal or the log
//! is not asked: it is kept as `index.refused` for whoever asks why, and made anew. One whose update was interrupted is made
//! anew without a word about others. The file is `index.sqlite` in the log's folder; [`crate::verify`] compares it row by row.

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

/// Candidates that are looked at together.
const PAGE: i64 = 1000;

/// An index that is as far as its reader's checkpoint.
pub struct Index {
    /// None where nothing can be written: then the log is looked through.
    connection: Option<Connection>,
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

    /// Opens the index and adds what is new in the log. Where it cannot be written there is none, and searches read the log.
    ///
    /// # Errors
    /// [`Error::Index`], or what is wrong with the log.
    pub fn open(reader: &Reader) -> Result<Self> {
        let path = Self::path(reader.path());
        // Two processes must not take each other's changes for a stranger's.
        let held = seal::lock(reader.path())?;
        let writable = held.is_some() && seal::can_write(reader);
        let interrupted = seal::is_interrupted(reader.path());
        if interrupted {
            if !writable {
                return Ok(Self::none());
            }
            Self::remove(&path)?;
        }
        let is_there = path.exists();
        let fits = is_there && seal::fits(reader, &path);
        if !fits && !writable {
            return Ok(Self::none());
        }
        if is_there && !fits {
            return Self::anew(reader, "its seal is not there or does not fit: something else wrote to it");
        }
        match Self::connected(reader, writable) {
            Ok(Connected::Index(index)) => Ok(Self { interrupted, ..index }),
            Ok(Connected::Unwritable) => Ok(Self::none()),
            Ok(Connected::Other(why)) => Self::anew(reader, why),
            Err(Error::Index { source, .. }) if is_damage(&source) => Self::anew(reader, "it is damaged"),
            Err(Error::Index { source, .. }) if is_unwritable(&source) => Ok(Self::none()),
            Err(error) => Err(error),
        }
    }

    /// Opens the file and brings it up to date, if it is behind.
    fn connected(reader: &Reader, writable: bool) -> Result<Connected> {
        let path = Self::path(reader.path());
        let failed = |source| failure(&path, source);
        let may_begin = || writable && seal::begin(reader.path()).is_ok();
        let is_new = !path.exists();
        if is_new && !may_begin() {
            return Ok(Connected::Unwritable);
        }
        let mut connection = Self::connect(&path).map_err(failed)?;
        let known = known(&connection).map_err(failed)?;
        let is_behind = known.is_none_or(|known| known.size < reader.size());
        if is_behind && !is_new && !may_begin() {
            return Ok(Connected::Unwritable);
        }
        match catch_up(&mut connection, reader)? {
            Caught::More => seal_up(&connection, reader)?,
            Caught::Up => {}
            Caught::Other(why) => return Ok(Connected::Other(why)),
        }
        Ok(Connected::Index(Self { connection: Some(connection), refused: None, interrupted: false }))
    }

    /// Puts the index aside and makes another one.
    fn anew(reader: &Reader, why: &'static str) -> Result<Self> {
        let path = Self::path(reader.path());
        private::rename(&path, &reader.path().join(REFUSED)).map_err(Error::io("put aside", &path))?;
        Self::remove(&path)?;
        match Self::connected(reader, true)? {
            Connected::Index(index) => Ok(Self { refused: Some(why), ..index }),
            Connected::Unwritable | Connected::Other(_) => Ok(Self { refused: Some(why), ..Self::none() }),
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

    /// The newest events that may fit a filter, in the order of the log; none where there is no index. Whether they
    /// fit, only the events themselves show.
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
            // SQLite would make it with the rights that the process's umask leaves. What it makes beside it is like it. Where
            // this fails, so does SQLite, and says why.
            let _ = private::create(path);
        }
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
}

/// Found entries, in a temporary table that SQLite keeps in a file when it grows: the index itself is free for others while
/// somebody reads on.
pub(crate) struct Candidates<'a>(&'a Connection);

impl Candidates<'_> {
    /// Gives one after the other.
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

/// Has the log's key say that the file is as it was left.
fn seal_up(connection: &Connection, reader: &Reader) -> Result<()> {
    let path = Index::path(reader.path());
    match known(connection).map_err(|source| failure(&path, source))? {
        Some(known) => seal::write(reader, &path, (known.size, known.root)),
        None => seal::remove(reader.path()),
    }
    Ok(())
}

/// Adds what is new. Says why not, if the index is not of this log's history.
fn catch_up(connection: &mut Connection, reader: &Reader) -> Result<Caught> {
    let failed = |source| failure(&Index::path(reader.path()), source);
    let known = known(connection).map_err(failed)?;
    let of_log = |known: &&Known| known.origin == reader.checkpoint().origin;
    if let Some(known) = known.as_ref().filter(of_log).filter(|known| known.size >= reader.size()) {
        return Ok(is_ahead(known, reader));
    }
    let behavior = TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
    let begin = match self::known(&transaction).map_err(failed)? {
        None => 0,
        Some(known) if known.origin != reader.checkpoint().origin => {
            return Ok(Caught::Other("it is of another log"));
        }
        Some(known) if known.size >= reader.size() => return Ok(is_ahead(&known, reader)),
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

/// What the database said; who keeps it locked, if somebody does.
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

/// A number for a query.
pub(crate) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
