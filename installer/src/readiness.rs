//! When an object is ready: pure functions over the objects that the API server shows.
//!
//! Source: kstatus (`pkg/kstatus/status/core.go` and `generic.go` of fluxcd/cli-utils), by which Helm 4 waits, and
//! for jobs and pods that are hooks `pkg/kube/statuswait.go` of Helm. One rule is Helm 3's (`ready.go`): a paused
//! deployment is not waited for, as it would never get ready.

use serde_json::Value;

/// How far an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is what it should be.
    Ready,
    /// Not yet, and this is missing.
    Waiting(String),
    /// It will not get ready by itself.
    Failed(String),
}

use Readiness::{Failed, Ready, Waiting};

/// How far an object of a release is.
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
            // Started is all that a release asks of a job.
            Waiting(_) if object.pointer("/status/startTime").is_some() => Ready,
            other => other,
        },
        ("", "PersistentVolumeClaim") if text(object, "/status/phase") == "Bound" => Ready,
        ("", "PersistentVolumeClaim") => Waiting("not bound".to_owned()),
        ("", "Service")
            if text(object, "/spec/type") == "LoadBalancer" && text(object, "/spec/clusterIP").is_empty() =>
        {
            Waiting("no cluster address".to_owned())
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        _ => match condition(object, "Ready") {
            Some(("True", _, _)) | None => Ready,
            Some((_, reason, message)) => Waiting(words(reason, message)),
        },
    }
}

/// How far an object is that runs as a hook: jobs and pods to their end, anything else is done at once.
#[must_use]
pub fn of_hook(object: &Value) -> Readiness {
    match kind(object) {
        ("batch", "Job") => job(object),
        ("", "Pod") => match text(object, "/status/phase") {
            "Succeeded" => Ready,
            "Failed" => Failed(pod_words(object)),
            _ => Waiting("running".to_owned()),
        },
        _ => Ready,
    }
}

/// Whether a job or pod runs: it will tell how it ended.
pub(crate) fn runs(object: &Value) -> bool {
    match kind(object) {
        ("batch", "Job") => status(object, "ready") > 0,
        ("", "Pod") => text(object, "/status/phase") == "Running",
        _ => false,
    }
}

/// What holds for all kinds, where it says something.
fn generic(object: &Value) -> Option<Readiness> {
    if object.pointer("/metadata/deletionTimestamp").is_some() {
        return Some(Waiting("being deleted".to_owned()));
    }
    let observed = number(object, "/status/observedGeneration");
    if observed.is_some_and(|observed| Some(observed) != number(object, "/metadata/generation")) {
        return Some(Waiting("the last change was not seen yet".to_owned()));
    }
    if let Some(("True", reason, message)) = condition(object, "Reconciling") {
        return Some(Waiting(words(reason, message)));
    }
    if let Some(("True", reason, message)) = condition(object, "Stalled") {
        return Some(Failed(words(reason, message)));
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
            return Failed(words(reason, message));
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
        return too_many(replicas - wanted, "of the version before", replicas > available);
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
        return too_many(replicas - wanted, "more than wanted", false);
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
        return Waiting("the new revision is not everywhere".to_owned());
    }
    Ready
}

fn daemon_set(object: &Value) -> Readiness {
    if number(object, "/status/observedGeneration").is_none() {
        return Waiting("not seen yet".to_owned());
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
    short.map_or(Ready, |(word, name)| of_count(word, status(object, name), wanted))
}

fn replica_set(object: &Value) -> Readiness {
    if let Some(("True", reason, message)) = condition(object, "ReplicaFailure") {
        return Waiting(words(reason, message));
    }
    if number(object, "/status/observedGeneration").is_none() {
        return Waiting("not seen yet".to_owned());
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let counts = [
        ("labelled", "fullyLabeledReplicas"),
        ("available", "availableReplicas"),
        ("ready", "readyReplicas"),
    ];
    if let Some((word, name)) = counts.iter().find(|(_, name)| status(object, name) < wanted) {
        return of_count(word, status(object, name), wanted);
    }
    let replicas = status(object, "replicas");
    if replicas > wanted { too_many(replicas - wanted, "more than wanted", false) } else { Ready }
}

fn pod(object: &Value) -> Readiness {
    match text(object, "/status/phase") {
        "Succeeded" => Ready,
        "Failed" => Failed(pod_words(object)),
        "Running" if matches!(condition(object, "Ready"), Some(("True", ..))) => Ready,
        "" => Waiting("not started".to_owned()),
        _ => Waiting(pod_words(object)),
    }
}

fn job(object: &Value) -> Readiness {
    if let Some(("True", reason, message)) = condition(object, "Failed") {
        return Failed(words(reason, message));
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
        return Failed(words(reason, message));
    }
    match condition(object, "Established") {
        Some(("True", ..)) => Ready,
        Some(("False", reason, message)) if reason != "Installing" => Failed(words(reason, message)),
        _ => Waiting("not established".to_owned()),
    }
}

fn of_count(word: &str, found: i64, wanted: i64) -> Readiness {
    Waiting(format!("{found} of {wanted} {word}"))
}

/// Pods that are still to go; those of the version before stay as long as new ones are not ready.
fn too_many(pods: i64, which: &str, held: bool) -> Readiness {
    let (pods, run) = if pods == 1 { ("1 pod".to_owned(), "runs") } else { (format!("{pods} pods"), "run") };
    let why = if held { ", because the new one is not ready" } else { "" };
    Waiting(format!("{pods} {which} still {run}{why}"))
}

/// What holds a pod up: what its containers wait for says more than its phase.
fn pod_words(object: &Value) -> String {
    let containers = object.pointer("/status/containerStatuses").and_then(Value::as_array);
    let waiting = containers.into_iter().flatten().find_map(|container| {
        let state = container.get("state")?;
        state.get("waiting").or_else(|| state.get("terminated"))?.get("reason")?.as_str()
    });
    match (waiting, text(object, "/status/reason")) {
        (Some(reason), _) => reason.to_owned(),
        (None, "") => text(object, "/status/phase").to_lowercase(),
        (None, reason) => words(reason, text(object, "/status/message")),
    }
}

fn words(reason: &str, message: &str) -> String {
    if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
}

/// Group and kind.
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
