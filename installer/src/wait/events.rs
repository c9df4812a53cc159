//! The newest warning event about an object, or about the objects that Kubernetes created for it. The status of an object
//! states what is missing, and its events state the reason.

use error_text::truncate;
use serde_json::Value;

use crate::cluster::{ApiRequest, Cluster};
use crate::object::Object;

/// The most events of a namespace that are read.
const MAX_EVENTS: usize = 1000;
/// The longest quoted message.
const MAX_MESSAGE: usize = 300;
/// The characters of the suffixes that Kubernetes generates for names.
const SUFFIX_CHARACTERS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The newest warning; `None` if there is none, or if the controller may not read events.
pub(super) async fn newest(cluster: &Cluster, object: &Object) -> Option<String> {
    if object.namespace.is_empty() {
        return None;
    }
    let namespace = &object.namespace;
    let path =
        format!("/api/v1/namespaces/{namespace}/events?fieldSelector=type%3DWarning&limit={MAX_EVENTS}");
    let list = cluster.find(&ApiRequest::get(format!("read events of {object}"), path)).await.ok()??;
    of(&object.kind, &object.name, list.get("items")?.as_array()?)
}

fn of(kind: &str, name: &str, events: &[Value]) -> Option<String> {
    let about = events.iter().filter(|event| {
        let about = |field: &str| text(event, &format!("/involvedObject/{field}"));
        is_of(Subject { kind, name }, Subject { kind: about("kind"), name: about("name") })
    });
    let newest = about.max_by_key(|event| when(event))?;
    let (kind, name) = (text(newest, "/involvedObject/kind"), text(newest, "/involvedObject/name"));
    let (reason, message) = (text(newest, "/reason"), text(newest, "/message"));
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let begin = truncate(&message, MAX_MESSAGE);
    let more = if begin.len() < message.len() { "..." } else { "" };
    Some(format!("{kind} {name}: {reason}: {begin}{more}"))
}

/// An object that events are about.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Subject<'a> {
    kind: &'a str,
    name: &'a str,
}

/// Whether a subject is the object, or was created for it by Kubernetes' controllers.
fn is_of(object: Subject<'_>, subject: Subject<'_>) -> bool {
    if object == subject {
        return true;
    }
    let Some(end) = subject.name.strip_prefix(object.name).and_then(|end| end.strip_prefix('-')) else {
        return false;
    };
    let generated =
        |end: &str| !end.is_empty() && end.len() <= 10 && end.chars().all(|c| SUFFIX_CHARACTERS.contains(c));
    match (object.kind, subject.kind) {
        ("Deployment", "Pod") => {
            end.split_once('-').is_some_and(|(set, pod)| generated(set) && generated(pod))
        }
        ("StatefulSet", "Pod") => end.parse::<u32>().is_ok(),
        ("Deployment", "ReplicaSet")
        | ("DaemonSet" | "Job" | "ReplicaSet" | "ReplicationController", "Pod") => generated(end),
        _ => false,
    }
}

/// The time at which an event was last seen. These times sort as text.
fn when(event: &Value) -> &str {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.into_iter().map(|at| text(event, at)).find(|time| !time.is_empty()).unwrap_or_default()
}

fn text<'a>(event: &'a Value, at: &str) -> &'a str {
    event.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_created_for_an_object_are_distinguished_from_others_with_its_prefix() {
        let is_of = |object: (&str, &str), (kind, name): (&str, &str)| {
            super::is_of(Subject { kind: object.0, name: object.1 }, Subject { kind, name })
        };
        let deployment = |about: &str, of: &str| is_of(("Deployment", "web"), (about, of));
        assert!(deployment("Deployment", "web") && deployment("ReplicaSet", "web-5d4f8c7b9"));
        assert!(deployment("Pod", "web-5d4f8c7b9-x2x4z"));
        for (about, of) in [
            ("Pod", "web"),
            ("Pod", "web-5d4f8c7b9"),
            ("Pod", "web-admin-5d4f8c7b9-x2x4z"),
            ("ReplicaSet", "web-admin-5d4f8c7b9"),
            ("ReplicaSet", "website"),
            ("Service", "web-5d4f8c7b9"),
        ] {
            assert!(!deployment(about, of), "{about} {of}");
        }
        assert!(is_of(("StatefulSet", "db"), ("Pod", "db-0")) && is_of(("Job", "db"), ("Pod", "db-x2x4z")));
    }

    #[test]
    fn the_newest_warning_is_quoted_and_truncated() {
        let event = |kind: &str, name: &str, reason: &str, message: &str, time: &str| {
            json!({"involvedObject": {"kind": kind, "name": name}, "reason": reason, "message": message,
                "lastTimestamp": time})
        };
        let long = format!("pods \"bad\" is\nforbidden: {}", "ä".repeat(400));
        let events = [
            event("ReplicaSet", "bad-5d4f8c7b9", "FailedCreate", &long, "2026-01-01T00:00:02Z"),
            event("Deployment", "bad", "Old", "before", "2026-01-01T00:00:01Z"),
            event("Deployment", "other", "New", "after", "2026-01-01T00:00:03Z"),
        ];
        let warning = of("Deployment", "bad", &events).unwrap();
        let begin = "ReplicaSet bad-5d4f8c7b9: FailedCreate: pods \"bad\" is forbidden: ä";
        assert!(warning.starts_with(begin) && warning.ends_with("ä...") && warning.len() < 400, "{warning}");
        assert_eq!(of("Deployment", "third", &events), None);
    }
}
