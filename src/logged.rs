//! Work that is logged: how commands leave their events.
//!
//! A command begins its work, fills in what it meets, and says that it is done before it prints that it is: only what
//! is in the log, durable and under a signed checkpoint, is reported as done. Work that fails is logged with its
//! reason when its error leaves the command.
//!
//! What is done to a store is in the store's own log, always. A log that is named beside it gets the same events.
//!
//! `Logs -> Work -> done -> printed`

mod observer;
pub(crate) mod outcome;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use audit::{Belief, Draft, EventType, Filter, Index, Journal, Outcome, Reader, Station, search};
use oci::Digest;
use store::Store;
use time::OffsetDateTime;

pub(crate) use self::observer::Witness;
use crate::failure::Usage;
use crate::past::Past;
use crate::printer::Printer;

/// What to do about a log that cannot be written.
pub(crate) const HINT: &str = "see what is wrong by `airlock audit verify`; run as the log's owner, with room on its \
                               disk; docs/audit.md tells what to do with a damaged log";

/// Which logs work goes into: that of the store that the command works on, and the one that was named. Where there is
/// neither, that of the store that the settings name. What changes a cluster goes into the operator's own log where there is
/// none of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    pub(crate) named: Option<PathBuf>,
    /// Whether the command line names a store, and no log.
    pub(crate) store_first: bool,
    pub(crate) default_store: Option<PathBuf>,
    /// The log of whoever runs this program.
    pub(crate) operator: Option<PathBuf>,
    /// What packs signed, kept outside the stores.
    pub(crate) past: Past,
}

impl Logs {
    /// The folder of a store's own log, if there is a store.
    pub(crate) fn of_store(store: &Path) -> Option<PathBuf> {
        Store::is_at(store).then(|| Journal::folder(store))
    }

    /// The folders of the logs that there are to be had, the store's own first.
    fn folders(&self, store: Option<&Path>) -> Vec<PathBuf> {
        let own = store.and_then(Self::of_store);
        let default = || self.default_store.as_deref().and_then(Self::of_store);
        let default = if store.is_none() && self.named.is_none() { default() } else { None };
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in own.into_iter().chain(default).chain(self.named.clone()) {
            if !folders.iter().any(|known| place(known) == place(&folder)) {
                folders.push(folder);
            }
        }
        folders
    }

    /// The folders of the logs of what changes clusters.
    fn of_clusters(&self, store: Option<&Path>) -> Vec<PathBuf> {
        let found = [self.folders(store), self.folders(None)].into_iter().find(|folders| !folders.is_empty());
        found.unwrap_or_else(|| self.operator.iter().cloned().collect())
    }

    /// Begins work that changes a cluster: it always has a log.
    ///
    /// # Errors
    /// There is no folder for a log, or it cannot be written: nothing that changes a cluster goes unlogged in silence.
    pub(crate) fn begin_in_cluster<'a>(
        &'a self,
        event: EventType,
        object: (&str, &str),
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> anyhow::Result<Work<'a>> {
        if self.of_clusters(store).is_empty() {
            let message =
                "there is no audit log for a change of the cluster: no home folder is known".to_owned();
            return Err(Usage { message, hint: "name a log by --audit-log DIR or AIRLOCK_AUDIT_LOG" }.into());
        }
        if let Some(operator) = self.operator.as_ref().filter(|log| self.of_clusters(store).contains(log))
            && let Some(parent) = operator.parent()
        {
            private::create_folders(parent).with_context(|| unwritable(operator))?;
        }
        let mut work = Work { in_cluster: true, ..Work::new(self, (event, object), store, printer) };
        work.open()?;
        Ok(work)
    }

    /// Begins work on what is of this kind and has this name, in a store or elsewhere. A log that cannot be written
    /// ends it here: nothing is begun that could not be reported.
    pub(crate) fn begin<'a>(
        &'a self,
        event: EventType,
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
    /// Whether it changes a cluster, which never goes unlogged.
    in_cluster: bool,
    journals: Journals,
    /// Taken when it is logged.
    draft: Option<Draft>,
    /// What was logged.
    logged: Option<Draft>,
    /// Trust files that decide, with their digests.
    policies: Vec<(String, String)>,
    /// Logs that can only be read.
    read_only: Vec<PathBuf>,
}

/// The logs that are open, each once; the store's own is the first.
#[derive(Clone, Default)]
pub(crate) struct Journals(Vec<(PathBuf, Arc<Journal>)>);

impl Journals {
    /// Logs an event in each.
    pub(crate) fn record(&self, draft: &Draft, outcome: &Outcome) -> audit::Result<()> {
        self.0.iter().try_for_each(|(_, journal)| journal.record(draft.clone(), outcome).map(drop))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A log's place by whatever name: its folder may not be there yet.
fn place(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default();
    let above = private::folder_of(folder);
    folder
        .canonicalize()
        .or_else(|_| above.canonicalize().map(|above| above.join(name)))
        .unwrap_or_else(|_| folder.to_owned())
}

impl<'a> Work<'a> {
    fn new(
        logs: &'a Logs,
        (event, (object, name)): (EventType, (&str, &str)),
        store: Option<&Path>,
        printer: &'a Printer,
    ) -> Self {
        Self {
            logs,
            printer,
            store: store.map(Path::to_owned),
            in_cluster: false,
            journals: Journals::default(),
            draft: Some(Draft::new(event, object, name)),
            logged: None,
            policies: Vec::new(),
            read_only: Vec::new(),
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

    /// Where the command talks.
    pub(crate) fn printer(&self) -> &Printer {
        self.printer
    }

    /// The digest of the trust file that decides.
    pub(crate) fn newest_policy(&self) -> Option<String> {
        self.policies.last().map(|(_, digest)| digest.clone())
    }

    /// The logs, for what goes on logging by itself.
    pub(crate) fn journals(&mut self) -> anyhow::Result<Journals> {
        self.open()?;
        Ok(self.journals.clone())
    }

    /// What packs signed before.
    pub(crate) fn past(&self) -> &Past {
        &self.logs.past
    }

    /// The own log of the store that is worked on.
    pub(crate) fn own_journal(&mut self) -> anyhow::Result<Option<Arc<Journal>>> {
        self.open()?;
        let own = self.store.as_deref().and_then(Logs::of_store);
        let found = self.journals.0.iter().find(|(folder, _)| own.as_ref() == Some(folder));
        Ok(found.map(|(_, journal)| Arc::clone(journal)))
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

    fn folders(&self) -> Vec<PathBuf> {
        let store = self.store.as_deref();
        if self.in_cluster { self.logs.of_clusters(store) } else { self.logs.folders(store) }
    }

    /// Opens the logs that there are by now.
    fn open(&mut self) -> anyhow::Result<()> {
        for folder in self.folders() {
            let is_known = self.journals.0.iter().any(|(known, _)| *known == folder);
            if is_known || self.read_only.contains(&folder) {
                continue;
            }
            match Journal::open(&folder, Station::of_process("airlock", env!("CARGO_PKG_VERSION"))) {
                Err(error) if error.is_read_only() => {
                    let shown = folder.display();
                    self.printer.say(&format!(
                        "warning: `{shown}` is on a read-only file system and gets no event of this"
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
            self.printer
                .say("note: no audit log has this: name one by --audit-log, or a store by AIRLOCK_STORE");
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
    format!("the audit log `{}` cannot be written, so nothing was begun", folder.display())
}

/// That a trust file decides for the first time, or is not what it was when it last did.
fn policy_event(log: &Path, path: &str, digest: &str) -> anyhow::Result<Option<Draft>> {
    let reader = Reader::open(log, Belief::own(log)?)?;
    let index = Index::open(&reader)?;
    let mut last = None;
    for kind in [EventType::PolicyFirstUse, EventType::PolicyChange] {
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
    let kind = if last.is_some() { EventType::PolicyChange } else { EventType::PolicyFirstUse };
    let mut draft = Draft::new(kind, "policy", path);
    draft.digests([digest.to_owned()]);
    if let Some(last) = last {
        draft.evidence("before", &last);
    }
    Ok(Some(draft))
}
