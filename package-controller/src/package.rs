//! The steps of a package: decides the next status and the next action from the observed state.
//!
//! A step depends only on the objects, and may be lost or repeated: the status is written after the action, so a controller
//! that is killed in between decides the same step again, and every action is idempotent.
//!
//! The states and pauses are upstream's. In addition, there is a finalizer, so that no deletion is missed; installations
//! that cannot succeed end; dependency cycles are reported instead of waited for; and upgrades are listed.
//!
//! `initializing -> installing dependencies -> installing -> installed <-> updating`

mod dependencies;
mod plan;
mod status;

use std::time::Duration;

use installer::Install;
use package_api::name::{Cluster, PACKAGES_NAMESPACE};
use package_api::{Package, PackageBundle, PackageBundleControllerSpec, PackageState, PackageStatus};
use serde_json::Value;

pub use dependencies::Dependencies;
pub use plan::{CHART_REGISTRY, added_registry};
pub use status::{
    GIVEN_UP, Outcome, RETRY, drifted, finish, given_up, has_failed, how_to_retry, in_progress,
};

/// The finalizer that keeps a package until its objects are removed.
pub const FINALIZER: &str = "airlock.dev/uninstall";
/// The annotation with the revision of the release whose manifest must be restored, as long as the chart and the values are
/// those of the revision.
pub const ROLLBACK: &str = "airlock.dev/rollback";

/// The pauses of upstream.
const NOW: Recheck = Recheck::After(Duration::from_nanos(1));
const SOON: Recheck = Recheck::After(Duration::from_secs(2));
const SHORT: Recheck = Recheck::After(Duration::from_secs(30));
const LONG: Recheck = Recheck::After(Duration::from_mins(1));
const VERY_LONG: Recheck = Recheck::After(Duration::from_mins(3));

/// The observed state of a package.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The package.
    pub package: &'a Package,
    /// The active bundle of its cluster, or the reason why there is none.
    pub bundle: Result<&'a PackageBundle, &'a str>,
    /// The `PackageBundleController` of its cluster.
    pub settings: &'a PackageBundleControllerSpec,
    /// All packages of its cluster. The management cluster has two namespaces for packages.
    pub siblings: &'a [Package],
    /// The release of the package.
    pub release: Release<'a>,
}

/// The release of a package.
#[derive(Clone, Copy, Debug)]
pub enum Release<'a> {
    /// There is no release.
    Absent,
    /// The release is installed with these values.
    Present(&'a Value),
    /// The release is installed in this namespace, but the package now requests another.
    Elsewhere(&'a str),
    /// The release is not known, for this reason.
    Unknown(&'a str),
}

/// The action of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// No action.
    None,
    /// Add the finalizer.
    AddFinalizer,
    /// Create packages that this one depends on.
    Create(Vec<Package>),
    /// Install or upgrade, and then call [`finish`].
    Install(Box<Install>),
    /// Uninstall the release.
    Uninstall,
    /// Remove the finalizer.
    RemoveFinalizer,
}

/// When to check a package again, if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// Only when something changes.
    Never,
    /// After a pause.
    After(Duration),
}

/// The next step of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// The status to write after the action.
    pub status: PackageStatus,
    /// When to check the package again.
    pub recheck: Recheck,
}

/// Decides on the next step of a package.
#[must_use]
pub fn next(observed: &Observed<'_>) -> Step {
    let package = observed.package;
    let mut status = package.status.clone().unwrap_or_default();
    status.observed_generation = package.metadata.generation;
    let older = older_namesake(package, observed.siblings);
    if package.metadata.deletion_timestamp.is_some() {
        return if older.is_some() { finish_deletion(package, status) } else { uninstall(observed, status) };
    }
    if Cluster::of(package.namespace()).is_none() {
        status.state = Some(PackageState::Unknown);
        status.detail = Some(format!("Packages namespaces must start with: {PACKAGES_NAMESPACE}"));
        return Step { action: Action::None, status, recheck: Recheck::Never };
    }
    if !has_finalizer(package) {
        return Step { action: Action::AddFinalizer, status, recheck: NOW };
    }
    if let Some(older) = older {
        let (release, at) = (package.name(), older.namespace());
        let detail = format!(
            "the release \"{release}\" belongs to the package {at}/{release}, which is for the same cluster: rename \
             one of the two packages"
        );
        return waiting(status, detail, LONG);
    }
    let plan = match plan::plan(observed) {
        Ok(plan) => plan,
        Err(detail) => return waiting(status, detail, LONG),
    };
    let offered = observed.bundle.ok().and_then(|bundle| bundle.spec.package(&package.spec.package_name));
    status.upgrades_available = offered.and_then(|offered| plan::upgrades(offered, &plan.source.version));
    status.target_version = Some(plan.target_version.clone());
    match status.state.unwrap_or_default() {
        PackageState::Initializing
        | PackageState::Updating
        | PackageState::Unknown
        | PackageState::Uninstalling => {
            status.source = plan.source;
            status.spec = Some(status::attempted_spec(package));
            transition(status, PackageState::InstallingDependencies, NOW)
        }
        PackageState::InstallingDependencies => wait_for_others(observed, &plan, status),
        PackageState::Installing => install(package, plan, status),
        PackageState::Installed => watch(observed, &plan, status),
    }
}

/// The plan for a package by the active bundle, regardless of its state.
///
/// # Errors
/// The problem, as text for the user.
pub fn planned(observed: &Observed<'_>) -> Result<Install, String> {
    plan::plan(observed)
}

/// The older package with the same name and cluster, in the cluster's other namespace. Release names are unique in a
/// cluster, so the release belongs to the older package.
fn older_namesake<'a>(package: &Package, siblings: &'a [Package]) -> Option<&'a Package> {
    // Of two that were created in the same second, the one whose installation was started; else the one that is not in the
    // deprecated namespace.
    let age = |package: &Package| {
        let made = package.metadata.creation_timestamp.as_ref().map(|made| made.0);
        let begun = package.status.as_ref().is_some_and(|status| !status.source.digest.is_empty());
        (made, !begun, package.namespace() == PACKAGES_NAMESPACE)
    };
    let same = |other: &&Package| other.name() == package.name() && other.namespace() != package.namespace();
    siblings.iter().filter(same).find(|other| same_cluster(package, other) && age(other) < age(package))
}

/// Whether two sibling packages are for the same cluster. The namespace without a suffix is a second one of the management
/// cluster.
fn same_cluster(one: &Package, other: &Package) -> bool {
    one.namespace() == other.namespace() || [one, other].iter().any(|it| it.namespace() == PACKAGES_NAMESPACE)
}

fn has_finalizer(package: &Package) -> bool {
    package.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

fn transition(mut status: PackageStatus, state: PackageState, recheck: Recheck) -> Step {
    status.state = Some(state);
    Step { action: Action::None, status, recheck }
}

fn waiting(mut status: PackageStatus, detail: String, recheck: Recheck) -> Step {
    status.detail = Some(detail);
    Step { action: Action::None, status, recheck }
}

/// The deletion of a package that does not own its release: only the finalizer is removed.
fn finish_deletion(package: &Package, status: PackageStatus) -> Step {
    let action = if has_finalizer(package) { Action::RemoveFinalizer } else { Action::None };
    Step { action, status, recheck: Recheck::Never }
}

/// The deletion of a package: the release is uninstalled first, and then the finalizer is removed.
fn uninstall(observed: &Observed<'_>, mut status: PackageStatus) -> Step {
    if !has_finalizer(observed.package) {
        return Step { action: Action::None, status, recheck: Recheck::Never };
    }
    match observed.release {
        Release::Absent => Step { action: Action::RemoveFinalizer, status, recheck: Recheck::Never },
        Release::Present(_) | Release::Elsewhere(_) => {
            // The detail of the installation does not apply to the removal.
            if status.state != Some(PackageState::Uninstalling) {
                status.detail = None;
            }
            status.state = Some(PackageState::Uninstalling);
            Step { action: Action::Uninstall, status, recheck: SOON }
        }
        Release::Unknown(reason) => waiting(status, reason.to_owned(), LONG),
    }
}

fn wait_for_others(observed: &Observed<'_>, plan: &Install, mut status: PackageStatus) -> Step {
    let Ok(bundle) = observed.bundle else { return waiting(status, "no active bundle".to_owned(), LONG) };
    match dependencies::resolve(observed.package, bundle, &plan.dependencies, observed.siblings) {
        Dependencies::Unusable(reason) => {
            waiting(status, format!("invalid package bundle. ({reason})"), LONG)
        }
        Dependencies::Missing { create, waiting: names } => {
            let detail = format!("Waiting for dependencies: {}", names.join(", "));
            Step { action: Action::Create(create), ..waiting(status, detail, SOON) }
        }
        Dependencies::Waiting(names) => {
            waiting(status, format!("Waiting for dependencies: {}", names.join(", ")), SOON)
        }
        Dependencies::Ready => {
            status.detail = None;
            transition(status, PackageState::Installing, NOW)
        }
    }
}

/// An installation that was given up is not retried until the package or the bundle changes, or the user requests it.
fn install(package: &Package, plan: Install, mut status: PackageStatus) -> Step {
    if has_failed(package) && status.source == plan.source {
        status.detail = status::detail_after_failure(package, status.detail);
        return Step { action: Action::None, status, recheck: VERY_LONG };
    }
    status.source.clone_from(&plan.source);
    status.spec = Some(status::attempted_spec(package));
    // A new attempt starts without the recorded failure. Otherwise its first temporary failure would end it.
    status::clear_failure(&mut status);
    Step { action: Action::Install(Box::new(plan)), status, recheck: LONG }
}

/// Checks an installed package.
fn watch(observed: &Observed<'_>, plan: &Install, mut status: PackageStatus) -> Step {
    let changed = match observed.release {
        Release::Unknown(reason) => return waiting(status, reason.to_owned(), LONG),
        Release::Elsewhere(installed) => {
            return waiting(status, plan::moved(observed.package, installed), LONG);
        }
        Release::Absent => true,
        Release::Present(values) => plan::differs(&plan.values, values),
    };
    if changed || status.source != plan.source {
        transition(status, PackageState::Updating, SHORT)
    } else {
        // The detail no longer applies, except for upstream's warning about the namespace without a suffix.
        status.detail = status.detail.filter(|detail| detail.starts_with(status::DEPRECATED));
        transition(status, PackageState::Installed, VERY_LONG)
    }
}

#[cfg(test)]
mod tests;
