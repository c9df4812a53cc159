//! What changes a cluster: installing, taking away, and putting right what somebody changed.

use std::time::{Duration, Instant};

use admission::eksa::package::timeout;
use admission::values;
use brief::{few, words};
use installer::guard::{self, Bounds, Facts};
use installer::{
    Change, Conflicts, Drift, Engine, Install, Limits, OnFailure, Ownership, Prepared, Record, Status,
    TAKE_OWNERSHIP,
};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{Package, PackageStatus, SourceVersion};
use tokio::sync::watch::{self, Receiver};

use super::{Next, Place, Work};
use crate::error::Result;
use crate::package::{self, Again, Outcome};
use crate::reconcile::clusters::Target;
use crate::reconcile::status::now;
use crate::reconcile::tell::Deed;

/// What becomes of changes that somebody made to what is installed: `repair`, which is the default, or `tell`.
const DRIFT: &str = "airlock.dev/drift";
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);
/// What is refused stays so until something changes, which is heard at once; but for a cluster that can do more now.
const REFUSED: Duration = Duration::from_mins(10);
/// When it is told first how far an installation is, how often then, and how long telling may take.
const TELL_FIRST: Duration = Duration::from_secs(2);
const TELL_EVERY: Duration = Duration::from_secs(10);
const TELL_PATIENCE: Duration = Duration::from_secs(5);

impl Work<'_> {
    pub(super) async fn install(
        &mut self,
        plan: Install,
        status: PackageStatus,
        place: &Place,
        target: &Target,
    ) -> Result<Next> {
        self.write(status).await?;
        let from = self.package.status.as_ref().map(|status| status.current_version.clone());
        let from = from.filter(|version| !version.is_empty());
        let bundle = place.bundle.as_ref().map(|bundle| bundle.name().to_owned()).unwrap_or_default();
        self.tell(&Deed::Begins { from: from.as_deref(), to: &plan.source.version, bundle: &bundle }).await?;
        let (running, worker) = (self.shared.teller.running.clone(), self.worker);
        running.inc();
        let (target, progress) = telling(target);
        let trying = self.aside();
        let ended = tokio::select! {
            ended = self.watched(progress, trying.try_install(&plan, place, &target)) => Some(ended),
            () = worker.changed() => None,
        };
        running.dec();
        let Some(ended) = ended else {
            return Ok(self.look_again().map_or(Next::Rest(Again::Never), |()| Next::Step));
        };
        self.finish(&plan, ended, from.as_deref()).await
    }

    async fn try_install(&self, plan: &Install, place: &Place, target: &Target) -> Result<Record, Fault> {
        let (version, bounds) = self.bounds(plan, place).map_err(Fault::Refused)?;
        let limits = limits(&self.package, Some(&bounds)).map_err(Fault::Refused)?;
        let engine = target.engine.clone().within(bounds);
        let work = async {
            let config = self.package.spec.config.as_deref();
            check(config, version).map_err(Fault::Refused)?;
            let prepared = engine.prepare(plan).await.map_err(|error| told(error, plan, config))?;
            let done = match self.asked_back(&prepared, &engine).await.map_err(Fault::of)? {
                Some(record) => {
                    let (release, revision) = (&plan.release, Some(record.revision));
                    engine.rollback(PACKAGES_NAMESPACE, release, revision, &limits).await
                }
                None => engine.install(&prepared, &limits).await,
            };
            done.map_err(Fault::of)
        };
        // It is large, and there are many.
        Box::pin(self.shared.bench.work(work)).await
    }

    /// The version that is planned, and what it and the cluster's settings hold the package's objects to.
    fn bounds<'a>(&self, plan: &Install, place: &'a Place) -> Result<(&'a SourceVersion, Bounds), String> {
        let bundle = place.bundle.as_deref().map_err(Clone::clone)?;
        let (package, settings) = (self.package.spec.package_name.as_str(), &self.shared.context.settings);
        let bounds = Bounds::of(&Facts {
            bundle,
            settings: place.settings.as_deref(),
            package,
            plan,
            mirror: settings.mirror.as_ref(),
            own: &settings.namespace,
        })?;
        let version = guard::offered(bundle, package, plan);
        let version = version.ok_or_else(|| format!("the bundle {} does not offer it", bundle.name()))?;
        Ok((version, bounds))
    }

    /// The revision that `airlock package rollback` asks for, if it is of this very plan. A chart that looks at what is
    /// installed, as Harbor's does, would render to something else now.
    async fn asked_back(
        &self,
        prepared: &Prepared,
        engine: &Engine,
    ) -> Result<Option<Record>, installer::Error> {
        let wanted = self.package.annotation(package::ROLLBACK).and_then(|text| text.parse::<u32>().ok());
        let Some(wanted) = wanted else { return Ok(None) };
        let mut history = engine.history(PACKAGES_NAMESPACE, &prepared.plan.release).await?;
        // The newest is put right as it is.
        history.pop();
        let found = history.into_iter().find(|record| {
            record.revision == wanted
                && matches!(record.status, Status::Superseded | Status::Deployed)
                && prepared.is_of(record)
        });
        let Some(record) = found else { return Ok(None) };
        // A revision that is not within today's bounds, as one from before images were named by digests, is rendered anew.
        match engine.judge(&record).await {
            Ok(()) => Ok(Some(record)),
            Err(installer::Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn finish(
        &mut self,
        plan: &Install,
        ended: Result<Record, Fault>,
        from: Option<&str>,
    ) -> Result<Next> {
        let upgrade = from.is_some();
        let outcome = match &ended {
            Ok(_) => Outcome::Ready,
            Err(fault) if fault.is_final() => Outcome::GaveUp(fault.words()),
            Err(fault) => Outcome::Retry(fault.words()),
        };
        let refused = ended.as_ref().is_err_and(Fault::is_refusal);
        let management = &self.shared.context.settings.cluster;
        let done = package::finish(&self.package, plan, outcome.clone(), management, &now());
        match &outcome {
            Outcome::Ready => {
                self.went_well("install");
                self.tell(&Deed::Done { from, to: &plan.source.version }).await?;
            }
            Outcome::Retry(reason) if refused => self.tell(&Deed::Refused { upgrade, reason }).await?,
            Outcome::Retry(reason) => self.tell(&Deed::Unwell { upgrade, reason }).await?,
            Outcome::GaveUp(reason) => {
                let retry = package::how_to_retry(&self.package);
                self.tell(&Deed::Failed { upgrade, reason, retry: &retry }).await?;
                self.tell(&Deed::RolledBack { back_to: from }).await?;
            }
        }
        self.write(done.status).await?;
        if !matches!(outcome, Outcome::Retry(_)) {
            self.note_failure(matches!(outcome, Outcome::GaveUp(_))).await?;
        }
        Ok(Next::Rest(match outcome {
            Outcome::Ready => self.until_compared(done.again),
            Outcome::Retry(_) if refused => Again::After(REFUSED),
            Outcome::Retry(_) => self.later("install"),
            Outcome::GaveUp(_) => done.again,
        }))
    }

    pub(super) async fn uninstall(&mut self, status: PackageStatus, target: &Target) -> Result<Next> {
        self.write(status).await?;
        self.tell(&Deed::Leaving).await?;
        let limits = limits(&self.package, None).unwrap_or_default();
        let release = self.package.name();
        let (release, shared) = (release.to_owned(), self.shared);
        let (target, progress) = telling(target);
        let removal = target.engine.uninstall(PACKAGES_NAMESPACE, &release, &limits);
        match self.watched(progress, Box::pin(shared.bench.work(removal))).await {
            Ok(()) => {
                self.went_well("uninstall");
                Ok(Next::Step)
            }
            Err(error) => {
                let reason = words(&error);
                self.tell(&Deed::Stays(&reason)).await?;
                self.write_detail(reason).await?;
                Ok(Next::Rest(self.later("uninstall")))
            }
        }
    }

    /// Another who works on the same package, while this one writes how far that is.
    fn aside(&self) -> Self {
        Self { package: self.package.clone(), stored: self.stored.clone(), record: None, plan: None, ..*self }
    }

    /// Works, and writes now and then how far it is. What cannot be written is not told this time.
    async fn watched<T>(&mut self, progress: Receiver<String>, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TELL_FIRST, TELL_EVERY);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {}
            }
            let words = progress.borrow().clone();
            if words.is_empty() {
                continue;
            }
            let status = package::under_way(&self.package, &words, &now());
            let written = tokio::time::timeout(TELL_PATIENCE, self.write(status)).await;
            if let Ok(Err(error)) = written {
                tracing::debug!(package = self.key(), error = %brief::words(&error), "how far it is cannot be told");
            }
        }
    }

    /// Looks for what somebody changed, if it is time to, and puts it right or tells.
    pub(super) async fn compare(
        &mut self,
        plan: &Install,
        place: &Place,
        target: &Target,
        record: &Record,
    ) -> Result<()> {
        let key = self.key();
        if !self.shared.bench.is_due(&key, Instant::now()) {
            return Ok(());
        }
        let found = match target.engine.drift(record).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(package = key, error = %words(&error), "it cannot be compared now");
                return Ok(());
            }
        };
        if found.is_empty() {
            return self.write_drift(None).await;
        }
        let objects = differences(&found);
        let repaired =
            if repairs(&self.package) { Some(self.try_install(plan, place, target).await) } else { None };
        match repaired {
            Some(Ok(_)) => {
                self.tell(&Deed::Drifted { objects: &objects, repaired: true }).await?;
                self.write_drift(None).await
            }
            Some(Err(fault)) => {
                let objects = format!("{objects}; it cannot be put right now: {}", fault.words());
                self.tell(&Deed::Drifted { objects: &objects, repaired: false }).await?;
                self.write_drift(Some(&objects)).await
            }
            None => {
                self.tell(&Deed::Drifted { objects: &objects, repaired: false }).await?;
                self.write_drift(Some(&objects)).await
            }
        }
    }

    async fn write_drift(&mut self, objects: Option<&str>) -> Result<()> {
        let status = self.package.status.clone().unwrap_or_default();
        let status = package::drifted(&self.package, status, objects, &now());
        self.write(status).await
    }

    /// The next look comes in time for the next comparison.
    pub(super) fn until_compared(&self, again: Again) -> Again {
        match again {
            Again::After(pause) => Again::After(pause.min(self.shared.bench.interval())),
            Again::Never => Again::Never,
        }
    }
}

/// The same target, which tells how far the work is.
fn telling(target: &Target) -> (Target, Receiver<String>) {
    let (progress, told) = watch::channel(String::new());
    let engine = target.engine.clone().telling(progress);
    (Target { client: target.client.clone(), engine }, told)
}

/// Why an installation did not succeed.
enum Fault {
    /// What it would bring is not to be installed.
    Refused(String),
    /// It was tried.
    Engine(installer::Error),
}

impl Fault {
    fn of(error: installer::Error) -> Self {
        match error {
            installer::Error::Refused { reason } => Self::Refused(reason),
            error => Self::Engine(error),
        }
    }

    /// Whether it was tried to the end, and undone.
    fn is_final(&self) -> bool {
        matches!(self, Self::Engine(installer::Error::Failed { .. }))
    }

    /// Whether nothing was tried, and will not be until something changes.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Engine(error) => error.is_refusal(),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Refused(words) => words.clone(),
            Self::Engine(error) => words(error),
        }
    }
}

/// A refusal, with where the registry of the images is from.
fn told(error: installer::Error, plan: &Install, config: Option<&str>) -> Fault {
    match (Fault::of(error), package::added_registry(plan, config)) {
        (Fault::Refused(reason), Some(added)) if reason.contains(" uses the image ") => {
            Fault::Refused(format!("{reason}; {added}"))
        }
        (fault, _) => fault,
    }
}

/// A bundle without a schema says nothing about values; admission refuses such packages, but not all come by it.
fn check(config: Option<&str>, version: &SourceVersion) -> Result<(), String> {
    match version.schema.as_deref().filter(|schema| !schema.is_empty()) {
        Some(schema) => values::check(schema, config).map(drop).map_err(|error| error.words()),
        None => Ok(()),
    }
}

/// Without bounds nothing is taken over that is not the package's.
fn limits(package: &Package, bounds: Option<&Bounds>) -> Result<Limits, String> {
    let asked = timeout(package)?.unwrap_or(DEFAULT_TIMEOUT);
    let timeout = asked.clamp(Duration::from_secs(1), LONGEST_TIMEOUT);
    // Whoever wants his changes kept says so; else they give way, here as when they are found.
    let conflicts = if repairs(package) { Conflicts::Take } else { Conflicts::Refuse };
    let takes = package.annotation(TAKE_OWNERSHIP) == Some("true");
    let ownership = match bounds {
        Some(bounds) if takes => {
            bounds.may_take()?;
            Ownership::Take
        }
        _ => Ownership::Refuse,
    };
    let mut limits = Limits::default();
    (limits.timeout, limits.on_failure) = (timeout, OnFailure::RollBack);
    (limits.conflicts, limits.ownership) = (conflicts, ownership);
    Ok(limits)
}

fn repairs(package: &Package) -> bool {
    package.annotation(DRIFT) != Some("tell")
}

fn differences(found: &[Drift]) -> String {
    const MOST: usize = 5;
    let one = |drift: &Drift| match &drift.change {
        Change::Gone => format!("{} is gone", drift.object),
        Change::Fields(fields) => format!("{}: {}", drift.object, fields.join(", ")),
    };
    few(found.iter().map(one), MOST, "; ")
}
