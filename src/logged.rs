//! Work that is logged: how commands leave their events.
//!
//! A command begins its work, fills in what it meets, and says that it is done before it prints that it is: only what
//! is in the log, durable and under a signed checkpoint, is reported as done. Work that fails is logged with its
//! reason when its error leaves the command.
//!
//! `Logs -> Work -> done -> printed`

mod observer;
pub(crate) mod outcome;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use audit::{Belief, Draft, Filter, Index, Journal, Kind, Outcome, Reader, Station, search};
use oci::Digest;
use store::Store;
use time::OffsetDateTime;

pub(crate) use self::observer::Witness;
use crate::failure::Usage;
use crate::printer::Printer;

/// What to do about a log that cannot be written.
pub(crate) const HINT: &str = "see what is wrong by `airlock audit verify`; run as the log's owner, with room on its \
                               disk; docs/audit.md tells what to do with a damaged log";

/// Which log work goes into: the one that was named, else that of the store that the command works on, else that of
/// the store that the settings name. What changes a cluster goes into the operator's own log where there is none of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    pub(crate) named: Option<PathBuf>,
    pub(crate) default_store: Option<PathBuf>,
    /// The log of whoever runs this program.
    pub(crate) operator: Option<PathBuf>,
}

impl Logs {
    /// The log's folder, if there is a log to be had.
    pub(crate) fn folder(&self, store: Option<&Path>) -> Option<PathBuf> {
        let store = || match store {
            Some(store) => Some(store).filter(|store| Store::is_at(store)),
            None => self.default_store.as_deref().filter(|store| Store::is_at(store)),
        };
        self.named.clone().or_else(|| store().map(Journal::folder))
    }

    /// The log of what changes clusters, if there is one to be had.
    pub(crate) fn of_clusters(&self, store: Option<&Path>) -> Option<PathBuf> {
        self.folder(store).or_else(|| self.folder(None)).or_else(|| self.operator.clone())
    }

    /// Begins work that changes a cluster: it always has a log.
    ///
    /// # Errors
    /// There is no folder for a log, or it cannot be written: nothing that changes a cluster goes unlogged in silence.
    pub(crate) fn begin_in_cluster<'a>(
        &'a self,
        event: Kind,
        object: (&str, &str),
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> anyhow::Result<Work<'a>> {
        let Some(folder) = self.of_clusters(store) else {
            let message =
                "there is no audit log for a change of the cluster: no home folder is known".to_owned();
            return Err(Usage { message, hint: "name a log by --audit-log DIR or AIRLOCK_AUDIT_LOG" }.into());
        };
        if let Some(parent) = folder.parent().filter(|_| self.operator.as_ref() == Some(&folder)) {
            private_folder(parent).with_context(|| unwritable(&folder))?;
        }
        let mut work = Work { in_cluster: Some(folder), ..Work::new(self, (event, object), store, printer) };
        work.open()?;
        Ok(work)
    }

    /// Begins work on what is of this kind and has this name, in a store or elsewhere. A log that cannot be written
    /// ends it here: nothing is begun that could not be reported.
    pub(crate) fn begin<'a>(
        &'a self,
        event: Kind,
        (object, name): (&str, &str),
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> anyhow::Result<Work<'a>> {
        let mut work = Work::new(self, (event, (object, name)), store, printer);
        work.open()?;
        Ok(work)
    }
}

/// Work under way.
pub(crate) struct Work<'a> {
    logs: &'a Logs,
    printer: &'a Printer,
    store: Option<PathBuf>,
    /// The log of what changes clusters, for such work.
    in_cluster: Option<PathBuf>,
    journal: Option<Arc<Journal>>,
    /// Taken when it is logged.
    draft: Option<Draft>,
    /// What was logged.
    logged: Option<Draft>,
    /// Trust files that decide, with their digests.
    policies: Vec<(String, String)>,
    read_only: bool,
}

impl<'a> Work<'a> {
    fn new(
        logs: &'a Logs,
        (event, (object, name)): (Kind, (&str, &str)),
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> Self {
        Self {
            logs,
            printer,
            store: store.map(Path::to_owned),
            in_cluster: None,
            journal: None,
            draft: Some(Draft::new(event, object, name)),
            logged: None,
            policies: Vec::new(),
            read_only: false,
        }
    }
}

impl Work<'_> {
    /// Names the object better.
    pub(crate) fn name(&mut self, name: &str) {
        if let Some(draft) = &mut self.draft {
            draft.name(name);
        }
    }

    /// Adds what it was done to.
    pub(crate) fn digests(&mut self, digests: impl IntoIterator<Item = String>) {
        if let Some(draft) = &mut self.draft {
            draft.digests(digests);
        }
    }

    /// Adds what the outcome rests on.
    pub(crate) fn evidence(&mut self, name: &str, value: &(impl ToString + ?Sized)) {
        if let Some(draft) = &mut self.draft {
            draft.evidence(name, value);
        }
    }

    /// A trust file decides: its digest is evidence, and that it is new or changed is an event of its own.
    pub(crate) fn policy(&mut self, path: &Path, text: &str) {
        let digest = Digest::sha256(text.as_bytes()).to_string();
        self.evidence("trust", &digest);
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.policies.push((path.display().to_string(), digest));
    }

    /// The digest of the trust file that decides.
    pub(crate) fn newest_policy(&self) -> Option<String> {
        self.policies.last().map(|(_, digest)| digest.clone())
    }

    /// The log, for what goes on logging by itself.
    pub(crate) fn journal(&mut self) -> anyhow::Result<Option<Arc<Journal>>> {
        self.open()?;
        Ok(self.journal.clone())
    }

    /// It is done; when this returned, that may be said.
    pub(crate) fn done(&mut self) -> anyhow::Result<()> {
        self.record(&Outcome::success())
    }

    /// What was logged as done came to nothing after all: how the work ends is one more event.
    pub(crate) fn undone(&mut self) {
        self.draft = self.draft.take().or_else(|| self.logged.take());
    }

    /// It came to an end, and that was not as wanted.
    pub(crate) fn ended(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        self.record(outcome)
    }

    /// Gives the work's result, after a failure was logged. If that fails, too, both are told, and the work's own
    /// error decides.
    pub(crate) fn end<T>(mut self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        let recorded = match &result {
            Ok(_) => self.done(),
            Err(error) => self.record(&outcome::of(error)),
        };
        match (result, recorded) {
            (Ok(_), Err(unlogged)) => Err(unlogged),
            (Err(error), Err(unlogged)) => {
                self.printer.complain(&format!("error: {unlogged:#}"));
                Err(error)
            }
            (result, Ok(())) => result,
        }
    }

    /// Opens the log, if there is one by now.
    fn open(&mut self) -> anyhow::Result<()> {
        if self.journal.is_some() || self.read_only {
            return Ok(());
        }
        let folder = self.in_cluster.clone().or_else(|| self.logs.folder(self.store.as_deref()));
        let Some(folder) = folder else { return Ok(()) };
        match Journal::open(&folder, Station::of_process("airlock", env!("CARGO_PKG_VERSION"))) {
            Err(error) if error.is_read_only() => {
                let folder = folder.display();
                self.printer.say(&format!(
                    "warning: `{folder}` is on a read-only file system and gets no event of this"
                ));
                self.read_only = true;
                Ok(())
            }
            opened => {
                self.journal = Some(Arc::new(opened.with_context(|| unwritable(&folder))?));
                Ok(())
            }
        }
    }

    fn record(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        self.logged = Some(draft.clone());
        self.open()?;
        let Some(journal) = &self.journal else {
            if !self.read_only {
                self.printer
                    .say("note: no audit log has this: name one by --audit-log, or a store by AIRLOCK_STORE");
            }
            return Ok(());
        };
        let success = Outcome::success();
        let mut events = Vec::new();
        for (path, digest) in std::mem::take(&mut self.policies) {
            events.extend(policy_event(journal.path(), &path, &digest)?.map(|draft| (draft, &success)));
        }
        events.push((draft, outcome));
        journal.record_at(OffsetDateTime::now_utc(), events)?;
        Ok(())
    }
}

/// A folder for nobody but its owner, with those above it.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn unwritable(folder: &Path) -> String {
    format!("the audit log `{}` cannot be written, so nothing was begun", folder.display())
}

/// That a trust file decides for the first time, or is not what it was when it last did.
fn policy_event(log: &Path, path: &str, digest: &str) -> anyhow::Result<Option<Draft>> {
    let reader = Reader::open(log, Belief::own(log)?)?;
    let index = Index::open(&reader)?;
    let mut last = None;
    for kind in [Kind::PolicyFirstUse, Kind::PolicyChange] {
        let (event, object) = (Some(kind.name().to_owned()), Some(path.to_owned()));
        let filter = Filter { event, object, limit: Some(1), ..Filter::default() };
        search::search(&reader, &index, &filter, &mut |_, event| {
            // A change comes after the first use.
            last = event.object.digests.into_iter().next();
            Ok(())
        })?;
    }
    if last.as_deref() == Some(digest) {
        return Ok(None);
    }
    let kind = if last.is_some() { Kind::PolicyChange } else { Kind::PolicyFirstUse };
    let mut draft = Draft::new(kind, "policy", path);
    draft.digests([digest.to_owned()]);
    if let Some(last) = last {
        draft.evidence("before", &last);
    }
    Ok(Some(draft))
}
