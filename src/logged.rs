//! Logged work: how commands write audit events.
//!
//! A command begins its work, adds details as it proceeds, and logs success before it prints it: only what is in the
//! log, durably and under a signed checkpoint, is reported as done. Failed work is logged with its reason when the
//! command returns the error.
//!
//! Work on a store is always recorded in the store's own log. A log that the user names in addition gets the same events.
//!
//! `Logs -> Work -> done -> printed`

mod observer;
pub(crate) mod outcome;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use audit::{Draft, EventSource, EventType, Filter, Index, Journal, LogTrust, Outcome, Reader, search};
use mirror::lock::LockedItem;
use oci::Digest;
use store::Store;
use time::OffsetDateTime;

pub(crate) use self::observer::{AuditObserver, log_damage};
use crate::failure::Usage;
use crate::past::PackHistory;
use crate::printer::Printer;

/// The hint for a log that cannot be written.
pub(crate) const HINT: &str = "check the log with `airlock audit verify`; run as the log's owner, with free space on its \
                               disk; docs/audit.md describes what to do with a damaged log";

/// The logs that record work: the log of the store that the command works on, and the log that the user names.
/// Without these, the log of the default store. A change to a cluster without any of these is recorded in the
/// operator's own log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    pub(crate) named: Option<PathBuf>,
    /// Whether the command line names a store, and no log.
    pub(crate) store_first: bool,
    pub(crate) default_store: Option<PathBuf>,
    /// The log of the user who runs this program.
    pub(crate) operator: Option<PathBuf>,
    /// The newest checkpoints that packs signed, kept outside the stores.
    pub(crate) pack_history: PackHistory,
}

impl Logs {
    /// The folder of a store's own log, if the store exists.
    pub(crate) fn of_store(store: &Path) -> Option<PathBuf> {
        Store::is_at(store).then(|| Journal::folder(store))
    }

    /// The folders of the available logs, the store's own first.
    fn folders(&self, store: Option<&Path>) -> Vec<PathBuf> {
        let own = store.and_then(Self::of_store);
        let default = || self.default_store.as_deref().and_then(Self::of_store);
        let default = if store.is_none() && self.named.is_none() { default() } else { None };
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in own.into_iter().chain(default).chain(self.named.clone()) {
            if !folders.iter().any(|known| canonical(known) == canonical(&folder)) {
                folders.push(folder);
            }
        }
        folders
    }

    /// The folders of the logs for changes to clusters.
    fn of_clusters(&self, store: Option<&Path>) -> Vec<PathBuf> {
        let found = [self.folders(store), self.folders(None)].into_iter().find(|folders| !folders.is_empty());
        found.unwrap_or_else(|| self.operator.iter().cloned().collect())
    }

    /// Begins work that changes a cluster. Such work always has a log.
    ///
    /// # Errors
    /// No folder for a log is known, or the log cannot be written: every change to a cluster is logged.
    pub(crate) fn begin_in_cluster<'a>(
        &'a self,
        event: EventType,
        object: &str,
        name: &str,
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> anyhow::Result<Work<'a>> {
        if self.of_clusters(store).is_empty() {
            let message = "no audit log for a change to the cluster: the home folder is unknown".to_owned();
            return Err(
                Usage { message, hint: "name a log with --audit-log DIR or AIRLOCK_AUDIT_LOG" }.into()
            );
        }
        if let Some(operator) = self.operator.as_ref().filter(|log| self.of_clusters(store).contains(log))
            && let Some(parent) = operator.parent()
        {
            private::create_folders(parent).with_context(|| unwritable(operator))?;
        }
        let mut work =
            Work { in_cluster: true, ..Work::new(self, Draft::new(event, object, name), store, printer) };
        work.open()?;
        Ok(work)
    }

    /// Begins work on an object of this kind and name, in a store or elsewhere. Fails if a log cannot be written:
    /// work that cannot be logged does not begin.
    pub(crate) fn begin<'a>(
        &'a self,
        event: EventType,
        object: &str,
        name: &str,
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> anyhow::Result<Work<'a>> {
        let mut work = Work::new(self, Draft::new(event, object, name), store, printer);
        work.open()?;
        Ok(work)
    }
}

/// Work in progress.
pub(crate) struct Work<'a> {
    logs: &'a Logs,
    printer: &'a Printer,
    store: Option<PathBuf>,
    /// Whether it changes a cluster, which is always logged.
    in_cluster: bool,
    journals: Journals,
    /// The event; `None` once it is logged.
    draft: Option<Draft>,
    /// The event that was logged.
    logged: Option<Draft>,
    /// The trust files in use, with their digests.
    policies: Vec<(String, String)>,
    /// Logs on read-only file systems.
    read_only: Vec<PathBuf>,
}

/// The open logs, each once, the store's own first.
#[derive(Clone, Default)]
pub(crate) struct Journals(Vec<(PathBuf, Arc<Journal>)>);

impl Journals {
    /// Writes an event to each log.
    pub(crate) fn record(&self, draft: &Draft, outcome: &Outcome) -> audit::Result<()> {
        self.0.iter().try_for_each(|(_, journal)| journal.record(draft.clone(), outcome).map(drop))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// This process, as events record it.
pub(crate) fn event_source() -> EventSource {
    EventSource::of_process("airlock", env!("CARGO_PKG_VERSION"))
}

/// Makes the history of tags record the user of this process, and what they do.
pub(crate) fn acting(store: &Store, what: &str) {
    let user = event_source().actor.user.unwrap_or_else(|| "unknown".to_owned());
    store.act_as(format!("{user}: {what}"));
}

/// The digests of the items of a lock or a drive, for an event.
pub(crate) fn item_digests(items: &[LockedItem]) -> impl Iterator<Item = String> {
    items.iter().map(|item| item.digest.to_string())
}

/// The canonical path of a log's folder, which may not exist yet.
fn canonical(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default();
    let above = private::folder_of(folder);
    folder
        .canonicalize()
        .or_else(|_| above.canonicalize().map(|above| above.join(name)))
        .unwrap_or_else(|_| folder.to_owned())
}

impl<'a> Work<'a> {
    fn new(logs: &'a Logs, draft: Draft, store: Option<&Path>, printer: &'a Printer) -> Self {
        Self {
            logs,
            printer,
            store: store.map(Path::to_owned),
            in_cluster: false,
            journals: Journals::default(),
            draft: Some(draft),
            logged: None,
            policies: Vec::new(),
            read_only: Vec::new(),
        }
    }
}

impl Work<'_> {
    /// Replaces the name of the object with a more exact one.
    pub(crate) fn name(&mut self, name: &str) {
        if let Some(draft) = &mut self.draft {
            draft.name(name);
        }
    }

    /// Adds the digests that the work is about.
    pub(crate) fn digests(&mut self, digests: impl IntoIterator<Item = String>) {
        if let Some(draft) = &mut self.draft {
            draft.digests(digests);
        }
    }

    /// Adds evidence for the outcome.
    pub(crate) fn evidence(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        if let Some(draft) = &mut self.draft {
            draft.evidence(name, value);
        }
    }

    /// Records the trust file in use: its digest is evidence, and a new or changed file is a separate event.
    pub(crate) fn policy(&mut self, path: &Path, text: &str) {
        let digest = Digest::sha256(text.as_bytes()).to_string();
        self.evidence("trust", &digest);
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.policies.push((path.display().to_string(), digest));
    }

    /// The command's printer.
    pub(crate) fn printer(&self) -> &Printer {
        self.printer
    }

    /// The logs, for components that log events themselves.
    pub(crate) fn journals(&mut self) -> anyhow::Result<Journals> {
        self.open()?;
        Ok(self.journals.clone())
    }

    /// The newest checkpoints that packs signed.
    pub(crate) fn pack_history(&self) -> &PackHistory {
        &self.logs.pack_history
    }

    /// The own log of the store that the command works on.
    pub(crate) fn own_journal(&mut self) -> anyhow::Result<Option<Arc<Journal>>> {
        self.open()?;
        let own = self.store.as_deref().and_then(Logs::of_store);
        let found = self.journals.0.iter().find(|(folder, _)| own.as_ref() == Some(folder));
        Ok(found.map(|(_, journal)| Arc::clone(journal)))
    }

    /// Logs success. The command may report it after this returns.
    pub(crate) fn done(&mut self) -> anyhow::Result<()> {
        self.record(&Outcome::success())
    }

    /// Reopens work that was logged as done but failed afterwards: its end becomes another event.
    pub(crate) fn undone(&mut self) {
        self.draft = self.draft.take().or_else(|| self.logged.take());
    }

    /// Logs an outcome other than success.
    pub(crate) fn ended(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        self.record(outcome)
    }

    /// Returns the work's result after logging it. If logging a failure fails, too, both errors are printed, and the
    /// work's own error is returned.
    pub(crate) fn end<T>(mut self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        let recorded = match &result {
            Ok(_) => self.done(),
            Err(error) => self.record(&outcome::of(error)),
        };
        match (result, recorded) {
            (Ok(_), Err(log_error)) => Err(log_error),
            (Err(error), Err(log_error)) => {
                self.printer.complain(&format!("error: {log_error:#}"));
                Err(error)
            }
            (result, Ok(())) => result,
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let store = self.store.as_deref();
        if self.in_cluster { self.logs.of_clusters(store) } else { self.logs.folders(store) }
    }

    /// Opens the logs that exist by now.
    fn open(&mut self) -> anyhow::Result<()> {
        for folder in self.folders() {
            let is_known = self.journals.0.iter().any(|(known, _)| *known == folder);
            if is_known || self.read_only.contains(&folder) {
                continue;
            }
            match Journal::open(&folder, event_source()) {
                Err(error) if error.is_read_only() => {
                    let shown = folder.display();
                    self.printer.say(&format!(
                        "warning: the audit log `{shown}` is on a read-only file system, so this operation is not logged there"
                    ));
                    self.read_only.push(folder);
                }
                opened => {
                    let journal = Arc::new(opened.with_context(|| unwritable(&folder))?);
                    self.journals.0.push((folder, journal));
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        self.logged = Some(draft.clone());
        self.open()?;
        if self.journals.is_empty() && self.read_only.is_empty() {
            self.printer.say(
                "note: not recorded in an audit log; to record it, use --audit-log or set AIRLOCK_STORE",
            );
        }
        let (policies, success) = (std::mem::take(&mut self.policies), Outcome::success());
        for (_, journal) in &self.journals.0 {
            let mut events = Vec::new();
            for (path, digest) in &policies {
                events.extend(policy_event(journal.path(), path, digest)?.map(|draft| (draft, &success)));
            }
            events.push((draft.clone(), outcome));
            journal.record_at(OffsetDateTime::now_utc(), events)?;
        }
        Ok(())
    }
}

fn unwritable(folder: &Path) -> String {
    format!("the audit log `{}` cannot be written, so nothing was started", folder.display())
}

/// The event for a trust file that is used for the first time, or that changed since its last use.
fn policy_event(log: &Path, path: &str, digest: &str) -> anyhow::Result<Option<Draft>> {
    let reader = Reader::open(log, LogTrust::own(log)?)?;
    let index = Index::open(&reader)?;
    let mut last = None;
    for kind in [EventType::PolicyFirstUse, EventType::PolicyChange] {
        let (event, object) = (Some(kind.name().to_owned()), Some(path.to_owned()));
        let filter = Filter { event, object, limit: Some(1), ..Filter::default() };
        search::search(&reader, &index, &filter, &mut |_, event| {
            // A change is newer than the first use.
            last = event.object.digests.into_iter().next();
            Ok(())
        })?;
    }
    if last.as_deref() == Some(digest) {
        return Ok(None);
    }
    let kind = if last.is_some() { EventType::PolicyChange } else { EventType::PolicyFirstUse };
    let mut draft = Draft::new(kind, "policy", path);
    draft.digests([digest.to_owned()]);
    if let Some(last) = last {
        draft.evidence("before", &last);
    }
    Ok(Some(draft))
}
