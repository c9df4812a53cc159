//! Small content whose files are not flushed yet. Its bytes, and new lines of the journal, are rows of the database until
//! they are, so that a push of small content is durable after one flush, that of SQLite's write-ahead log.
//!
//! Write order: the file, without a flush; the row with its bytes, in the transaction that names it, before success is
//! reported; later, in the background, the flush of the file; and only then the removal of the row. After a crash, the next
//! open writes the files again ([`restore`]).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use oci::Digest;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::blob::BlobWriter;
use crate::durable::{Disk, Step};
use crate::layout::Layout;
use crate::query::parsed;
use crate::{Error, Result};

/// The maximum size of content that is kept in the database until its file is flushed.
pub(crate) const SMALL: u64 = 128 << 10;
/// The maximum content of one request that is kept so.
pub(crate) const SMALL_TOTAL: u64 = 256 << 10;

/// Files are flushed when this many rows, or this many bytes, are kept.
const MAX_ROWS: usize = 256;
const MAX_BYTES: u64 = 4 << 20;

/// A row with a digest is a blob; one with an offset is a line of the journal. IDs are not reused: a process may remove rows
/// that another one added.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS unflushed (
  id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT, at INTEGER, content BLOB NOT NULL) STRICT;
";

/// What a row holds.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// The bytes of a blob.
    Blob(Digest),
    /// The line of the journal that begins at this offset.
    Line(u64),
}

/// A row of this process.
#[derive(Debug)]
pub(crate) struct Row {
    id: i64,
    kept: Kept,
    bytes: u64,
}

/// Adds a row, which is durable when the transaction is.
pub(crate) fn insert(connection: &Connection, kept: Kept, content: &[u8]) -> Result<Row> {
    let (digest, at) = match &kept {
        Kept::Blob(digest) => (Some(digest.to_string()), None),
        Kept::Line(at) => (None, Some(crate::apply::signed(*at))),
    };
    let sql = "INSERT INTO unflushed (digest, at, content) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![digest, at, content])?;
    Ok(Row { id: connection.last_insert_rowid(), kept, bytes: content.len() as u64 })
}

/// Removes rows whose files are flushed.
pub(crate) fn remove(connection: &Connection, ids: &[i64]) -> Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM unflushed WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// Whether an earlier process left rows.
pub(crate) fn has_rows(connection: &Connection) -> Result<bool> {
    let exists = connection.table_exists(None, "unflushed")?;
    Ok(exists && connection.prepare("SELECT 1 FROM unflushed")?.exists([])?)
}

/// Creates the table; writes and flushes the files of the rows that a crash left, or that another process keeps.
pub(crate) fn restore(layout: &Layout, disk: &Disk, connection: &mut Connection) -> Result<()> {
    if !connection.table_exists(None, "unflushed")? {
        connection.execute_batch(TABLE)?;
    }
    if !has_rows(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut lines = Vec::new();
        let mut statement = transaction.prepare("SELECT digest, at, content FROM unflushed ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let content: Vec<u8> = row.get(2)?;
            match row.get::<_, Option<i64>>(1)? {
                // Written anew: after a failed flush, the system may take a damaged file for a clean one.
                None => {
                    let digest: Digest = parsed(row, 0)?;
                    let mut blob = BlobWriter::create(layout, disk, digest.algorithm())?;
                    blob.write(&content)?;
                    match blob.publish(Some(&digest)) {
                        // The database is damaged; `check` finds what is missing.
                        Err(error @ Error::DigestMismatch { .. }) => report(&error),
                        published => drop(published?),
                    }
                }
                Some(at) => lines.push((u64::try_from(at).unwrap_or(0), content)),
            }
        }
        restore_lines(layout, disk, &lines)?;
    }
    transaction.execute("DELETE FROM unflushed", [])?;
    transaction.commit()?;
    Ok(())
}

/// Writes lines of the journal at their offsets. A journal that is gone or lacks what comes before stays as it is: a rebuild
/// takes the names from the database.
fn restore_lines(layout: &Layout, disk: &Disk, lines: &[(u64, Vec<u8>)]) -> Result<()> {
    let path = layout.journal();
    let Some((first, _)) = lines.first() else { return Ok(()) };
    let journal = match private::open(OpenOptions::new().write(true), &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(Error::io("open", &path))?,
    };
    if journal.metadata().map_err(Error::io("read", &path))?.len() < *first {
        return Ok(());
    }
    for (at, line) in lines {
        journal.write_all_at(line, *at).map_err(Error::io("write", &path))?;
    }
    flush_journal(layout, disk, &journal)
}

/// Flushes the files of rows; returns the IDs of the rows that are no longer needed.
fn flush(layout: &Layout, disk: &Disk, rows: &[Row]) -> Vec<i64> {
    let mut flushed = Vec::new();
    let mut digests = BTreeSet::new();
    let has_lines = rows.iter().any(|row| matches!(row.kept, Kept::Line(_)));
    let journal = has_lines.then(|| {
        let path = layout.journal();
        let journal = File::open(&path).map_err(Error::io("open", &path))?;
        flush_journal(layout, disk, &journal)
    });
    for row in rows {
        let done = match &row.kept {
            Kept::Line(_) => journal.as_ref().is_some_and(std::result::Result::is_ok),
            Kept::Blob(digest) => {
                digests.contains(digest) || flush_file(layout, disk, digest).inspect_err(report).is_ok()
            }
        };
        if done {
            flushed.push(row.id);
            if let Kept::Blob(digest) = &row.kept {
                digests.insert(digest.clone());
            }
        }
    }
    if let Some(Err(error)) = &journal {
        report(error);
    }
    flushed
}

fn report(error: &Error) {
    tracing::error!(%error, "cannot flush a small file to disk");
}

fn flush_file(layout: &Layout, disk: &Disk, digest: &Digest) -> Result<()> {
    let path = layout.blob(digest);
    match File::open(&path) {
        Ok(file) => disk.flush_blob(&file, &path),
        // It was collected, or moved to the quarantine.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("open", &path)(error)),
    }
}

fn flush_journal(layout: &Layout, disk: &Disk, journal: &File) -> Result<()> {
    let path = layout.journal();
    disk.step(Step::SyncJournal, &path).map_err(Error::io("flush", &path))?;
    journal.sync_data().map_err(Error::io("flush", &path))
}

/// The rows of this process, and the thread that flushes their files, so that no commit waits for that.
pub(crate) struct Flusher {
    layout: Layout,
    disk: Disk,
    rows: Vec<Row>,
    bytes: u64,
    work: Option<Sender<Vec<Row>>>,
    done: Receiver<Vec<i64>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(crate) fn start(layout: Layout, disk: Disk) -> io::Result<Self> {
        let ((work, inbox), (outbox, done)) = (channel::<Vec<Row>>(), channel());
        let (files, steps) = (layout.clone(), disk.clone());
        let thread = std::thread::Builder::new().name("store-flush".to_owned()).spawn(move || {
            for rows in inbox {
                let _ = outbox.send(flush(&files, &steps, &rows));
            }
        })?;
        Ok(Self { layout, disk, rows: Vec::new(), bytes: 0, work: Some(work), done, thread: Some(thread) })
    }

    /// Keeps rows that were committed.
    pub(crate) fn keep(&mut self, rows: Vec<Row>) {
        self.bytes += rows.iter().map(|row| row.bytes).sum::<u64>();
        self.rows.extend(rows);
        if (self.rows.len() >= MAX_ROWS || self.bytes >= MAX_BYTES)
            && let Some(work) = &self.work
        {
            self.bytes = 0;
            let _ = work.send(std::mem::take(&mut self.rows));
        }
    }

    /// The rows whose files were flushed meanwhile.
    pub(crate) fn flushed(&self) -> Vec<i64> {
        self.done.try_iter().flatten().collect()
    }

    /// Flushes the files of all rows now, and returns the rows.
    pub(crate) fn flush_all(&mut self) -> Vec<i64> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut flushed = self.flushed();
        flushed.extend(flush(&self.layout, &self.disk, &rows));
        flushed
    }

    /// As [`Self::flush_all`], after the thread has ended.
    pub(crate) fn end(&mut self) -> Vec<i64> {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.flush_all()
    }
}
