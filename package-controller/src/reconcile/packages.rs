//! Packages: what is observed is decided on step by step, and done, until nothing is left to do for now.
//!
//! The status is written before anything that takes long, and after it; an installation that is under way when its
//! package changes is dropped, because the engine goes on from wherever it stopped.

mod work;

use std::sync::Arc;
use std::time::Duration;

use brief::words;
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

use super::clusters::{Lost, Target};
use super::shared::Shared;
use super::tell::Deed;
use super::world::Worker;
use super::{bundles, status};
use crate::error::{Error, Result};
use crate::package::{self, Action, Again, FINALIZER, GIVEN_UP, Observed, RETRY, Release, Step};

/// More steps than this do not follow one another without a pause.
const STEPS: usize = 16;

/// Works on a package until it rests.
pub(super) async fn reconcile(seen: Arc<Package>, shared: Arc<Shared>) -> Result<Requeue> {
    let package = shared.world.newest(&seen);
    let worker = shared.world.worker(&package);
    let stored = json!(package.status.clone().unwrap_or_default());
    let stored = if package.status.is_some() { stored } else { json!({}) };
    let (record, plan) = (None, None);
    let mut work =
        Work { shared: &shared, worker: &worker, package, stored, drops_conditions: false, record, plan };
    for _ in 0..STEPS {
        let next = match work.step().await {
            // What cannot be logged does not pass for done, and whoever waits for it should know why.
            Err(error @ Error::Audit(_)) => {
                work.write_detail(words(&error)).await?;
                return Err(error);
            }
            next => next?,
        };
        if let Next::Rest(again) = next {
            return Ok(match again {
                Again::Never => Requeue::await_change(),
                Again::After(pause) => Requeue::requeue(pause),
            });
        }
    }
    Ok(Requeue::requeue(Duration::from_secs(1)))
}

/// A package being worked on.
struct Work<'a> {
    shared: &'a Arc<Shared>,
    worker: &'a Worker,
    package: Package,
    /// The status as the API server has it.
    stored: Value,
    /// Whether the API server took conditions and kept none: EKS Anywhere's definitions know of no such field.
    drops_conditions: bool,
    /// What is installed, as far as it was asked for.
    record: Option<Record>,
    /// What should be installed, if something is.
    plan: Option<Install>,
}

/// What follows a step.
enum Next {
    /// Another at once.
    Step,
    /// None for now.
    Rest(Again),
}

/// A package's cluster, and what is used there.
struct Place {
    cluster: String,
    settings: Option<Arc<PackageBundleController>>,
    bundle: Result<Arc<PackageBundle>, String>,
}

impl Work<'_> {
    async fn step(&mut self) -> Result<Next> {
        let place = self.place();
        let target = self.shared.clusters.target(&place.cluster).await;
        let release = if self.needs_release() { self.observe(&place, &target).await? } else { Found::Absent };
        let siblings = self.shared.world.siblings(self.package.namespace());
        let default = PackageBundleControllerSpec::default();
        let observed = Observed {
            package: &self.package,
            bundle: place.bundle.as_deref().map_err(String::as_str),
            settings: place.settings.as_ref().map_or(&default, |settings| &settings.spec),
            siblings: &siblings,
            release: release.as_release(),
        };
        let decided = package::next(&observed);
        let plan = self.record.as_ref().and_then(|_| package::planned(&observed).ok());
        drop(siblings);
        self.plan = plan;
        self.act(decided, &place, target).await
    }

    async fn act(&mut self, decided: Step, place: &Place, target: Result<Target, Lost>) -> Result<Next> {
        match decided.action {
            Action::None => self.settle(decided, place, target).await,
            Action::Hold => {
                let held: Vec<_> =
                    self.package.finalizers().iter().cloned().chain([FINALIZER.to_owned()]).collect();
                self.set_finalizers(held).await?;
                Ok(Next::Step)
            }
            Action::Create(made) => {
                self.write(decided.status).await?;
                for made in made {
                    self.create(&made).await?;
                }
                self.tell_detail().await?;
                Ok(Next::Rest(decided.again))
            }
            Action::Install(plan) => match target {
                Ok(target) => self.install(*plan, decided.status, place, &target).await,
                Err(lost) => {
                    let detail = Some(lost.words().to_owned());
                    self.write(PackageStatus { detail, ..decided.status }).await?;
                    self.tell_detail().await?;
                    Ok(Next::Rest(self.later("target")))
                }
            },
            Action::Uninstall => match target {
                Ok(target) => self.uninstall(decided.status, &target).await,
                Err(_) => Ok(Next::Rest(self.later("target"))),
            },
            Action::Release => self.release(place, target.is_err()).await,
        }
    }

    /// Nothing is to be done, or only the state moves on.
    async fn settle(&mut self, decided: Step, place: &Place, target: Result<Target, Lost>) -> Result<Next> {
        let state = |status: &PackageStatus| status.state.unwrap_or_default();
        let before = self.package.status.as_ref().map(state).unwrap_or_default();
        let moves = state(&decided.status) != before && before != PackageState::Unknown;
        if moves && decided.again != Again::Never {
            self.package.status = Some(decided.status);
            return Ok(Next::Step);
        }
        self.write(decided.status).await?;
        self.tell_detail().await?;
        if before == PackageState::Installed
            && let (Ok(target), Some(record), Some(plan)) = (target, self.record.take(), self.plan.take())
        {
            self.compare(&plan, place, &target, &record).await?;
            return Ok(Next::Rest(self.until_compared(decided.again)));
        }
        Ok(Next::Rest(decided.again))
    }

    fn place(&self) -> Place {
        let management = &self.shared.context.settings.cluster;
        let cluster = Cluster::of(self.package.namespace());
        let cluster =
            cluster.as_ref().map_or(management.as_str(), |cluster| cluster.name(management)).to_owned();
        let settings = self.shared.world.settings_of(&cluster);
        let bundle = match &settings {
            Some(settings) => bundles::active(self.shared, &settings.spec),
            None => Err(format!(
                "packagebundlecontrollers \"{cluster}\" not found in {PACKAGES_NAMESPACE}: it says which bundle the cluster uses"
            )),
        };
        Place { cluster, settings, bundle }
    }

    /// Only two decisions rest on what is installed; for all others nobody is asked.
    fn needs_release(&self) -> bool {
        let state = self.package.status.as_ref().and_then(|status| status.state);
        let deleted = self.package.metadata.deletion_timestamp.is_some();
        let held = self.package.finalizers().iter().any(|name| name == FINALIZER);
        (deleted && held) || (!deleted && state == Some(PackageState::Installed))
    }

    async fn observe(&mut self, place: &Place, target: &Result<Target, Lost>) -> Result<Found> {
        let deleted = self.package.metadata.deletion_timestamp.is_some();
        let target = match target {
            Ok(target) => target,
            // A cluster that is known nowhere any more was deleted, with all that was in it.
            Err(Lost::Unknown(_)) if deleted && place.settings.is_none() => return Ok(Found::Absent),
            Err(lost) => return Ok(Found::Unknown(lost.words().to_owned())),
        };
        let current = target.engine.current(PACKAGES_NAMESPACE, self.package.name()).await;
        Ok(match current {
            Ok(Some(record)) if record.status == Status::Uninstalled => Found::Absent,
            // What is installed but not in order is installed again.
            Ok(Some(record)) if !deleted && record.status != Status::Deployed => Found::Absent,
            Ok(Some(record)) => {
                let wanted = self.package.spec.target_namespace.as_deref().filter(|name| !name.is_empty());
                if wanted.is_some_and(|wanted| wanted != record.namespace) {
                    return Ok(Found::Elsewhere(record.namespace));
                }
                let values = record.config.clone();
                self.record = Some(record);
                Found::Present(values)
            }
            Ok(None) => Found::Absent,
            Err(error) => Found::Unknown(words(&error)),
        })
    }

    /// Writes the status, if it is another than the API server has.
    async fn write(&mut self, new: PackageStatus) -> Result<()> {
        let value = json!(new);
        self.package.status = Some(new);
        let written = status::write(&self.api(), &self.package, &self.stored, &value).await;
        if let Some(written) = written.map_err(Error::kube)? {
            let kept = written.status.as_ref().is_some_and(|status| status.conditions.is_some());
            self.drops_conditions = !kept && value.get("conditions").is_some();
            self.shared.world.wrote(&written);
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
        self.shared.world.wrote(&patched);
        self.package.metadata = patched.metadata;
        Ok(())
    }

    /// Notes where it survives that the package was given up, or that this is over.
    async fn note_failure(&mut self, gave_up: bool) -> Result<()> {
        let noted = self.package.annotation(GIVEN_UP);
        // Conditions do not say which try it was.
        let is_needed = self.drops_conditions || self.package.annotation(RETRY).is_some();
        let note = (gave_up && is_needed).then(|| package::given_up(&self.package));
        if noted == note.as_deref() {
            return Ok(());
        }
        self.write_metadata("annotations", &json!({ GIVEN_UP: note })).await
    }

    /// Whoever needs the same may have made it already.
    async fn create(&self, made: &Package) -> Result<()> {
        match self.api().create(&PostParams::default(), made).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(error) => Err(Error::kube(error)),
        }
    }

    /// The last step of a package that is deleted.
    async fn release(&mut self, place: &Place, lost: bool) -> Result<Next> {
        let deed = if lost { Deed::ClusterGone(&place.cluster) } else { Deed::Gone };
        self.tell(&deed).await?;
        self.shared.teller.forget(&self.package);
        let finalizers =
            self.package.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
        match self.set_finalizers(finalizers).await {
            Err(Error::Kube(error)) if matches!(*error, kube::Error::Api(ref status) if status.is_not_found()) =>
                {}
            done => done?,
        }
        self.shared.bench.forget(&self.key());
        Ok(Next::Rest(Again::Never))
    }

    async fn tell(&self, deed: &Deed<'_>) -> Result<()> {
        self.shared.teller.tell(&self.package, deed).await
    }

    /// A detail of a package that waits is also an event.
    async fn tell_detail(&self) -> Result<()> {
        let status = self.package.status.as_ref();
        let detail = status.and_then(|status| status.detail.as_deref()).filter(|detail| !detail.is_empty());
        match detail {
            Some(_) if status.and_then(|status| status.state) == Some(PackageState::Installed) => Ok(()),
            Some(detail) if !package::has_failed(&self.package) => self.tell(&Deed::Waiting(detail)).await,
            _ => Ok(()),
        }
    }

    /// A pause that grows with each failure in a row.
    fn later(&self, what: &str) -> Again {
        let key = format!("{what}/{}", self.key());
        Again::After(self.shared.failures.again(key, super::again::LONGEST))
    }

    fn went_well(&self, what: &str) {
        self.shared.failures.over(&format!("{what}/{}", self.key()));
    }

    fn key(&self) -> String {
        format!("{}/{}", self.package.namespace(), self.package.name())
    }

    fn api(&self) -> Api<Package> {
        Api::namespaced(self.shared.context.kube.clone(), self.package.namespace())
    }

    /// The package as it is by now.
    fn look_again(&mut self) -> Option<()> {
        let seen = self.shared.world.packages.get(&ObjectRef::from_obj(&self.package))?;
        let package = self.shared.world.newest(&seen);
        self.stored = package.status.as_ref().map_or_else(|| json!({}), |status| json!(status));
        self.package = package;
        Some(())
    }
}

/// What was found installed.
enum Found {
    Absent,
    Present(Value),
    Elsewhere(String),
    Unknown(String),
}

impl Found {
    fn as_release(&self) -> Release<'_> {
        match self {
            Self::Absent => Release::Absent,
            Self::Present(values) => Release::Present(values),
            Self::Elsewhere(namespace) => Release::Elsewhere(namespace),
            Self::Unknown(reason) => Release::Unknown(reason),
        }
    }
}
