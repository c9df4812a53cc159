//! The thread that commits. Requests that arrive during a commit share the next one. A few flushes are therefore enough for
//! many concurrent pushes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::change::{Change, Checks, SizeCheck, apply};
use crate::commit::{Disk, Step};
use crate::journal::{self, Record};
use crate::layout::Layout;
use crate::rules::KnownRules;
use crate::schema::name_holders;
use crate::{Error, Result, quota};

/// The maximum number of requests that share one commit.
const GROUP: usize = 256;

/// Sends requests to the committing thread.
pub(crate) struct Writer {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    changes: Vec<Change>,
    reply: SyncSender<Result<()>>,
}

impl Writer {
    pub(crate) fn start(layout: Layout, disk: Disk, connection: Connection) -> Result<Self> {
        let (requests, inbox) = channel();
        let mut thread = Committer { layout, disk, connection, rules: KnownRules::default() };
        let thread = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || thread.run(&inbox))
            .map_err(|error| Error::Commit(Arc::new(error)))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    pub(crate) fn commit(&self, changes: Vec<Change>) -> Result<()> {
        let (reply, result) = sync_channel(1);
        let requests = self.requests.as_ref().ok_or(Error::Closed)?;
        requests.send(Request { changes, reply }).map_err(|_| Error::Closed)?;
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
    rules: KnownRules,
}

impl Committer {
    fn run(&mut self, inbox: &Receiver<Request>) {
        while let Ok(first) = inbox.recv() {
            let mut group = vec![first];
            group.extend(inbox.try_iter().take(GROUP - 1));
            self.commit_group(group);
        }
    }

    /// Commits a group in one transaction; a request that fails is rolled back alone.
    fn commit_group(&mut self, group: Vec<Request>) {
        let outcome = self.transact(&group);
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

    fn transact(&mut self, group: &[Request]) -> Result<Vec<Result<()>>> {
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let mut transaction = begun.map_err(|error| name_holders(&self.layout, error.into()))?;
        let mut records: Vec<Record> = Vec::new();
        let mut results = Vec::with_capacity(group.len());
        for request in group {
            let known = records.len();
            let mut savepoint = transaction.savepoint()?;
            let applied = apply_all(&savepoint, &self.layout, &mut self.rules, &request.changes)
                .map(|applied| records.extend(applied));
            if let Ok(()) = applied {
                savepoint.commit()?;
            } else {
                savepoint.rollback()?;
                records.truncate(known);
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
            let length = journal::append(&self.disk, &self.layout.journal(), committed, &records)?;
            set_journal_length(&transaction, length)?;
        }
        let database = self.layout.database();
        self.disk.step(Step::CommitDatabase, &database).map_err(Error::io("commit", &database))?;
        transaction.commit()?;
        Ok(results)
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
    connection.execute(sql, params![crate::change::signed(length)])?;
    Ok(())
}
