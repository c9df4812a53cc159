//! The thread that commits. Requests that arrive during a commit share the next one. A few flushes are therefore enough for
//! many concurrent pushes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use oci::Digest;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::apply::{Checks, SizeCheck, apply};
use crate::change::Change;
use crate::durable::{Disk, Step};
use crate::journal::{self, Record};
use crate::layout::Layout;
use crate::rules::KnownRules;
use crate::schema::name_holders;
use crate::unflushed::{self, Flusher, Kept, Row, SMALL};
use crate::{Error, Result, quota};

/// The maximum number of requests that share one commit.
const GROUP: usize = 256;

/// Sends requests to the committing thread.
pub(crate) struct Writer {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// Content that becomes durable together with the rows that name it.
pub(crate) type Content = Vec<(Digest, Vec<u8>)>;

struct Request {
    changes: Vec<Change>,
    content: Content,
    /// Whether all files must be flushed afterwards.
    flush: bool,
    reply: SyncSender<Result<()>>,
}

/// Posts changes whose outcome no one waits for. It must be dropped before its [`Writer`].
#[derive(Clone)]
pub(crate) struct Queue(Sender<Request>);

impl Queue {
    /// Posts changes. They are lost if the commit fails.
    pub(crate) fn post(&self, changes: Vec<Change>) {
        let (reply, _) = sync_channel(1);
        let _ = self.0.send(Request { changes, content: Vec::new(), flush: false, reply });
    }
}

impl Writer {
    pub(crate) fn queue(&self) -> Option<Queue> {
        self.requests.clone().map(Queue)
    }

    pub(crate) fn start(layout: Layout, disk: Disk, connection: Connection) -> Result<Self> {
        let (requests, inbox) = channel();
        let failed = |error| Error::Commit(Arc::new(error) as _);
        let flusher = Flusher::start(layout.clone(), disk.clone()).map_err(failed)?;
        let mut thread = Committer { layout, disk, connection, flusher, rules: KnownRules::default() };
        let thread = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || thread.run(&inbox))
            .map_err(failed)?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Applies the changes; the content is then durable, too.
    pub(crate) fn commit(&self, changes: Vec<Change>, content: Content) -> Result<()> {
        self.send(changes, content, false)
    }

    /// Flushes all files.
    pub(crate) fn flush(&self) -> Result<()> {
        self.send(Vec::new(), Vec::new(), true)
    }

    fn send(&self, changes: Vec<Change>, content: Content, flush: bool) -> Result<()> {
        let (reply, result) = sync_channel(1);
        let requests = self.requests.as_ref().ok_or(Error::Closed)?;
        requests.send(Request { changes, content, flush, reply }).map_err(|_| Error::Closed)?;
        result.recv().map_err(|_| Error::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Committer {
    layout: Layout,
    disk: Disk,
    connection: Connection,
    flusher: Flusher,
    rules: KnownRules,
}

impl Committer {
    fn run(&mut self, inbox: &Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let mut group = vec![first];
            group.extend(inbox.try_iter().take(GROUP - 1));
            self.commit_group(group);
        }
        let flushed = self.flusher.end();
        self.remove(&flushed);
    }

    /// Removes rows whose files are flushed. Rows that stay are written again by the next open.
    fn remove(&mut self, flushed: &[i64]) {
        let remove = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            unflushed::remove(&transaction, flushed)?;
            Ok::<_, Error>(transaction.commit()?)
        };
        if !flushed.is_empty()
            && let Err(error) = { remove }()
        {
            tracing::warn!(%error, "cannot remove records of flushed files; the next open flushes these files again");
        }
    }

    /// Commits a group in one transaction; a request that fails is rolled back alone.
    fn commit_group(&mut self, group: Vec<Request>) {
        let outcome = self.transact(&group).map(|(results, rows)| {
            self.flusher.keep(rows);
            results
        });
        if group.iter().any(|request| request.flush) {
            let flushed = self.flusher.flush_all();
            self.remove(&flushed);
        }
        match outcome {
            Ok(results) => {
                for (request, result) in group.into_iter().zip(results) {
                    let _ = request.reply.send(result);
                }
            }
            Err(error) => {
                let shared: Arc<dyn std::error::Error + Send + Sync> = Arc::new(error);
                for request in group {
                    let _ = request.reply.send(Err(Error::Commit(Arc::clone(&shared))));
                }
            }
        }
    }

    fn transact(&mut self, group: &[Request]) -> Result<(Vec<Result<()>>, Vec<Row>)> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let mut transaction = begun.map_err(|error| name_holders(&self.layout, error.into()))?;
        let mut records: Vec<Record> = Vec::new();
        let mut results = Vec::with_capacity(group.len());
        let mut rows = Vec::new();
        for request in group {
            let (known, kept) = (records.len(), rows.len());
            let mut savepoint = transaction.savepoint()?;
            let applied = apply_all(&savepoint, &self.layout, &mut self.rules, &request.changes)
                .map(|applied| records.extend(applied));
            let applied = applied.and_then(|()| {
                for (digest, content) in &request.content {
                    rows.push(unflushed::insert(&savepoint, Kept::Blob(digest.clone()), content)?);
                }
                Ok(())
            });
            if let Ok(()) = applied {
                savepoint.commit()?;
            } else {
                savepoint.rollback()?;
                records.truncate(known);
                rows.truncate(kept);
                drop(savepoint);
            }
            results.push(applied);
        }
        if records.is_empty() && group.iter().any(|request| request.changes.is_empty()) {
            // A request without changes asks whether the database can be written.
            let length = journal_length(&transaction)?;
            set_journal_length(&transaction, length)?;
        }
        if !records.is_empty() {
            let committed = journal_length(&transaction)?;
            let line = journal::encode(&records)?;
            let is_small = line.len() as u64 <= SMALL;
            let length = journal::append(&self.disk, &self.layout.journal(), committed, &line, !is_small)?;
            if is_small {
                rows.push(unflushed::insert(&transaction, Kept::Line(committed), &line)?);
            }
            set_journal_length(&transaction, length)?;
        }
        unflushed::remove(&transaction, &self.flusher.flushed())?;
        let database = self.layout.database();
        self.disk.step(Step::CommitDatabase, &database).map_err(Error::io("commit", &database))?;
        transaction.commit()?;
        Ok((results, rows))
    }
}

/// Applies the changes of one request, which must comply with the rules of the store.
fn apply_all(
    connection: &Connection,
    layout: &Layout,
    rules: &mut KnownRules,
    changes: &[Change],
) -> Result<Vec<Record>> {
    let rules = match rules.current(connection) {
        // New rules replace those that cannot be read.
        Err(Error::Rules(_)) if changes.iter().all(|change| matches!(change, Change::SetRules(_))) => {
            Arc::default()
        }
        rules => rules?,
    };
    let is_limited = !rules.quotas.is_empty()
        && !changes.iter().any(|change| change.is_overriding() || matches!(change, Change::SetRules(_)));
    let before = if is_limited { quota::usage(connection)? } else { Vec::new() };
    let mut records = Vec::new();
    for change in changes {
        let checks = Checks { sizes: SizeCheck::Enforce, rules: &rules };
        records.extend(apply(connection, layout, change, checks)?);
    }
    quota::settle(connection, &rules.quotas)?;
    if is_limited {
        quota::check(&rules.quotas, &before, &quota::usage(connection)?)?;
    }
    Ok(records)
}

/// The committed length of the journal.
pub(crate) fn journal_length(connection: &Connection) -> Result<u64> {
    let sql = "SELECT value FROM meta WHERE key = 'journal'";
    let value: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(u64::try_from(value.unwrap_or(0)).unwrap_or(0))
}

pub(crate) fn set_journal_length(connection: &Connection, length: u64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('journal', ?1)";
    connection.execute(sql, params![crate::apply::signed(length)])?;
    Ok(())
}
