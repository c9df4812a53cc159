//! What an installation's end makes of the status.

use installer::Install;
use package_api::conditions::{self, Condition, ConditionStatus};
use package_api::name::{Cluster, PACKAGES_NAMESPACE};
use package_api::{Package, PackageSpec, PackageState, PackageStatus};
use serde_json::json;

use super::{Action, Again, LONG, Step, VERY_LONG};

/// What a package in the bare namespace is told.
pub(super) const DEPRECATED: &str = "Deprecated package namespace.";

/// The annotation that remembers what was given up, where a cluster's definitions drop conditions, as EKS Anywhere's
/// do.
pub const GIVEN_UP: &str = "airlock.dev/given-up";

/// The annotation by which a person asks for another try of what was given up: any value that it did not have then.
pub const RETRY: &str = "airlock.dev/retry";
/// How the detail of a package that was given up begins.
const GAVE_UP: &str = "given up: ";

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
    status.spec = Some(match outcome {
        Outcome::Ready => package.spec.clone(),
        Outcome::Retry(_) | Outcome::GaveUp(_) => tried(package),
    });
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
            status.detail = Some(format!("{GAVE_UP}{reason}. {}", how_to_retry(package)));
            Again::Never
        }
    };
    Step { action: Action::None, status, again }
}

/// What is tried of a package. Once it was installed its namespace is that of what is installed, whatever it asks for
/// now: by that a package is held to its namespace, and may go back to it.
pub(super) fn tried(package: &Package) -> PackageSpec {
    let mut spec = package.spec.clone();
    let status = package.status.as_ref().filter(|status| !status.current_version.is_empty());
    if let Some(installed) = status.and_then(|status| status.spec.as_ref()) {
        spec.target_namespace.clone_from(&installed.target_namespace);
    }
    spec
}

/// What a person does who wants to have tried again what was given up.
#[must_use]
pub fn how_to_retry(package: &Package) -> String {
    let (namespace, name) = (package.namespace(), package.name());
    format!(
        "It rests until the package or its bundle changes; to try again: kubectl annotate package -n {namespace} {name} \
         --overwrite {RETRY}=\"$(date)\""
    )
}

/// The detail of a package that rests because it was given up: what stood there meanwhile may be over.
pub(super) fn detail_of_rest(package: &Package, detail: Option<String>) -> Option<String> {
    if detail.as_ref().is_some_and(|detail| detail.starts_with(GAVE_UP)) {
        return detail;
    }
    let conditions = package.status.as_ref().and_then(|status| status.conditions.as_ref());
    let failed = conditions.into_iter().flatten().find(|condition| condition.kind == conditions::FAILED);
    let reason = failed.map_or("see its events", |failed| &failed.message);
    Some(format!("{GAVE_UP}{reason}. {}", how_to_retry(package)))
}

/// The status of a package that is being worked on: `words` say how far it is.
#[must_use]
pub fn under_way(package: &Package, words: &str, now: &str) -> PackageStatus {
    let mut status = package.status.clone().unwrap_or_default();
    let ready = condition(package, conditions::READY, false, ("Waiting", words), now);
    set(status.conditions.get_or_insert_default(), ready);
    status.detail = Some(words.to_owned());
    status
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
    let noted = package.annotation(GIVEN_UP).is_some_and(|noted| noted == given_up(package));
    // Who asks for another try after that is not told in conditions.
    noted || (told && package.annotation(RETRY).is_none())
}

/// What [`GIVEN_UP`] says of a package that is given up as it is now: neither its generation nor its chart may be
/// another, nor may somebody have asked for another try.
#[must_use]
pub fn given_up(package: &Package) -> String {
    let source = package.status.as_ref().map(|status| &status.source);
    let mut noted = json!({ "generation": package.metadata.generation, "source": source });
    if let Some(retry) = package.annotation(RETRY) {
        noted["retry"] = json!(retry);
    }
    noted.to_string()
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
