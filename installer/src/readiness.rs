//! The readiness of objects: pure functions of the objects in the API server.
//!
//! Source: kstatus (`pkg/kstatus/status/core.go` and `generic.go` of fluxcd/cli-utils), which Helm 4 uses, and
//! `pkg/kube/statuswait.go` of Helm for Jobs and pods that are hooks. One rule is from Helm 3 (`ready.go`): a paused
//! Deployment counts as ready, because it would never become ready.

use serde_json::Value;

/// The readiness of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The object is ready.
    Ready,
    /// The object is not ready yet: what is missing.
    Waiting(String),
    /// The object failed and will not become ready by itself: the reason.
    Failed(String),
}

use Readiness::{Failed, Ready, Waiting};

/// The readiness of an object of a release.
#[must_use]
pub fn of(object: &Value) -> Readiness {
    if let Some(known) = generic(object) {
        return known;
    }
    match kind(object) {
        ("apps", "Deployment") => deployment(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => replica_set(object),
        ("", "Pod") => pod(object),
        ("batch", "Job") => match job(object) {
            // A Job of a release only needs to be started.
            Waiting(_) if object.pointer("/status/startTime").is_some() => Ready,
            other => other,
        },
        ("", "PersistentVolumeClaim") if text(object, "/status/phase") == "Bound" => Ready,
        ("", "PersistentVolumeClaim") => Waiting("not bound".to_owned()),
        ("", "Service")
            if text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty() =>
        {
            Waiting("no cluster IP".to_owned())
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => match condition(object, "Ready") {
            Some(("True", _, _)) | None => Ready,
            Some((_, reason, message)) => Waiting(with_message(reason, message)),
        },
    }
}

/// The readiness of a hook: Jobs and pods must finish; other objects are ready at once.
#[must_use]
pub fn of_hook(object: &Value) -> Readiness {
    match kind(object) {
        ("batch", "Job") => job(object),
        ("", "Pod") => match text(object, "/status/phase") {
            "Succeeded" => Ready,
            "Failed" => Failed(pod_reason(object)),
            _ => Waiting("running".to_owned()),
        },
        _ => Ready,
    }
}

/// Whether a Job or pod is running and will report its result.
pub(crate) fn runs(object: &Value) -> bool {
    match kind(object) {
        ("batch", "Job") => status(object, "ready") > 0,
        ("", "Pod") => text(object, "/status/phase") == "Running",
        _ => false,
    }
}

/// The readiness by the rules for all kinds, if they apply.
fn generic(object: &Value) -> Option<Readiness> {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(Waiting("being deleted".to_owned()));
    }
    let observed = number(object, "/status/observedGeneration");
    if observed.is_some_and(|observed| Some(observed) != number(object, "/metadata/generation")) {
        return Some(Waiting("the last change was not observed yet".to_owned()));
    }
    if let Some(("True", reason, message)) = condition(object, "Reconciling") {
        return Some(Waiting(with_message(reason, message)));
    }
    if let Some(("True", reason, message)) = condition(object, "Stalled") {
        return Some(Failed(with_message(reason, message)));
    }
    None
}

fn deployment(object: &Value) -> Readiness {
    if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        return Ready;
    }
    let deadline = number(object, "/spec/progressDeadlineSeconds").unwrap_or(i64::from(i32::MAX));
    let mut progressed = deadline == i64::from(i32::MAX);
    if let Some((status, reason, message)) = condition(object, "Progressing") {
        if reason == "ProgressDeadlineExceeded" {
            return Failed(with_message(reason, message));
        }
        progressed |= status == "True" && reason == "NewReplicaSetAvailable";
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let [replicas, updated, ready, available] =
        ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
            .map(|name| status(object, name));
    if wanted > replicas {
        return of_count("created", replicas, wanted);
    }
    if wanted > updated {
        return of_count("updated", updated, wanted);
    }
    if replicas > wanted {
        return too_many(replicas - wanted, "of the previous version", replicas > available);
    }
    if updated > available {
        return of_count("available", available, updated);
    }
    if wanted > ready {
        return of_count("ready", ready, wanted);
    }
    if !progressed {
        return Waiting("the new replica set is not available".to_owned());
    }
    if !matches!(condition(object, "Available"), Some(("True", ..))) {
        return Waiting("not available".to_owned());
    }
    Ready
}

fn stateful_set(object: &Value) -> Readiness {
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let [replicas, ready, current, updated] =
        ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas"].map(|name| status(object, name));
    if wanted > replicas {
        return of_count("created", replicas, wanted);
    }
    if wanted > ready {
        return of_count("ready", ready, wanted);
    }
    if replicas > wanted {
        return too_many(replicas - wanted, "more than desired", false);
    }
    if let Some(partition) = number(object, "/spec/updateStrategy/rollingUpdate/partition").filter(|p| *p > 0)
    {
        let wanted = wanted - partition;
        return if updated < wanted { of_count("updated", updated, wanted) } else { Ready };
    }
    if wanted > current {
        return of_count("current", current, wanted);
    }
    if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return Waiting("the new revision is not rolled out completely".to_owned());
    }
    Ready
}

fn daemon_set(object: &Value) -> Readiness {
    if number(object, "/status/observedGeneration").is_none() {
        return Waiting("not observed yet".to_owned());
    }
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Ready;
    }
    let wanted = status(object, "desiredNumberScheduled");
    let counts = [
        ("scheduled", "currentNumberScheduled"),
        ("updated", "updatedNumberScheduled"),
        ("available", "numberAvailable"),
        ("ready", "numberReady"),
    ];
    let short = counts.iter().find(|(_, name)| status(object, name) < wanted);
    short.map_or(Ready, |(label, name)| of_count(label, status(object, name), wanted))
}

fn replica_set(object: &Value) -> Readiness {
    if let Some(("True", reason, message)) = condition(object, "ReplicaFailure") {
        return Waiting(with_message(reason, message));
    }
    if number(object, "/status/observedGeneration").is_none() {
        return Waiting("not observed yet".to_owned());
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let counts =
        [("labeled", "fullyLabeledReplicas"), ("available", "availableReplicas"), ("ready", "readyReplicas")];
    if let Some((label, name)) = counts.iter().find(|(_, name)| status(object, name) < wanted) {
        return of_count(label, status(object, name), wanted);
    }
    let replicas = status(object, "replicas");
    if replicas > wanted { too_many(replicas - wanted, "more than desired", false) } else { Ready }
}

fn pod(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => Ready,
        "Failed" => Failed(pod_reason(object)),
        "Running" if matches!(condition(object, "Ready"), Some(("True", ..))) => Ready,
        "" => Waiting("not started".to_owned()),
        _ => Waiting(pod_reason(object)),
    }
}

fn job(object: &Value) -> Readiness {
    if let Some(("True", reason, message)) = condition(object, "Failed") {
        return Failed(with_message(reason, message));
    }
    match condition(object, "Complete") {
        Some(("True", ..)) => Ready,
        _ => of_count(
            "succeeded",
            status(object, "succeeded"),
            number(object, "/spec/completions").unwrap_or(1),
        ),
    }
}

fn definition(object: &Value) -> Readiness {
    if let Some(("False", reason, message)) = condition(object, "NamesAccepted") {
        return Failed(with_message(reason, message));
    }
    match condition(object, "Established") {
        Some(("True", ..)) => Ready,
        Some(("False", reason, message)) if reason != "Installing" => Failed(with_message(reason, message)),
        _ => Waiting("not established".to_owned()),
    }
}

fn of_count(label: &str, found: i64, wanted: i64) -> Readiness {
    Waiting(format!("{found} of {wanted} {label}"))
}

/// Surplus pods. Those of the previous version keep running until the new ones are ready.
fn too_many(pods: i64, which: &str, held: bool) -> Readiness {
    let (pods, run) = if pods == 1 { ("1 pod".to_owned(), "runs") } else { (format!("{pods} pods"), "run") };
    let reason = if held { ", because the new one is not ready" } else { "" };
    Waiting(format!("{pods} {which} still {run}{reason}"))
}

/// The reason for which a pod is not ready: the state of its containers is more specific than its phase.
fn pod_reason(object: &Value) -> String {
    let containers = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let waiting = containers.into_iter().flatten().find_map(|container| {
        let state = container.get("state")?;
        state.get("waiting").or_else(|| state.get("terminated"))?.get("reason")?.as_str()
    });
    match (waiting, text(object, "/status/reason")) {
        (Some(reason), _) => reason.to_owned(),
        (None, "") => text(object, "/status/phase").to_lowercase(),
        (None, reason) => with_message(reason, text(object, "/status/message")),
    }
}

fn with_message(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}

/// The API group and the kind.
fn kind(object: &Value) -> (&str, &str) {
    let group = text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
    (group, text(object, "/kind"))
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| text(condition, "/type") == name)?;
    Some((text(found, "/status"), text(found, "/reason"), text(found, "/message")))
}

fn status(object: &Value, name: &str) -> i64 {
    object.get("status").and_then(|status| status.get(name)?.as_i64()).unwrap_or_default()
}

fn number(object: &Value, path: &str) -> Option<i64> {
    object.pointer(path)?.as_i64()
}

fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
