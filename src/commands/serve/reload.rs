//! Reloads the configuration of a running registry, on SIGHUP or when one of its files has changed.
//!
//! All files are read and checked first, and the change is logged; only then is it applied, as a whole. A configuration that
//! cannot be used changes nothing.

use std::sync::Arc;
use std::time::Duration;

use audit::EventType;
use oci::RegistryHost;
use packager::witness::notes::{Purpose, note_policy};
use registry::server::{Change, ClientAuthorities, Gate, Metrics, Server};
use rustls::sign::CertifiedKey;
use store::Store;
use tokio::signal::unix::Signal;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::Serve;
use super::load::{GateBasis, Loaded, load, plan_of};
use super::plan::{Plan, Security};
use super::retain::Retention;
use super::scrub::Scrubbing;
use super::sources::{Digests, Sources, Watch};
use super::start::{certificate_of, issue, note};
use crate::commands::tls::{self, CurrentCertificate};
use crate::failure::{self, Usage};
use crate::logged::{Journals, Logs, Work};
use crate::printer::Printer;
use crate::trust_input::note_roots;

/// The interval between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// A registry that serves.
pub(super) struct Running {
    pub(super) server: Server,
    pub(super) store: Store,
    pub(super) plan: Plan,
    pub(super) sources: Sources,
    pub(super) watch: Watch,
    /// The certificate of each listener with TLS.
    pub(super) certificates: Vec<Option<Arc<CurrentCertificate>>>,
    /// The CAs of client certificates of each listener that accepts these.
    pub(super) clients: Vec<Option<Arc<ClientAuthorities>>>,
    /// The metrics, if they are served.
    pub(super) metrics: Option<Metrics>,
    pub(super) gate: GateInUse,
    /// The registry's name for the gates, if the plan names none.
    pub(super) host: Option<RegistryHost>,
    pub(super) journals: Journals,
    pub(super) urls: Vec<String>,
    pub(super) scrubbing: Scrubbing,
}

/// The gate in use, and what it depends on.
#[derive(Clone, Default)]
pub(super) struct GateInUse {
    pub(super) basis: Option<GateBasis>,
    pub(super) gate: Option<Arc<dyn Gate>>,
}

/// Why a configuration is reloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Signal,
    File,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::File => "file",
        }
    }
}

/// A configuration that was checked, but is not used yet.
struct Next {
    plan: Plan,
    sources: Sources,
    change: Change,
    certificates: Vec<Option<CertifiedKey>>,
    clients: Vec<Option<ClientAuthorities>>,
    gate: GateInUse,
    /// The parts that differ from the configuration in use.
    changed: Vec<&'static str>,
}

impl Running {
    /// Reloads the configuration whenever necessary, until the server has stopped.
    pub(super) async fn watch_until_stopped(
        &mut self,
        mut serving: JoinHandle<registry::Result<()>>,
        hangups: &mut Signal,
        (settings, logs, printer): (&Serve, &Logs, &Printer),
    ) -> anyhow::Result<()> {
        let mut retention = Retention::default();
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let cause = tokio::select! {
                stopped = &mut serving => return Ok(stopped??),
                _ = hangups.recv() => Cause::Signal,
                _ = looks.tick() => Cause::File,
            };
            let interval = self.plan.rules.as_ref().and_then(|rules| rules.interval);
            retention.look(interval.filter(|_| !self.store.is_read_only()), &self.store, &self.journals);
            // Only this task waits; the server has its own.
            let now = self.watch.look();
            if self.watch.is_due(&now) || cause == Cause::Signal {
                self.reload(cause, now, (settings, logs, printer));
            }
        }
    }

    /// Reloads the configuration, logs the outcome, and prints it.
    fn reload(&mut self, cause: Cause, now: Digests, (settings, logs, printer): (&Serve, &Logs, &Printer)) {
        let mut sources = self.sources.again();
        let name = self.plan.store.display().to_string();
        let begun = logs.begin(EventType::ServeReload, "store", &name, Some(&self.plan.store), printer);
        let outcome = begun.and_then(|mut work| {
            work.evidence("cause", cause.name());
            let result = self.next(cause, settings, &mut sources, &mut work);
            work.end(result)
        });
        match outcome {
            Ok(next) => {
                let changed = listed(&next.changed);
                self.apply(next);
                printer.say(&format!("reloaded the configuration; changed: {changed}"));
            }
            Err(error) => {
                self.watch.refused(now, &sources);
                let what = "the configuration was not reloaded; the one in use stays";
                failure::report(&error.context(what), printer);
            }
        }
    }

    /// Reads and checks the configuration.
    fn next(
        &self,
        cause: Cause,
        settings: &Serve,
        sources: &mut Sources,
        work: &mut Work<'_>,
    ) -> anyhow::Result<Next> {
        let plan = plan_of(settings, sources)?;
        plan.check()?;
        if let Some(name) = plan.needs_restart(&self.plan) {
            let message = format!("`{name}` cannot change while the registry runs");
            return Err(Usage { message, hint: "restart the registry, or undo the change" }.into());
        }
        if self.store.is_read_only() && !plan.read_only {
            return Err(store::Error::ReadOnly(plan.store).into());
        }
        let Loaded { auth, certificates, clients, trust } = load(&plan, sources, work.printer())?;
        let issued = if self.is_issue_due(cause, &plan) { issue(&plan)? } else { None };
        let certificates = certificates
            .into_iter()
            .zip(&plan.listeners)
            .map(|(own, listener)| certificate_of(own, listener, issued.as_ref()))
            .collect();
        let mut gate = GateInUse::default();
        if let Some(trust) = trust {
            note_policy(&self.store, Purpose::Content, trust.file.sequence())?;
            work.policy(&trust.path, &trust.text);
            note_roots(&trust.file, work);
            gate.basis = Some(trust.basis(&plan));
            gate.gate = if gate.basis == self.gate.basis {
                self.gate.gate.clone()
            } else {
                trust.gate(&plan, &self.store, self.host.as_ref(), self.journals.clone())
            };
        }
        note(&plan, sources, settings, work);
        let changed = self.changed(&plan, sources, &gate, issued.is_some());
        work.evidence("changed", &listed(&changed));
        let same_access = plan.access.is_same(sources, (&self.plan.access, &self.sources));
        let change = Change {
            auth: (!same_access).then_some(auth),
            read_only: plan.read_only,
            gate: gate.gate.clone(),
            limits: plan.limits,
        };
        // Last, because it can fail: nothing has changed before.
        if let Some(found) = plan.rules.as_ref().filter(|_| !self.store.is_read_only()) {
            self.store.set_rules(&found.rules)?;
        }
        Ok(Next { plan, sources: sources.clone(), change, certificates, clients, gate, changed })
    }

    /// Whether the local CA issues a new certificate: when asked by a signal, as at each start, or when it is needed.
    fn is_issue_due(&self, cause: Cause, plan: &Plan) -> bool {
        let signed = |plan: &Plan| -> Vec<bool> {
            plan.listeners.iter().map(|listener| listener.security == Security::SelfSigned).collect()
        };
        cause == Cause::Signal || plan.authority != self.plan.authority || signed(plan) != signed(&self.plan)
    }

    fn changed(&self, plan: &Plan, sources: &Sources, gate: &GateInUse, issued: bool) -> Vec<&'static str> {
        let is_same = |path| sources.has_same(&self.sources, Some(path));
        let certificates = plan.listeners.iter().zip(&self.plan.listeners).any(|(new, old)| {
            let same_files = match &new.security {
                Security::Files { cert, key } => is_same(cert) && is_same(key),
                Security::Plain { .. } | Security::SelfSigned => true,
            };
            new.security != old.security || !same_files
        });
        let client_ca = |plan: &Plan| -> Vec<_> {
            plan.listeners.iter().map(|listener| listener.client_ca.clone()).collect()
        };
        let same_clients = client_ca(plan) == client_ca(&self.plan)
            && client_ca(plan).iter().flatten().all(|path| is_same(path));
        let access = !plan.access.is_same(sources, (&self.plan.access, &self.sources));
        let parts = [
            ("access", access),
            ("certificates", certificates || issued),
            ("CAs of clients", !same_clients),
            ("trust file", gate.basis != self.gate.basis),
            ("read-only mode", plan.read_only != self.plan.read_only),
            ("limits", plan.limits != self.plan.limits),
            ("scrub", plan.scrub != self.plan.scrub),
            ("rules", plan.rules != self.plan.rules),
        ];
        parts.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }

    fn apply(&mut self, next: Next) {
        self.server.change(next.change);
        for (current, new) in self.certificates.iter().zip(next.certificates) {
            if let (Some(current), Some(new)) = (current, new) {
                current.replace(new);
            }
        }
        for (current, new) in self.clients.iter().zip(next.clients) {
            if let (Some(current), Some(new)) = (current, new) {
                current.replace(&new);
            }
        }
        let expiry = tls::first_expiry(self.certificates.iter().flatten().map(|current| current.get()));
        if let (Some(metrics), Some(expiry)) = (&self.metrics, expiry) {
            metrics.certificate_expires(expiry);
        }
        self.scrubbing.change(next.plan.scrub);
        self.watch.loaded(&next.sources);
        (self.plan, self.sources, self.gate) = (next.plan, next.sources, next.gate);
    }
}

fn listed(changed: &[&str]) -> String {
    if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") }
}
