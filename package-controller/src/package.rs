//! The steps of a package: from what is observed to the next status and the next action.
//!
//! A step is decided from the objects alone and may be lost or done twice: whoever runs it writes the status after
//! the action, so a controller that dies in between decides the same again, and every action is idempotent.
//!
//! Upstream's states and pauses, with what it lacks: a finalizer, so that a deletion is never missed; an end to
//! what never succeeds; cycles told instead of waited for; upgrades listed.
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
pub use status::{GIVEN_UP, Outcome, RETRY, drifted, finish, given_up, has_failed, how_to_retry, under_way};

/// Keeps a package until what it installed is gone.
pub const FINALIZER: &str = "airlock.dev/uninstall";
/// The revision of a package's release whose manifest is to be put back as it was, as long as chart and values are that
/// revision's.
pub const ROLLBACK: &str = "airlock.dev/rollback";

/// Pauses, as upstream has them.
const NOW: Again = Again::After(Duration::from_nanos(1));
const SOON: Again = Again::After(Duration::from_secs(2));
const SHORT: Again = Again::After(Duration::from_secs(30));
const LONG: Again = Again::After(Duration::from_mins(1));
const VERY_LONG: Again = Again::After(Duration::from_mins(3));

/// What is known of a package.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The object.
    pub package: &'a Package,
    /// The active bundle of its cluster, or why there is none.
    pub bundle: Result<&'a PackageBundle, &'a str>,
    /// Its cluster's settings.
    pub settings: &'a PackageBundleControllerSpec,
    /// All packages of its cluster, whose namespaces may be two where it manages others.
    pub siblings: &'a [Package],
    /// What is installed under its name.
    pub release: Release<'a>,
}

/// What is installed under a package's name.
#[derive(Clone, Copy, Debug)]
pub enum Release<'a> {
    /// Nothing.
    Absent,
    /// Something, with these values.
    Present(&'a Value),
    /// Something, in this namespace, which is not the one that the package now asks for.
    Elsewhere(&'a str),
    /// The cluster does not tell.
    Unknown(&'a str),
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing.
    None,
    /// Add the finalizer.
    Hold,
    /// Make packages that this one needs.
    Create(Vec<Package>),
    /// Install or upgrade; then [`finish`].
    Install(Box<Install>),
    /// Take away what was installed.
    Uninstall,
    /// Take the finalizer away.
    Release,
}

/// When to look again, if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Only when something changes.
    Never,
    /// After a time.
    After(Duration),
}

/// What follows from what was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What to do first.
    pub action: Action,
    /// What to write then.
    pub status: PackageStatus,
    /// When to look again.
    pub again: Again,
}

/// Decides on the next step of a package.
#[must_use]
pub fn next(observed: &Observed<'_>) -> Step {
    let package = observed.package;
    let mut status = package.status.clone().unwrap_or_default();
    status.observed_generation = package.metadata.generation;
    let first = first(package, observed.siblings);
    if package.metadata.deletion_timestamp.is_some() {
        return if first.is_some() { let_go(package, status) } else { leave(observed, status) };
    }
    if Cluster::of(package.namespace()).is_none() {
        status.state = Some(PackageState::Unknown);
        status.detail = Some(format!("Packages namespaces must start with: {PACKAGES_NAMESPACE}"));
        return Step { action: Action::None, status, again: Again::Never };
    }
    if !is_held(package) {
        return Step { action: Action::Hold, status, again: NOW };
    }
    if let Some(first) = first {
        let (release, at) = (package.name(), first.namespace());
        let detail = format!(
            "the release \"{release}\" is that of the package {at}/{release}, whose namespace is of the same cluster: give \
             one of the two another name"
        );
        return waits(status, detail, LONG);
    }
    let plan = match plan::plan(observed) {
        Ok(plan) => plan,
        Err(detail) => return waits(status, detail, LONG),
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
            status.spec = Some(status::tried(package));
            moves(status, PackageState::InstallingDependencies, NOW)
        }
        PackageState::InstallingDependencies => wait_for_others(observed, &plan, status),
        PackageState::Installing => install(package, plan, status),
        PackageState::Installed => watch(observed, &plan, status),
    }
}

/// What a package comes to by the active bundle, whatever step it is at.
///
/// # Errors
/// What a person should know.
pub fn planned(observed: &Observed<'_>) -> Result<Install, String> {
    plan::plan(observed)
}

/// The package of the same name and cluster that came before, in the namespace with the cluster's name or the one
/// without. A release has one name in a cluster, so it is that one's.
fn first<'a>(package: &Package, siblings: &'a [Package]) -> Option<&'a Package> {
    // Of two that were made in the same second, the one that was begun; else not the one in the deprecated namespace.
    let age = |package: &Package| {
        let made = package.metadata.creation_timestamp.as_ref().map(|made| made.0);
        let begun = package.status.as_ref().is_some_and(|status| !status.source.digest.is_empty());
        (made, !begun, package.namespace() == PACKAGES_NAMESPACE)
    };
    let same = |other: &&Package| other.name() == package.name() && other.namespace() != package.namespace();
    siblings.iter().filter(same).find(|other| are_together(package, other) && age(other) < age(package))
}

/// Whether two packages are for the same cluster, of which the bare namespace is one more for the managing one.
fn are_together(one: &Package, other: &Package) -> bool {
    one.namespace() == other.namespace() || [one, other].iter().any(|it| it.namespace() == PACKAGES_NAMESPACE)
}

fn is_held(package: &Package) -> bool {
    package.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

fn moves(mut status: PackageStatus, state: PackageState, again: Again) -> Step {
    status.state = Some(state);
    Step { action: Action::None, status, again }
}

fn waits(mut status: PackageStatus, detail: String, again: Again) -> Step {
    status.detail = Some(detail);
    Step { action: Action::None, status, again }
}

/// A package that never had its release goes without it.
fn let_go(package: &Package, status: PackageStatus) -> Step {
    let action = if is_held(package) { Action::Release } else { Action::None };
    Step { action, status, again: Again::Never }
}

/// A package that is deleted: what it installed goes first, then the finalizer, and then it is gone.
fn leave(observed: &Observed<'_>, mut status: PackageStatus) -> Step {
    if !is_held(observed.package) {
        return Step { action: Action::None, status, again: Again::Never };
    }
    match observed.release {
        Release::Absent => Step { action: Action::Release, status, again: Again::Never },
        Release::Present(_) | Release::Elsewhere(_) => {
            // What was in the way of an installation is not what is in the way now.
            if status.state != Some(PackageState::Uninstalling) {
                status.detail = None;
            }
            status.state = Some(PackageState::Uninstalling);
            Step { action: Action::Uninstall, status, again: SOON }
        }
        Release::Unknown(reason) => waits(status, reason.to_owned(), LONG),
    }
}

fn wait_for_others(observed: &Observed<'_>, plan: &Install, mut status: PackageStatus) -> Step {
    let Ok(bundle) = observed.bundle else { return waits(status, "no active bundle".to_owned(), LONG) };
    match dependencies::resolve(observed.package, bundle, &plan.dependencies, observed.siblings) {
        Dependencies::Unusable(reason) => waits(status, format!("invalid package bundle. ({reason})"), LONG),
        Dependencies::Missing { create, waiting } => {
            let detail = format!("Waiting for dependencies: {}", waiting.join(", "));
            Step { action: Action::Create(create), ..waits(status, detail, SOON) }
        }
        Dependencies::Waiting(names) => {
            waits(status, format!("Waiting for dependencies: {}", names.join(", ")), SOON)
        }
        Dependencies::Ready => {
            status.detail = None;
            moves(status, PackageState::Installing, NOW)
        }
    }
}

/// What was given up is not tried again until the package or the bundle changes, or somebody asks for it.
fn install(package: &Package, plan: Install, mut status: PackageStatus) -> Step {
    if has_failed(package) && status.source == plan.source {
        status.detail = status::detail_of_rest(package, status.detail);
        return Step { action: Action::None, status, again: VERY_LONG };
    }
    status.source.clone_from(&plan.source);
    status.spec = Some(status::tried(package));
    // What is begun anew is not given up; else a first failure that a moment mends would end it.
    status::forget_failure(&mut status);
    Step { action: Action::Install(Box::new(plan)), status, again: LONG }
}

/// Whether all is still as it should be.
fn watch(observed: &Observed<'_>, plan: &Install, mut status: PackageStatus) -> Step {
    let changed = match observed.release {
        Release::Unknown(reason) => return waits(status, reason.to_owned(), LONG),
        Release::Elsewhere(installed) => {
            return waits(status, plan::moved(observed.package, installed), LONG);
        }
        Release::Absent => true,
        Release::Present(values) => plan::differs(&plan.values, values),
    };
    if changed || status.source != plan.source {
        moves(status, PackageState::Updating, SHORT)
    } else {
        // What was in the way is over; what upstream says of the bare namespace is not.
        status.detail = status.detail.filter(|detail| detail.starts_with(status::DEPRECATED));
        moves(status, PackageState::Installed, VERY_LONG)
    }
}

#[cfg(test)]
mod tests;
