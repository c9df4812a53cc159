//! What Kubernetes last warned of an object, or of what was made for it: an object says how much is missing, and its
//! events say why.

use brief::cut;
use serde_json::Value;

use crate::cluster::{Ask, Cluster};
use crate::object::Object;

/// More events of a namespace are not looked at.
const MOST: usize = 1000;
/// The longest message that is quoted.
const LONGEST: usize = 300;
/// The letters and digits of which Kubernetes makes the ends of names.
const MADE: &str = "bcdfghjklmnpqrstvwxz2456789";

/// The newest warning; none where there is none, or where the controller may not know.
pub(super) async fn newest(cluster: &Cluster, object: &Object) -> Option<String> {
    if object.namespace.is_empty() {
        return None;
    }
    let namespace = &object.namespace;
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=type%3DWarning&limit={MOST}");
    let list = cluster.find(&Ask::get(format!("read events of {object}"), path)).await.ok()??;
    of(&object.kind, &object.name, list.get("items")?.as_array()?)
}

fn of(kind: &str, name: &str, events: &[Value]) -> Option<String> {
    let about = events.iter().filter(|event| {
        let about = |field: &str| text(event, &format!("/involvedObject/{field}"));
        is_of((kind, name), (about("kind"), about("name")))
    });
    let newest = about.max_by_key(|event| when(event))?;
    let (kind, name) = (text(newest, "/involvedObject/kind"), text(newest, "/involvedObject/name"));
    let (reason, message) = (text(newest, "/reason"), text(newest, "/message"));
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let begin = cut(&message, LONGEST);
    let more = if begin.len() < message.len() { "..." } else { "" };
    Some(format!("{kind} {name}: {reason}: {begin}{more}"))
}

/// Whether an object is the one meant, or was made for it by Kubernetes' controllers.
fn is_of((kind, name): (&str, &str), (about, of): (&str, &str)) -> bool {
    if (kind, name) == (about, of) {
        return true;
    }
    let Some(end) = of.strip_prefix(name).and_then(|end| end.strip_prefix('-')) else { return false };
    let made = |end: &str| !end.is_empty() && end.len() <= 10 && end.chars().all(|c| MADE.contains(c));
    match (kind, about) {
        ("Deployment", "Pod") => end.split_once('-').is_some_and(|(set, pod)| made(set) && made(pod)),
        ("StatefulSet", "Pod") => end.parse::<u32>().is_ok(),
        ("Deployment", "ReplicaSet")
        | ("DaemonSet" | "Job" | "ReplicaSet" | "ReplicationController", "Pod") => made(end),
        _ => false,
    }
}

/// When it was seen last; these times sort as they are.
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
    fn what_was_made_for_an_object_is_told_from_what_only_begins_with_its_name() {
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
    fn the_newest_warning_is_quoted_and_cut() {
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
        let told = of("Deployment", "bad", &events).unwrap();
        let begin = "ReplicaSet bad-5d4f8c7b9: FailedCreate: pods \"bad\" is forbidden: ä";
        assert!(told.starts_with(begin) && told.ends_with("ä...") && told.len() < 400, "{told}");
        assert_eq!(of("Deployment", "third", &events), None);
    }
}
