//! Reconciles packages: observes, decides and acts, step by step, until nothing is left to do.
//!
//! The status is written before and after long actions. An installation is dropped if its package changes in the meantime,
//! because the engine can resume from any point.

mod work;

use std::sync::Arc;
use std::time::Duration;

use error_text::one_line;
use installer::{Install, Record, Status};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::controller::Action as Requeue;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use package_api::name::{Cluster, PACKAGES_NAMESPACE};
use package_api::{
    Package, PackageBundle, PackageBundleController, PackageBundleControllerSpec, PackageState, PackageStatus,
};
use serde_json::{Value, json};

use super::cluster_state::Worker;
use super::clusters::{Target, TargetError};
use super::events::PackageEvent;
use super::shared::Shared;
use super::{bundles, status};
use crate::error::{Error, Result};
use crate::package::{self, Action, FINALIZER, GIVEN_UP, Observed, RETRY, Recheck, Release, Step};

/// The most steps without a pause.
const MAX_STEPS: usize = 16;

/// Reconciles a package until nothing is left to do.
pub(super) async fn reconcile(seen: Arc<Package>, shared: Arc<Shared>) -> Result<Requeue> {
    let package = shared.state.newest(&seen);
    let worker = shared.state.worker(&package);
    let stored = json!(package.status.clone().unwrap_or_default());
    let stored = if package.status.is_some() { stored } else { json!({}) };
    let (record, plan) = (None, None);
    let mut work =
        Work { shared: &shared, worker: &worker, package, stored, drops_conditions: false, record, plan };
    for _ in 0..MAX_STEPS {
        let next = match work.step().await {
            // A change that cannot be logged does not count as done, and the detail states the reason.
            Err(error @ Error::Audit(_)) => {
                work.write_detail(one_line(&error)).await?;
                return Err(error);
            }
            next => next?,
        };
        if let NextStep::Rest(recheck) = next {
            return Ok(match recheck {
                Recheck::Never => Requeue::await_change(),
                Recheck::After(pause) => Requeue::requeue(pause),
            });
        }
    }
    Ok(Requeue::requeue(Duration::from_secs(1)))
}

/// The reconciliation of a package.
struct Work<'a> {
    shared: &'a Arc<Shared>,
    worker: &'a Worker,
    package: Package,
    /// The status in the API server.
    stored: Value,
    /// Whether the API server dropped written conditions, as EKS Anywhere's CRDs do not have the field.
    drops_conditions: bool,
    /// The installed revision, if it was fetched.
    record: Option<Record>,
    /// The plan, if a revision is installed.
    plan: Option<Install>,
}

/// What to do after a step.
enum NextStep {
    /// Run another step at once.
    Step,
    /// Stop for now.
    Rest(Recheck),
}

/// The cluster of a package, with its configuration and active bundle.
struct ClusterContext {
    name: String,
    settings: Option<Arc<PackageBundleController>>,
    bundle: Result<Arc<PackageBundle>, String>,
}

impl Work<'_> {
    async fn step(&mut self) -> Result<NextStep> {
        let cluster = self.cluster();
        let target = self.shared.clusters.target(&cluster.name).await;
        let release =
            if self.needs_release() { self.observe(&cluster, &target).await? } else { ReleaseState::Absent };
        let siblings = self.shared.state.siblings(self.package.namespace());
        let default = PackageBundleControllerSpec::default();
        let observed = Observed {
            package: &self.package,
            bundle: cluster.bundle.as_deref().map_err(String::as_str),
            settings: cluster.settings.as_ref().map_or(&default, |settings| &settings.spec),
            siblings: &siblings,
            release: release.as_release(),
        };
        let decided = package::next(&observed);
        let plan = self.record.as_ref().and_then(|_| package::planned(&observed).ok());
        drop(siblings);
        self.plan = plan;
        self.act(decided, &cluster, target).await
    }

    async fn act(
        &mut self,
        decided: Step,
        cluster: &ClusterContext,
        target: Result<Target, TargetError>,
    ) -> Result<NextStep> {
        match decided.action {
            Action::None => self.finish_step(decided, cluster, target).await,
            Action::AddFinalizer => {
                let held: Vec<_> =
                    self.package.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
                self.set_finalizers(held).await?;
                Ok(NextStep::Step)
            }
            Action::Create(dependencies) => {
                self.write(decided.status).await?;
                for dependency in dependencies {
                    self.create(&dependency).await?;
                }
                self.report_detail().await?;
                Ok(NextStep::Rest(decided.recheck))
            }
            Action::Install(plan) => match target {
                Ok(target) => self.install(*plan, decided.status, cluster, &target).await,
                Err(error) => {
                    let detail = Some(error.message().to_owned());
                    self.write(PackageStatus { detail, ..decided.status }).await?;
                    self.report_detail().await?;
                    Ok(NextStep::Rest(self.later("target")))
                }
            },
            Action::Uninstall => match target {
                Ok(target) => self.uninstall(decided.status, &target).await,
                Err(_) => Ok(NextStep::Rest(self.later("target"))),
            },
            Action::RemoveFinalizer => self.remove_finalizer(cluster, target.is_err()).await,
        }
    }

    /// Handles a step without an action: writes the status or changes the state.
    async fn finish_step(
        &mut self,
        decided: Step,
        cluster: &ClusterContext,
        target: Result<Target, TargetError>,
    ) -> Result<NextStep> {
        let state = |status: &PackageStatus| status.state.unwrap_or_default();
        let before = self.package.status.as_ref().map(state).unwrap_or_default();
        let changes = state(&decided.status) != before && before != PackageState::Unknown;
        if changes && decided.recheck != Recheck::Never {
            self.package.status = Some(decided.status);
            return Ok(NextStep::Step);
        }
        self.write(decided.status).await?;
        self.report_detail().await?;
        if before == PackageState::Installed
            && let (Ok(target), Some(record), Some(plan)) = (target, self.record.take(), self.plan.take())
        {
            self.compare(&plan, cluster, &target, &record).await?;
            return Ok(NextStep::Rest(self.until_compared(decided.recheck)));
        }
        Ok(NextStep::Rest(decided.recheck))
    }

    fn cluster(&self) -> ClusterContext {
        let management = &self.shared.context.settings.process.cluster;
        let cluster = Cluster::of(self.package.namespace());
        let name =
            cluster.as_ref().map_or(management.as_str(), |cluster| cluster.name(management)).to_owned();
        let settings = self.shared.state.settings_of(&name);
        let bundle = match &settings {
            Some(settings) => bundles::active(self.shared, &settings.spec),
            None => Err(format!(
                "packagebundlecontrollers \"{name}\" not found in {PACKAGES_NAMESPACE}: it sets the bundle of the cluster"
            )),
        };
        ClusterContext { name, settings, bundle }
    }

    /// Whether the decision depends on the release. In all other cases, the cluster is not queried.
    fn needs_release(&self) -> bool {
        let state = self.package.status.as_ref().and_then(|status| status.state);
        let deleted = self.package.metadata.deletion_timestamp.is_some();
        let held = self.package.finalizers().iter().any(|name| name == FINALIZER);
        (deleted && held) || (!deleted && state == Some(PackageState::Installed))
    }

    async fn observe(
        &mut self,
        cluster: &ClusterContext,
        target: &Result<Target, TargetError>,
    ) -> Result<ReleaseState> {
        let deleted = self.package.metadata.deletion_timestamp.is_some();
        let target = match target {
            Ok(target) => target,
            // A cluster without configuration and kubeconfig was deleted, with everything in it.
            Err(TargetError::NotFound(_)) if deleted && cluster.settings.is_none() => {
                return Ok(ReleaseState::Absent);
            }
            Err(error) => return Ok(ReleaseState::Unknown(error.message().to_owned())),
        };
        let current = target.engine.current(PACKAGES_NAMESPACE, self.package.name()).await;
        Ok(match current {
            Ok(Some(record)) if record.status == Status::Uninstalled => ReleaseState::Absent,
            // A release that is not in the status `deployed` is installed again.
            Ok(Some(record)) if !deleted && record.status != Status::Deployed => ReleaseState::Absent,
            Ok(Some(record)) => {
                let wanted = self.package.spec.target_namespace.as_deref().filter(|name| !name.is_empty());
                if wanted.is_some_and(|wanted| wanted != record.namespace) {
                    return Ok(ReleaseState::Elsewhere(record.namespace));
                }
                let values = record.config.clone();
                self.record = Some(record);
                ReleaseState::Present(values)
            }
            Ok(None) => ReleaseState::Absent,
            Err(error) => ReleaseState::Unknown(one_line(&error)),
        })
    }

    /// Writes the status, if it differs from that in the API server.
    async fn write(&mut self, new: PackageStatus) -> Result<()> {
        let value = json!(new);
        self.package.status = Some(new);
        let written = status::write(&self.api(), &self.package, &self.stored, &value).await;
        if let Some(written) = written.map_err(Error::kube)? {
            let kept = written.status.as_ref().is_some_and(|status| status.conditions.is_some());
            self.drops_conditions = !kept && value.get("conditions").is_some();
            self.shared.state.record_write(&written);
            self.package.metadata = written.metadata;
            self.stored = value;
        }
        Ok(())
    }

    async fn write_detail(&mut self, detail: String) -> Result<()> {
        let status = self.package.status.clone().unwrap_or_default();
        self.write(PackageStatus { detail: Some(detail), ..status }).await
    }

    async fn set_finalizers(&mut self, finalizers: Vec<String>) -> Result<()> {
        self.write_metadata("finalizers", &json!(finalizers)).await
    }

    async fn write_metadata(&mut self, field: &str, value: &Value) -> Result<()> {
        let meta = &self.package.metadata;
        let patch = json!({ "metadata": {
            "resourceVersion": meta.resource_version, "uid": meta.uid, field: value,
        } });
        let patched =
            self.api().patch(self.package.name(), &PatchParams::default(), &Patch::Merge(&patch)).await;
        let patched = patched.map_err(Error::kube)?;
        self.shared.state.record_write(&patched);
        self.package.metadata = patched.metadata;
        Ok(())
    }

    /// Records in an annotation that the package was given up, or removes the annotation.
    async fn record_failure(&mut self, gave_up: bool) -> Result<()> {
        let noted = self.package.annotation(GIVEN_UP);
        // Conditions do not identify the attempt.
        let is_needed = self.drops_conditions || self.package.annotation(RETRY).is_some();
        let note = (gave_up && is_needed).then(|| package::given_up(&self.package));
        if noted == note.as_deref() {
            return Ok(());
        }
        self.write_metadata("annotations", &json!({ GIVEN_UP: note })).await
    }

    /// Creates a dependency. Another dependent may already have created it.
    async fn create(&self, dependency: &Package) -> Result<()> {
        match self.api().create(&PostParams::default(), dependency).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(Error::kube(error)),
        }
    }

    /// The last step of the deletion of a package.
    async fn remove_finalizer(&mut self, cluster: &ClusterContext, is_unreachable: bool) -> Result<NextStep> {
        let event =
            if is_unreachable { PackageEvent::ClusterGone(&cluster.name) } else { PackageEvent::Uninstalled };
        self.report(&event).await?;
        self.shared.reporter.forget(&self.package);
        let finalizers =
            self.package.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
        match self.set_finalizers(finalizers).await {
            Err(Error::Kube(failed)) if matches!(failed.cause(), kube::Error::Api(status) if status.is_not_found()) =>
                {}
            done => done?,
        }
        self.shared.slots.forget(&self.key());
        Ok(NextStep::Rest(Recheck::Never))
    }

    async fn report(&self, event: &PackageEvent<'_>) -> Result<()> {
        self.shared.reporter.report(&self.package, event).await
    }

    /// Reports the detail of a waiting package as an event.
    async fn report_detail(&self) -> Result<()> {
        let status = self.package.status.as_ref();
        let detail = status.and_then(|status| status.detail.as_deref()).filter(|detail| !detail.is_empty());
        match detail {
            Some(_) if status.and_then(|status| status.state) == Some(PackageState::Installed) => Ok(()),
            Some(detail) if !package::has_failed(&self.package) => {
                self.report(&PackageEvent::Waiting(detail)).await
            }
            _ => Ok(()),
        }
    }

    /// A pause that grows with each consecutive failure.
    fn later(&self, action: &str) -> Recheck {
        let key = format!("{action}/{}", self.key());
        Recheck::After(self.shared.failures.next_pause(key, super::backoff::MAX_PAUSE))
    }

    fn succeeded(&self, action: &str) {
        self.shared.failures.reset(&format!("{action}/{}", self.key()));
    }

    fn key(&self) -> String {
        format!("{}/{}", self.package.namespace(), self.package.name())
    }

    fn api(&self) -> Api<Package> {
        Api::namespaced(self.shared.context.kube.clone(), self.package.namespace())
    }

    /// Reloads the package.
    fn refresh(&mut self) -> Option<()> {
        let seen = self.shared.state.packages.get(&ObjectRef::from_obj(&self.package))?;
        let package = self.shared.state.newest(&seen);
        self.stored = package.status.as_ref().map_or_else(|| json!({}), |status| json!(status));
        self.package = package;
        Some(())
    }
}

/// The observed release.
enum ReleaseState {
    Absent,
    Present(Value),
    Elsewhere(String),
    Unknown(String),
}

impl ReleaseState {
    fn as_release(&self) -> Release<'_> {
        match self {
            Self::Absent => Release::Absent,
            Self::Present(values) => Release::Present(values),
            Self::Elsewhere(namespace) => Release::Elsewhere(namespace),
            Self::Unknown(reason) => Release::Unknown(reason),
        }
    }
}
