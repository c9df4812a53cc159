//! Reports what happens to packages: as Kubernetes events, log lines, audit events and metrics.

mod package_event;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use audit::{Draft, Ending, EventSource, Journal, Outcome};
use error_text::{one_line, truncate};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use package_api::{Package, PackageBundleController};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::clusters::MANAGER;
use crate::context::Context;
use crate::error::{Error, Result};

pub(super) use package_event::PackageEvent;

/// The longest note and the longest action of a Kubernetes event.
const MAX_NOTE: usize = 1024;
const MAX_ACTION: usize = 128;

/// Reports events.
pub(super) struct EventReporter {
    recorder: Recorder,
    journal: Option<Arc<Journal>>,
    events: Family<EventLabels, Counter>,
    /// The number of running installations.
    pub(super) running: Gauge,
    /// The last note of each package, so that it is not repeated.
    last: Mutex<HashMap<String, String>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventLabels {
    reason: &'static str,
}

impl EventReporter {
    /// # Errors
    /// If the audit log cannot be opened.
    pub(super) fn new(context: &Context) -> Result<Self> {
        let settings = &context.settings;
        let reporter =
            Reporter { controller: MANAGER.to_owned(), instance: Some(settings.process.identity.clone()) };
        let source = EventSource::of_process("airlock controller", &settings.version);
        let open = |folder| Journal::open(folder, source).map_err(|error| Error::Audit(Box::new(error)));
        let journal = settings.audit.as_deref().map(open).transpose()?;
        let (events, running) = (Family::default(), Gauge::default());
        context.telemetry.register(|registry| {
            registry.register("airlock_package_events", "Events of packages", events.clone());
            registry.register("airlock_package_installs", "Running installations", running.clone());
        });
        Ok(Self {
            recorder: Recorder::new(context.kube.clone(), reporter),
            journal: journal.map(Arc::new),
            events,
            running,
            last: Mutex::default(),
        })
    }

    /// Reports an event of a package.
    ///
    /// # Errors
    /// If the event must be in the audit log and cannot be written: then the change does not count as done.
    pub(super) async fn report(&self, package: &Package, event: &PackageEvent<'_>) -> Result<()> {
        let note = truncate(&event.note(), MAX_NOTE).to_owned();
        if !event.is_ongoing() {
            // The next ongoing event is reported, even with the same note as before.
            self.forget(package);
        } else if !self.is_new(package, &note) {
            return Ok(());
        }
        self.record(package, event, &note).await?;
        let (reason, key) = (event.reason(), format!("{}/{}", package.namespace(), package.name()));
        self.events.get_or_create(&EventLabels { reason }).inc();
        if event.is_warning() {
            tracing::warn!(package = key, reason, "{note}");
        } else {
            tracing::info!(package = key, reason, "{note}");
        }
        self.publish(&package.object_ref(&()), event.is_warning(), reason, note).await;
        Ok(())
    }

    /// Reports the detail of a `PackageBundleController`, if it changed.
    pub(super) async fn report_settings(
        &self,
        settings: &PackageBundleController,
        reason: &str,
        detail: &str,
    ) {
        let (note, key) =
            (truncate(detail, MAX_NOTE).to_owned(), format!("PackageBundleController/{}", settings.name()));
        let before =
            self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), note.clone());
        if before.as_ref() == Some(&note) || note.is_empty() {
            return;
        }
        let is_warning = reason != "UpgradeAvailable";
        if is_warning {
            tracing::warn!(cluster = settings.name(), reason, "{note}");
        }
        self.publish(&settings.object_ref(&()), is_warning, reason, note).await;
    }

    async fn publish(&self, about: &ObjectReference, is_warning: bool, reason: &str, note: String) {
        let event = Event {
            type_: if is_warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            // The recorder merges events that differ only in their notes, so the note is part of the action.
            action: truncate(&format!("{reason}: {note}"), MAX_ACTION).to_owned(),
            note: Some(note),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            let (kind, name) = (about.kind.as_deref(), about.name.as_deref());
            tracing::debug!(kind, name, error = %one_line(&error), "cannot publish the event");
        }
    }

    /// Forgets the last note of a package.
    pub(super) fn forget(&self, package: &Package) {
        let key = format!("{}/{}", package.namespace(), package.name());
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    fn is_new(&self, package: &Package, note: &str) -> bool {
        let key = format!("{}/{}", package.namespace(), package.name());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(key, note.to_owned()).as_deref() != Some(note)
    }

    async fn record(&self, package: &Package, event: &PackageEvent<'_>, note: &str) -> Result<()> {
        let (Some(journal), Some((kind, good))) = (self.journal.clone(), event.audited()) else {
            return Ok(());
        };
        let draft = draft(package, kind);
        let outcome =
            if good { Outcome::success() } else { Outcome::because(Ending::Failed, event.reason(), note) };
        let write = tokio::task::spawn_blocking(move || journal.record(draft, &outcome));
        match write.await {
            Ok(written) => written.map(drop).map_err(|error| Error::Audit(Box::new(error))),
            // The process is being stopped.
            Err(_) => Ok(()),
        }
    }
}

fn draft(package: &Package, kind: audit::EventType) -> Draft {
    let mut draft = Draft::new(kind, "package", &format!("{}/{}", package.namespace(), package.name()));
    draft.evidence("packageName", &package.spec.package_name);
    if let Some(status) = &package.status {
        draft.evidence("version", &status.source.version);
        draft.digests([status.source.digest.clone()].into_iter().filter(|digest| !digest.is_empty()));
    }
    draft
}
