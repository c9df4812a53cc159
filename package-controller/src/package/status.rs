//! What an installation's end makes of the status.

use package_api::conditions::{self, Condition, ConditionStatus};
use package_api::name::{Cluster, PACKAGES_NAMESPACE};
use package_api::{Package, PackageState, PackageStatus};
use serde_json::json;

use super::{Action, Again, Install, LONG, Step, VERY_LONG};

/// What a package in the bare namespace is told.
pub(super) const DEPRECATED: &str = "Deprecated package namespace.";

/// The annotation that remembers what was given up, where a cluster's definitions drop conditions, as EKS Anywhere's
/// do.
pub const GIVEN_UP: &str = "airlock.dev/given-up";

/// How an installation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was applied is ready.
    Ready,
    /// It can be tried again: what went wrong.
    Retry(String),
    /// It was rolled back, and trying again would change nothing: what went wrong.
    GaveUp(String),
}

/// What follows from the end of an installation. `now` is RFC 3339; `management` the cluster that manages others.
#[must_use]
pub fn finish(package: &Package, install: &Install, outcome: Outcome, management: &str, now: &str) -> Step {
    let mut status = package.status.clone().unwrap_or_default();
    status.source.clone_from(&install.source);
    status.spec = Some(package.spec.clone());
    status.target_version = Some(install.target_version.clone());
    status.observed_generation = package.metadata.generation;
    let conditions = status.conditions.get_or_insert_default();
    let mut set = |kind, is, reason: &str, message: &str| {
        set(conditions, condition(package, kind, is, (reason, message), now));
    };
    let again = match outcome {
        Outcome::Ready => {
            set(conditions::READY, true, "Installed", "all objects are ready");
            set(conditions::FAILED, false, "Installed", "");
            status.state = Some(PackageState::Installed);
            status.current_version.clone_from(&install.source.version);
            status.detail = deprecated(package, management);
            VERY_LONG
        }
        Outcome::Retry(reason) => {
            set(conditions::READY, false, "Retrying", &reason);
            status.state = Some(PackageState::Installing);
            status.detail = Some(reason);
            LONG
        }
        Outcome::GaveUp(reason) => {
            set(conditions::READY, false, "RolledBack", &reason);
            set(conditions::FAILED, true, "RolledBack", &reason);
            status.state = Some(PackageState::Installing);
            status.detail = Some(reason);
            Again::Never
        }
    };
    Step { action: Action::None, status, again }
}

/// The status of a package that was compared with the cluster: `objects` are those that somebody changed.
#[must_use]
pub fn drifted(
    package: &Package,
    mut status: PackageStatus,
    objects: Option<&str>,
    now: &str,
) -> PackageStatus {
    let known = |kind: &Condition| kind.kind == conditions::DRIFTED;
    let conditions = status.conditions.get_or_insert_default();
    match objects {
        Some(objects) => {
            let drifted = condition(package, conditions::DRIFTED, true, ("Changed", objects), now);
            set(conditions, drifted);
        }
        // What never differed has nothing to tell.
        None if !conditions.iter().any(known) => {}
        None => {
            let message = ("AsApplied", "all objects are as they were applied");
            set(conditions, condition(package, conditions::DRIFTED, false, message, now));
        }
    }
    status
}

/// Whether this very generation of a package was given up.
#[must_use]
pub fn has_failed(package: &Package) -> bool {
    let conditions = package.status.as_ref().and_then(|status| status.conditions.as_ref());
    let told = conditions.into_iter().flatten().any(|condition| {
        condition.kind == conditions::FAILED
            && condition.status == ConditionStatus::True
            && condition.observed_generation == package.metadata.generation
    });
    told || package.annotation(GIVEN_UP).is_some_and(|noted| noted == given_up(package))
}

/// What [`GIVEN_UP`] says of a package that is given up as it is now: neither its generation nor its chart may be
/// another.
#[must_use]
pub fn given_up(package: &Package) -> String {
    let source = package.status.as_ref().map(|status| &status.source);
    json!({ "generation": package.metadata.generation, "source": source }).to_string()
}

/// That it failed is over.
pub(super) fn forget_failure(status: &mut PackageStatus) {
    let over = |known: &Condition| known.kind == conditions::FAILED && known.status == ConditionStatus::True;
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|known| !over(known));
    }
}

fn deprecated(package: &Package, management: &str) -> Option<String> {
    (Cluster::of(package.namespace()) == Some(Cluster::Unnamed))
        .then(|| format!("{DEPRECATED} Move to {PACKAGES_NAMESPACE}-{management}"))
}

fn condition(
    package: &Package,
    kind: &str,
    is: bool,
    (reason, message): (&str, &str),
    now: &str,
) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: if is { ConditionStatus::True } else { ConditionStatus::False },
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: now.to_owned(),
        observed_generation: package.metadata.generation,
    }
}

/// One of each kind; the time stays where the answer does.
fn set(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|known| known.kind == condition.kind) {
        Some(known) => {
            if known.status == condition.status {
                condition.last_transition_time.clone_from(&known.last_transition_time);
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}
