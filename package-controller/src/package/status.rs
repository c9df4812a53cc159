//! The status of a package after an installation.

use installer::Install;
use package_api::conditions::{self, Condition, ConditionStatus};
use package_api::name::{Cluster, PACKAGES_NAMESPACE};
use package_api::{Package, PackageSpec, PackageState, PackageStatus};
use serde_json::json;

use super::{Action, LONG, Recheck, Step, VERY_LONG};

/// The beginning of the warning about the namespace without a suffix.
pub(super) const DEPRECATED: &str = "Deprecated package namespace.";

/// The annotation that records that an installation was given up, for clusters whose CRDs drop conditions, such as EKS
/// Anywhere's.
pub const GIVEN_UP: &str = "airlock.dev/given-up";

/// The annotation with which a user requests a retry after an installation was given up: any value other than the
/// previous one.
pub const RETRY: &str = "airlock.dev/retry";
/// The beginning of the detail after an installation was given up.
const GAVE_UP: &str = "given up: ";

/// The result of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All applied objects are ready.
    Ready,
    /// The installation failed and can be retried: the reason.
    Retry(String),
    /// The installation was rolled back, and a retry would fail in the same way: the reason.
    GaveUp(String),
}

/// The step after an installation. `now` is in RFC 3339; `management` is the name of the management cluster.
#[must_use]
pub fn finish(package: &Package, install: &Install, outcome: Outcome, management: &str, now: &str) -> Step {
    let mut status = package.status.clone().unwrap_or_default();
    status.source.clone_from(&install.source);
    status.spec = Some(match outcome {
        Outcome::Ready => package.spec.clone(),
        Outcome::Retry(_) | Outcome::GaveUp(_) => attempted_spec(package),
    });
    status.target_version = Some(install.target_version.clone());
    status.observed_generation = package.metadata.generation;
    let conditions = status.conditions.get_or_insert_default();
    let mut set = |kind, is, reason: &str, message: &str| {
        set(conditions, condition(package, kind, is, reason, message, now));
    };
    let recheck = match outcome {
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
            status.detail = Some(format!("{GAVE_UP}{reason}. {}", how_to_retry(package)));
            Recheck::Never
        }
    };
    Step { action: Action::None, status, recheck }
}

/// The spec that is being applied. After the first installation, its target namespace is the one of the installed release,
/// even if the package now requests another: so the namespace cannot change, and the package can be changed back.
pub(super) fn attempted_spec(package: &Package) -> PackageSpec {
    let mut spec = package.spec.clone();
    let status = package.status.as_ref().filter(|status| !status.current_version.is_empty());
    if let Some(installed) = status.and_then(|status| status.spec.as_ref()) {
        spec.target_namespace.clone_from(&installed.target_namespace);
    }
    spec
}

/// How a user can retry an installation that was given up.
#[must_use]
pub fn how_to_retry(package: &Package) -> String {
    let (namespace, name) = (package.namespace(), package.name());
    format!(
        "Not retried until the package or its bundle changes. To retry: kubectl annotate package -n {namespace} {name} \
         --overwrite {RETRY}=\"$(date)\""
    )
}

/// The detail of a package that was given up. Other details that were set in the meantime may no longer apply.
pub(super) fn detail_after_failure(package: &Package, detail: Option<String>) -> Option<String> {
    if detail.as_ref().is_some_and(|detail| detail.starts_with(GAVE_UP)) {
        return detail;
    }
    let conditions = package.status.as_ref().and_then(|status| status.conditions.as_ref());
    let failed = conditions.into_iter().flatten().find(|condition| condition.kind == conditions::FAILED);
    let reason = failed.map_or("see its events", |failed| &failed.message);
    Some(format!("{GAVE_UP}{reason}. {}", how_to_retry(package)))
}

/// The status of a package during an installation, with a progress message.
#[must_use]
pub fn in_progress(package: &Package, progress: &str, now: &str) -> PackageStatus {
    let mut status = package.status.clone().unwrap_or_default();
    let ready = condition(package, conditions::READY, false, "Waiting", progress, now);
    set(status.conditions.get_or_insert_default(), ready);
    status.detail = Some(progress.to_owned());
    status
}

/// The status of a package after drift detection. `objects` are the changed objects.
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
            let drifted = condition(package, conditions::DRIFTED, true, "Changed", objects, now);
            set(conditions, drifted);
        }
        // Without earlier drift, no condition is needed.
        None if !conditions.iter().any(known) => {}
        None => {
            let message = "all objects match what was applied";
            set(conditions, condition(package, conditions::DRIFTED, false, "AsApplied", message, now));
        }
    }
    status
}

/// Whether this generation of a package was given up.
#[must_use]
pub fn has_failed(package: &Package) -> bool {
    let conditions = package.status.as_ref().and_then(|status| status.conditions.as_ref());
    let in_conditions = conditions.into_iter().flatten().any(|condition| {
        condition.kind == conditions::FAILED
            && condition.status == ConditionStatus::True
            && condition.observed_generation == package.metadata.generation
    });
    let noted = package.annotation(GIVEN_UP).is_some_and(|noted| noted == given_up(package));
    // A retry that is requested later is not recorded in conditions.
    noted || (in_conditions && package.annotation(RETRY).is_none())
}

/// The value of [`GIVEN_UP`] for the current state of a package: it applies only to the same generation, chart and retry
/// request.
#[must_use]
pub fn given_up(package: &Package) -> String {
    let source = package.status.as_ref().map(|status| &status.source);
    let mut noted = json!({ "generation": package.metadata.generation, "source": source });
    if let Some(retry) = package.annotation(RETRY) {
        noted["retry"] = json!(retry);
    }
    noted.to_string()
}

/// Removes the recorded failure.
pub(super) fn clear_failure(status: &mut PackageStatus) {
    let over = |known: &Condition| known.kind == conditions::FAILED && known.status == ConditionStatus::True;
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|known| !over(known));
    }
}

fn deprecated(package: &Package, management: &str) -> Option<String> {
    (Cluster::of(package.namespace()) == Some(Cluster::Unnamed))
        .then(|| format!("{DEPRECATED} Move to {PACKAGES_NAMESPACE}-{management}"))
}

fn condition(package: &Package, kind: &str, is: bool, reason: &str, message: &str, now: &str) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: if is { ConditionStatus::True } else { ConditionStatus::False },
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: now.to_owned(),
        observed_generation: package.metadata.generation,
    }
}

/// Adds or replaces a condition. The transition time is kept if the status does not change.
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
