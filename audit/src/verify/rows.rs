//! Compares the index with the events, row by row.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};
use tlog::{Checkpoint, Folder};

use super::tree::Tree;
use super::{LogFault, MAX_LISTED, Part, Report};
use crate::index::{IndexState, state};
use crate::{Event, Index};

/// The number of rows that are read at once.
const CHUNK: i64 = 4096;

/// The index, read along with the log.
pub(super) struct Rows {
    log: PathBuf,
    open: Option<Open>,
    /// The faults of the index, which are reported after those of the log.
    faults: Vec<LogFault>,
    more: u64,
}

struct Open {
    connection: Connection,
    state: IndexState,
    rows: VecDeque<Row>,
    /// The first entry whose row has not been read.
    next: i64,
}

struct Row {
    index: u64,
    fields: [Option<String>; 5],
    digests: BTreeSet<String>,
}

impl Rows {
    /// Opens the index, if it exists, without changing it.
    pub(super) fn open(log: &Path, report: &mut Report) -> Self {
        let path = Index::path(log);
        let mut rows = Self { log: log.to_owned(), open: None, faults: Vec::new(), more: 0 };
        if Index::is_interrupted(log) {
            let what = "an update of the index was interrupted or is in progress; the next search rebuilds the index";
            report.notices.push(what.to_owned());
            return rows;
        }
        if !path.exists() {
            report.notices.push("no index exists; the next search creates one".to_owned());
            return rows;
        }
        let opened = || {
            let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(std::time::Duration::from_secs(30))?;
            let result =
                connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))?;
            Ok((state(&connection)?, result, connection))
        };
        match opened() {
            Ok((state, result, connection)) if result == "ok" => {
                let open = |state| Open { connection, state, rows: VecDeque::new(), next: 0 };
                rows.open = state.map(open);
            }
            Ok((_, defect, _)) => rows.report_unreadable(&defect),
            Err::<_, rusqlite::Error>(error) => rows.report_unreadable(&error.to_string()),
        }
        rows
    }

    /// Compares the next event with its row.
    pub(super) fn compare(&mut self, index: u64, event: &Event) {
        let found = loop {
            let Some(open) = self.open.as_mut().filter(|open| index < open.state.size) else { return };
            match open.next() {
                Ok(Some(row)) if row.index < index => {
                    self.fault(Some(row.index), "it has a row for an entry that is not an event".to_owned());
                }
                Ok(Some(row)) if row.index > index => {
                    open.rows.push_front(row);
                    break None;
                }
                Ok(row) => break row,
                Err(error) => return self.report_unreadable(&error.to_string()),
            }
        };
        let time = &event.time;
        match found {
            Some(row) if row.matches(event) => {}
            Some(_) => self.fault(Some(index), format!("its row differs from the entry of {time}")),
            None => self.fault(Some(index), format!("the row of the entry of {time} is missing")),
        }
    }

    /// Compares the sizes and roots, and reports all faults.
    pub(super) fn end(mut self, checkpoint: &Checkpoint, tree: &Tree<'_>, report: &mut Report) {
        if let Some(mut open) = self.open.take() {
            report.indexed = Some(open.state.size);
            match open.next() {
                _ if open.state.origin != checkpoint.origin => {
                    self.faults.clear();
                    self.fault(None, format!("it belongs to the log `{}`", open.state.origin));
                }
                _ if open.state.size > checkpoint.size => self.report_ahead(&open.state, checkpoint, report),
                Ok(Some(row)) => {
                    self.fault(
                        Some(row.index),
                        "it has a row for an entry that is not in the log".to_owned(),
                    );
                }
                Ok(None) if report.is_sound() && tree.root(open.state.size) != Some(open.state.root) => {
                    let size = super::entry_count(open.state.size);
                    let cause = "the log was forked, or the index was changed";
                    self.fault(None, format!("its root for the first {size} differs: {cause}"));
                }
                Ok(None) => {}
                Err(error) => self.report_unreadable(&error.to_string()),
            }
        }
        for fault in self.faults {
            report.push(fault);
        }
        report.more += self.more;
    }

    /// Reports an index that has more entries than the log.
    fn report_ahead(&mut self, state: &IndexState, checkpoint: &Checkpoint, report: &Report) {
        // Other processes may have logged and searched since this checkpoint was read.
        let now = Folder::checkpoint(&self.log).and_then(|note| Checkpoint::read(&note));
        if now.is_ok_and(|now| now.size >= state.size) {
            return;
        }
        let lost = state.size - checkpoint.size;
        let what = format!(
            "it has {} more than the checkpoint covers: the log was truncated",
            super::entry_count(lost)
        );
        let (entry, good_until) = (Some(checkpoint.size), report.last.clone());
        self.faults.insert(0, LogFault { part: Part::Index, entry, what, good_until });
    }

    fn fault(&mut self, entry: Option<u64>, what: String) {
        if self.faults.len() < MAX_LISTED {
            self.faults.push(LogFault { part: Part::Index, entry, what, good_until: None });
        } else {
            self.more += 1;
        }
    }

    fn report_unreadable(&mut self, reason: &str) {
        self.open = None;
        let what = format!("it cannot be read: {reason}; `airlock audit index --rebuild` rebuilds it");
        self.fault(None, what);
    }
}

impl Open {
    fn next(&mut self) -> rusqlite::Result<Option<Row>> {
        if self.rows.is_empty() {
            self.fill()?;
        }
        Ok(self.rows.pop_front())
    }

    fn fill(&mut self) -> rusqlite::Result<()> {
        let end = self.next.saturating_add(CHUNK);
        let mut statement = self.connection.prepare_cached(
            "SELECT idx, time, event, result, actor, object FROM events WHERE idx >= ?1 ORDER BY idx LIMIT ?2",
        )?;
        let row = |row: &rusqlite::Row<'_>| {
            let fields = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
            let index = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(u64::MAX);
            Ok(Row { index, fields, digests: BTreeSet::new() })
        };
        let rows: Vec<Row> =
            statement.query_map(params![self.next, CHUNK], row)?.collect::<rusqlite::Result<_>>()?;
        let last = rows.last().map_or(end, |row| i64::try_from(row.index).unwrap_or(i64::MAX));
        self.rows = rows.into();
        let mut statement = self
            .connection
            .prepare_cached("SELECT idx, digest FROM digests WHERE idx BETWEEN ?1 AND ?2 ORDER BY idx")?;
        let digests = statement.query_map(params![self.next, last], |row| {
            Ok((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(u64::MAX), row.get::<_, String>(1)?))
        })?;
        for digest in digests {
            let (index, digest) = digest?;
            if let Ok(position) = self.rows.binary_search_by_key(&index, |row| row.index)
                && let Some(row) = self.rows.get_mut(position)
            {
                row.digests.insert(digest);
            }
        }
        self.next = last.saturating_add(1);
        Ok(())
    }
}

impl Row {
    fn matches(&self, event: &Event) -> bool {
        let (kind, result) = (event.event.name(), event.outcome.result.name());
        let fields = [
            Some(event.time.as_str()),
            Some(kind),
            Some(result),
            event.actor.user.as_deref(),
            Some(event.object.name.as_str()),
        ];
        self.fields.iter().map(Option::as_deref).eq(fields)
            && self.digests.iter().eq(event.object.digests.iter().collect::<BTreeSet<_>>())
    }
}
