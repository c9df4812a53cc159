//! The actions that change a cluster: installation, removal and the repair of drift.

use std::time::{Duration, Instant};

use admission::eksa::package::timeout;
use admission::values;
use error_text::{join_first, one_line};
use installer::guard::{self, Bounds, BoundsInput};
use installer::{
    Change, Conflicts, Drift, Engine, Install, Limits, OnFailure, Ownership, Prepared, Record, Status,
    TAKE_OWNERSHIP,
};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{Package, PackageStatus, SourceVersion};
use tokio::sync::watch::{self, Receiver};

use super::{ClusterContext, NextStep, Work};
use crate::error::Result;
use crate::package::{self, Outcome, Recheck};
use crate::reconcile::clusters::Target;
use crate::reconcile::events::PackageEvent;
use crate::reconcile::status::now;

/// The annotation that sets how drift is handled: `repair`, which is the default, or `tell`.
const DRIFT: &str = "airlock.dev/drift";
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);
const MAX_TIMEOUT: Duration = Duration::from_hours(24);
/// When a rejected installation is checked again. Changes of the package are noticed at once, but not changes of the
/// cluster.
const REJECTED_RECHECK: Duration = Duration::from_mins(10);
/// When the progress of an installation is first written, how often after that, and the timeout of a write.
const FIRST_PROGRESS: Duration = Duration::from_secs(2);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(5);

impl Work<'_> {
    pub(super) async fn install(
        &mut self,
        plan: Install,
        status: PackageStatus,
        cluster: &ClusterContext,
        target: &Target,
    ) -> Result<NextStep> {
        self.write(status).await?;
        let from = self.package.status.as_ref().map(|status| status.current_version.clone());
        let from = from.filter(|version| !version.is_empty());
        let bundle = cluster.bundle.as_ref().map(|bundle| bundle.name().to_owned()).unwrap_or_default();
        self.report(&PackageEvent::Started {
            from: from.as_deref(),
            to: &plan.source.version,
            bundle: &bundle,
        })
        .await?;
        let (running, worker) = (self.shared.reporter.running.clone(), self.worker);
        running.inc();
        let (target, progress) = with_progress(target);
        let trying = self.detached();
        let ended = tokio::select! {
            ended = self.with_progress_updates(progress, trying.try_install(&plan, cluster, &target)) => Some(ended),
            () = worker.changed() => None,
        };
        running.dec();
        let Some(ended) = ended else {
            return Ok(self.refresh().map_or(NextStep::Rest(Recheck::Never), |()| NextStep::Step));
        };
        self.finish(&plan, ended, from.as_deref()).await
    }

    async fn try_install(
        &self,
        plan: &Install,
        cluster: &ClusterContext,
        target: &Target,
    ) -> Result<Record, InstallError> {
        let (version, bounds) = self.bounds(plan, cluster).map_err(InstallError::Refused)?;
        let limits = limits(&self.package, Some(&bounds)).map_err(InstallError::Refused)?;
        let engine = target.engine.clone().within(bounds);
        let work = async {
            let config = self.package.spec.config.as_deref();
            check(config, version).map_err(InstallError::Refused)?;
            let prepared = engine.prepare(plan).await.map_err(|error| install_error(error, plan, config))?;
            let done = match self.requested_revision(&prepared, &engine).await.map_err(InstallError::of)? {
                Some(record) => {
                    let (release, revision) = (&plan.release, Some(record.revision));
                    engine.rollback(PACKAGES_NAMESPACE, release, revision, &limits).await
                }
                None => engine.install(&prepared, &limits).await,
            };
            done.map_err(InstallError::of)
        };
        // Boxed, because the future is large and there are many.
        Box::pin(self.shared.slots.work(work)).await
    }

    /// The planned version, and the bounds for the objects of the package.
    fn bounds<'a>(
        &self,
        plan: &Install,
        cluster: &'a ClusterContext,
    ) -> Result<(&'a SourceVersion, Bounds), String> {
        let bundle = cluster.bundle.as_deref().map_err(Clone::clone)?;
        let (package, settings) = (self.package.spec.package_name.as_str(), &self.shared.context.settings);
        let bounds = Bounds::of(&BoundsInput {
            bundle,
            settings: cluster.settings.as_deref(),
            package,
            plan,
            mirror: settings.process.mirror.as_ref(),
            own: &settings.process.namespace,
        })?;
        let version = guard::offered(bundle, package, plan);
        let version = version.ok_or_else(|| format!("the bundle {} does not contain it", bundle.name()))?;
        Ok((version, bounds))
    }

    /// The revision that `airlock package rollback` requests, if it is of this plan. A chart that looks up installed objects,
    /// as Harbor's does, could render differently now.
    async fn requested_revision(
        &self,
        prepared: &Prepared,
        engine: &Engine,
    ) -> Result<Option<Record>, installer::Error> {
        let wanted = self.package.annotation(package::ROLLBACK).and_then(|text| text.parse::<u32>().ok());
        let Some(wanted) = wanted else { return Ok(None) };
        let mut history = engine.history(PACKAGES_NAMESPACE, &prepared.plan.release).await?;
        // The newest revision needs no rollback.
        history.pop();
        let found = history.into_iter().find(|record| {
            record.revision == wanted
                && matches!(record.status, Status::Superseded | Status::Deployed)
                && prepared.is_of(record)
        });
        let Some(record) = found else { return Ok(None) };
        // A revision that exceeds the current bounds, such as one without pinned images, is rendered again.
        match engine.check_bounds(&record).await {
            Ok(()) => Ok(Some(record)),
            Err(installer::Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn finish(
        &mut self,
        plan: &Install,
        ended: Result<Record, InstallError>,
        from: Option<&str>,
    ) -> Result<NextStep> {
        let upgrade = from.is_some();
        let outcome = match &ended {
            Ok(_) => Outcome::Ready,
            Err(error) if error.is_final() => Outcome::GaveUp(error.message()),
            Err(error) => Outcome::Retry(error.message()),
        };
        let refused = ended.as_ref().is_err_and(InstallError::is_refusal);
        let management = &self.shared.context.settings.process.cluster;
        let done = package::finish(&self.package, plan, outcome.clone(), management, &now());
        match &outcome {
            Outcome::Ready => {
                self.succeeded("install");
                self.report(&PackageEvent::Succeeded { from, to: &plan.source.version }).await?;
            }
            Outcome::Retry(reason) if refused => {
                self.report(&PackageEvent::Rejected { upgrade, reason }).await?;
            }
            Outcome::Retry(reason) => self.report(&PackageEvent::Retrying { upgrade, reason }).await?,
            Outcome::GaveUp(reason) => {
                let retry = package::how_to_retry(&self.package);
                self.report(&PackageEvent::Failed { upgrade, reason, retry: &retry }).await?;
                self.report(&PackageEvent::RolledBack { back_to: from }).await?;
            }
        }
        self.write(done.status).await?;
        if !matches!(outcome, Outcome::Retry(_)) {
            self.record_failure(matches!(outcome, Outcome::GaveUp(_))).await?;
        }
        Ok(NextStep::Rest(match outcome {
            Outcome::Ready => self.until_compared(done.recheck),
            Outcome::Retry(_) if refused => Recheck::After(REJECTED_RECHECK),
            Outcome::Retry(_) => self.later("install"),
            Outcome::GaveUp(_) => done.recheck,
        }))
    }

    pub(super) async fn uninstall(&mut self, status: PackageStatus, target: &Target) -> Result<NextStep> {
        self.write(status).await?;
        self.report(&PackageEvent::Uninstalling).await?;
        let limits = limits(&self.package, None).unwrap_or_default();
        let release = self.package.name();
        let (release, shared) = (release.to_owned(), self.shared);
        let (target, progress) = with_progress(target);
        let removal = target.engine.uninstall(PACKAGES_NAMESPACE, &release, &limits);
        match self.with_progress_updates(progress, Box::pin(shared.slots.work(removal))).await {
            Ok(()) => {
                self.succeeded("uninstall");
                Ok(NextStep::Step)
            }
            Err(error) => {
                let reason = one_line(&error);
                self.report(&PackageEvent::UninstallFailed(&reason)).await?;
                self.write_detail(reason).await?;
                Ok(NextStep::Rest(self.later("uninstall")))
            }
        }
    }

    /// A second worker on the same package, while this one writes the progress.
    fn detached(&self) -> Self {
        Self { package: self.package.clone(), stored: self.stored.clone(), record: None, plan: None, ..*self }
    }

    /// Runs work, and writes its progress from time to time. A failed write is skipped.
    async fn with_progress_updates<T>(
        &mut self,
        progress: Receiver<String>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut tick =
            tokio::time::interval_at(tokio::time::Instant::now() + FIRST_PROGRESS, PROGRESS_INTERVAL);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {}
            }
            let message = progress.borrow().clone();
            if message.is_empty() {
                continue;
            }
            let status = package::in_progress(&self.package, &message, &now());
            let written = tokio::time::timeout(PROGRESS_TIMEOUT, self.write(status)).await;
            if let Ok(Err(error)) = written {
                tracing::debug!(package = self.key(), error = %error_text::one_line(&error), "cannot write the progress");
            }
        }
    }

    /// Detects drift, if it is due, and repairs or reports it.
    pub(super) async fn compare(
        &mut self,
        plan: &Install,
        cluster: &ClusterContext,
        target: &Target,
        record: &Record,
    ) -> Result<()> {
        let key = self.key();
        if !self.shared.slots.is_due(&key, Instant::now()) {
            return Ok(());
        }
        let found = match target.engine.drift(record).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(package = key, error = %one_line(&error), "cannot detect drift now");
                return Ok(());
            }
        };
        if found.is_empty() {
            return self.write_drift(None).await;
        }
        let objects = differences(&found);
        let repaired =
            if repairs(&self.package) { Some(self.try_install(plan, cluster, target).await) } else { None };
        match repaired {
            Some(Ok(_)) => {
                self.report(&PackageEvent::Drifted { objects: &objects, repaired: true }).await?;
                self.write_drift(None).await
            }
            Some(Err(error)) => {
                let objects = format!("{objects}; they cannot be restored now: {}", error.message());
                self.report(&PackageEvent::Drifted { objects: &objects, repaired: false }).await?;
                self.write_drift(Some(&objects)).await
            }
            None => {
                self.report(&PackageEvent::Drifted { objects: &objects, repaired: false }).await?;
                self.write_drift(Some(&objects)).await
            }
        }
    }

    async fn write_drift(&mut self, objects: Option<&str>) -> Result<()> {
        let status = self.package.status.clone().unwrap_or_default();
        let status = package::drifted(&self.package, status, objects, &now());
        self.write(status).await
    }

    /// Limits the pause, so that drift detection is in time.
    pub(super) fn until_compared(&self, recheck: Recheck) -> Recheck {
        match recheck {
            Recheck::After(pause) => Recheck::After(pause.min(self.shared.slots.interval())),
            Recheck::Never => Recheck::Never,
        }
    }
}

/// The same target, which reports progress.
fn with_progress(target: &Target) -> (Target, Receiver<String>) {
    let (progress, receiver) = watch::channel(String::new());
    let engine = target.engine.clone().with_progress(progress);
    (Target { client: target.client.clone(), engine }, receiver)
}

/// The reason for which an installation did not succeed.
enum InstallError {
    /// The plan was rejected.
    Refused(String),
    /// The engine failed.
    Engine(installer::Error),
}

impl InstallError {
    fn of(error: installer::Error) -> Self {
        match error {
            installer::Error::Refused { reason } => Self::Refused(reason),
            error => Self::Engine(error),
        }
    }

    /// Whether the installation failed and was undone.
    fn is_final(&self) -> bool {
        matches!(self, Self::Engine(installer::Error::Failed { .. }))
    }

    /// Whether the installation was rejected, and will be rejected again until something changes.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Engine(error) => error.is_refusal(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Refused(reason) => reason.clone(),
            Self::Engine(error) => one_line(error),
        }
    }
}

/// The error, with the source of the images' registry if an image was rejected.
fn install_error(error: installer::Error, plan: &Install, config: Option<&str>) -> InstallError {
    match (InstallError::of(error), package::added_registry(plan, config)) {
        (InstallError::Refused(reason), Some(added)) if reason.contains(" uses the image ") => {
            InstallError::Refused(format!("{reason}; {added}"))
        }
        (error, _) => error,
    }
}

/// Validates the values by the schema in the bundle. Without a schema, any values are accepted here; admission rejects such
/// packages, but it may not be active.
fn check(config: Option<&str>, version: &SourceVersion) -> Result<(), String> {
    match version.schema.as_deref().filter(|schema| !schema.is_empty()) {
        Some(schema) => values::check(schema, config).map(drop).map_err(|error| error.upstream_message()),
        None => Ok(()),
    }
}

/// The limits of an installation. Without bounds, objects of others are not taken over.
fn limits(package: &Package, bounds: Option<&Bounds>) -> Result<Limits, String> {
    let requested = timeout(package)?.unwrap_or(DEFAULT_TIMEOUT);
    let timeout = requested.clamp(Duration::from_secs(1), MAX_TIMEOUT);
    // Changes by others are overwritten, as in drift repair, unless the user has disabled it.
    let conflicts = if repairs(package) { Conflicts::Take } else { Conflicts::Refuse };
    let takes = package.annotation(TAKE_OWNERSHIP) == Some("true");
    let ownership = match bounds {
        Some(bounds) if takes => {
            bounds.may_take_ownership()?;
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
    const MAX_LISTED: usize = 5;
    let one = |drift: &Drift| match &drift.change {
        Change::Gone => format!("{} was deleted", drift.object),
        Change::Fields(fields) => format!("{}: {}", drift.object, fields.join(", ")),
    };
    join_first(found.iter().map(one), MAX_LISTED, "; ")
}
