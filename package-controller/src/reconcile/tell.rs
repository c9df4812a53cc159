//! What is told of a package: events that `kubectl describe` shows, lines of the log, the audit log, and counters.

mod deed;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use audit::{Draft, Ending, Journal, Outcome, Station};
use brief::{cut, words};
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

pub(super) use deed::Deed;

/// The longest note that an event may have, and the longest action.
const NOTE: usize = 1024;
const ACTION: usize = 128;

/// Tells.
pub(super) struct Teller {
    recorder: Recorder,
    journal: Option<Arc<Journal>>,
    deeds: Family<DeedLabels, Counter>,
    /// Installations under way.
    pub(super) running: Gauge,
    /// What was told last of a package, so that it is not told again and again.
    last: Mutex<HashMap<String, String>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeedLabels {
    reason: &'static str,
}

impl Teller {
    /// # Errors
    /// When there shall be an audit log and cannot be.
    pub(super) fn new(context: &Context) -> Result<Self> {
        let settings = &context.settings;
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(settings.identity.clone()) };
        let station = Station::of_process("airlock controller", &settings.version);
        let open = |folder| Journal::open(folder, station).map_err(|error| Error::Audit(Box::new(error)));
        let journal = settings.audit.as_deref().map(open).transpose()?;
        let (deeds, running) = (Family::default(), Gauge::default());
        context.telemetry.register(|registry| {
            registry.register("airlock_package_events", "What was done to packages", deeds.clone());
            registry.register("airlock_package_installs", "Installations under way", running.clone());
        });
        Ok(Self {
            recorder: Recorder::new(context.kube.clone(), reporter),
            journal: journal.map(Arc::new),
            deeds,
            running,
            last: Mutex::default(),
        })
    }

    /// Tells of a package what was done, or could not be.
    ///
    /// # Errors
    /// When it belongs into the audit log and cannot be written there: then it must not pass for done.
    pub(super) async fn tell(&self, package: &Package, deed: &Deed<'_>) -> Result<()> {
        let note = cut(&deed.note(), NOTE).to_owned();
        if !deed.is_lasting() {
            // What follows it is told, even in the words of before.
            self.forget(package);
        } else if !self.is_news(package, &note) {
            return Ok(());
        }
        self.record(package, deed, &note).await?;
        let (reason, key) = (deed.reason(), format!("{}/{}", package.namespace(), package.name()));
        self.deeds.get_or_create(&DeedLabels { reason }).inc();
        if deed.is_warning() {
            tracing::warn!(package = key, reason, "{note}");
        } else {
            tracing::info!(package = key, reason, "{note}");
        }
        self.publish(&package.object_ref(&()), deed.is_warning(), reason, note).await;
        Ok(())
    }

    /// Tells of a cluster's settings what they came to, when that is another than before.
    pub(super) async fn tell_settings(&self, settings: &PackageBundleController, reason: &str, detail: &str) {
        let (note, key) =
            (cut(detail, NOTE).to_owned(), format!("PackageBundleController/{}", settings.name()));
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
            // Events that differ in nothing but their note would be told with the first one's.
            action: cut(&format!("{reason}: {note}"), ACTION).to_owned(),
            note: Some(note),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            let (kind, name) = (about.kind.as_deref(), about.name.as_deref());
            tracing::debug!(kind, name, error = %words(&error), "the event was not taken");
        }
    }

    /// Forgets what was told of a package.
    pub(super) fn forget(&self, package: &Package) {
        let key = format!("{}/{}", package.namespace(), package.name());
        self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    fn is_news(&self, package: &Package, note: &str) -> bool {
        let key = format!("{}/{}", package.namespace(), package.name());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.insert(key, note.to_owned()).as_deref() != Some(note)
    }

    async fn record(&self, package: &Package, deed: &Deed<'_>, note: &str) -> Result<()> {
        let (Some(journal), Some((kind, good))) = (self.journal.clone(), deed.audited()) else {
            return Ok(());
        };
        let draft = draft(package, kind);
        let outcome =
            if good { Outcome::success() } else { Outcome::because(Ending::Failed, deed.reason(), note) };
        let write = tokio::task::spawn_blocking(move || journal.record(draft, &outcome));
        match write.await {
            Ok(written) => written.map(drop).map_err(|error| Error::Audit(Box::new(error))),
            // The process ends.
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
