//! Tables of objects with their readiness.

use serde_json::json;

use super::*;

fn check(cases: &[(Value, Readiness)]) {
    for (object, expected) in cases {
        assert_eq!(of(object), *expected, "{object}");
    }
}

fn waiting(reason: &str) -> Readiness {
    Waiting(reason.to_owned())
}

fn failed(reason: &str) -> Readiness {
    Failed(reason.to_owned())
}

fn deployment_of(spec: &Value, status: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"generation": 2}, "spec": spec, "status": status})
}

#[test]
fn a_deployment_is_ready_when_all_its_new_pods_are_available() {
    let spec = json!({"replicas": 2, "progressDeadlineSeconds": 600});
    let conditions = json!([
        {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        {"type": "Available", "status": "True"}]);
    let of = |status: Value| deployment_of(&spec, &status);
    let counts = |replicas, updated, ready, available| {
        of(json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
            "readyReplicas": ready, "availableReplicas": available, "conditions": conditions}))
    };
    let exceeded = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "too slow"}]);
    let progressing = json!([{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]);
    let full = |conditions: &Value| {
        of(json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 2, "conditions": conditions}))
    };
    check(&[
        (of(json!({})), waiting("0 of 2 created")),
        (of(json!({"observedGeneration": 1})), waiting("the last change was not observed yet")),
        (counts(1, 1, 1, 1), waiting("1 of 2 created")),
        (counts(2, 1, 2, 2), waiting("1 of 2 updated")),
        (counts(3, 2, 3, 3), waiting("1 pod of the previous version still runs")),
        (
            counts(3, 2, 2, 2),
            waiting("1 pod of the previous version still runs, because the new one is not ready"),
        ),
        (counts(2, 2, 1, 1), waiting("1 of 2 available")),
        (counts(2, 2, 2, 2), Ready),
        (full(&progressing), waiting("the new replica set is not available")),
        (full(&exceeded), failed("ProgressDeadlineExceeded: too slow")),
        (deployment_of(&json!({"replicas": 5, "paused": true}), &json!({})), Ready),
    ]);
    let unavailable = json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
    check(&[(full(&unavailable), waiting("not available"))]);
}

#[test]
fn a_stateful_set_is_ready_when_its_revision_is_rolled_out() {
    let set = |spec: Value, status: Value| json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"generation": 1}, "spec": spec, "status": status});
    let full = |revision: &str| {
        json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "currentReplicas": 1,
            "currentRevision": "a", "updateRevision": revision})
    };
    check(&[
        (set(json!({}), json!({})), waiting("0 of 1 created")),
        (set(json!({}), json!({"replicas": 1})), waiting("0 of 1 ready")),
        (set(json!({"replicas": 0}), json!({"replicas": 1})), waiting("1 pod more than desired still runs")),
        (set(json!({}), json!({"replicas": 1, "readyReplicas": 1})), waiting("0 of 1 current")),
        (set(json!({}), full("b")), waiting("the new revision is not rolled out completely")),
        (set(json!({}), full("a")), Ready),
        (set(json!({"updateStrategy": {"type": "OnDelete"}}), json!({})), Ready),
        (
            set(
                json!({"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}}),
                json!({"replicas": 2, "readyReplicas": 2, "updatedReplicas": 1}),
            ),
            Ready,
        ),
    ]);
}

#[test]
fn a_daemon_set_is_ready_when_every_scheduled_node_runs_it() {
    let set = |status: Value| json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"generation": 1}, "spec": {}, "status": status});
    let counts = |scheduled, ready| {
        set(json!({"observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": scheduled,
            "updatedNumberScheduled": 2, "numberAvailable": ready, "numberReady": ready}))
    };
    check(&[
        (set(json!({})), waiting("not observed yet")),
        (set(json!({"observedGeneration": 1, "desiredNumberScheduled": 0})), Ready),
        (counts(1, 2), waiting("1 of 2 scheduled")),
        (counts(2, 1), waiting("1 of 2 available")),
        (counts(2, 2), Ready),
    ]);
}

#[test]
fn pods_claims_services_and_crds_have_their_own_rules() {
    let pod = |status: Value| json!({"apiVersion": "v1", "kind": "Pod", "status": status});
    let claim = |phase: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": phase}});
    let service = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": spec});
    let definition = |conditions: Value| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "status": {"conditions": conditions}})
    };
    let pulling = json!({"phase": "Pending", "containerStatuses": [
        {"state": {"waiting": {"reason": "ImagePullBackOff"}}}]});
    check(&[
        (pod(json!({})), waiting("not started")),
        (pod(pulling), waiting("ImagePullBackOff")),
        (
            pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]})),
            waiting("running"),
        ),
        (pod(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})), Ready),
        (pod(json!({"phase": "Succeeded"})), Ready),
        (
            pod(json!({"phase": "Failed", "reason": "Evicted", "message": "no room"})),
            failed("Evicted: no room"),
        ),
        (claim("Pending"), waiting("not bound")),
        (claim("Bound"), Ready),
        (service(json!({"type": "LoadBalancer"})), waiting("no cluster IP")),
        (service(json!({"type": "LoadBalancer", "clusterIP": "10.96.0.7"})), Ready),
        (service(json!({})), Ready),
        (definition(json!([])), waiting("not established")),
        (definition(json!([{"type": "Established", "status": "True"}])), Ready),
        (
            definition(
                json!([{"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict", "message": "taken"}]),
            ),
            failed("ListKindConflict: taken"),
        ),
    ]);
}

#[test]
fn a_job_of_a_release_must_start_and_one_of_a_hook_must_finish() {
    let job = |status: Value| json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {}, "status": status});
    let cases = [
        (json!({}), waiting("0 of 1 succeeded"), waiting("0 of 1 succeeded")),
        (json!({"startTime": "2026-01-01T00:00:00Z"}), Ready, waiting("0 of 1 succeeded")),
        (json!({"conditions": [{"type": "Complete", "status": "True"}]}), Ready, Ready),
        (
            json!({"startTime": "x", "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}),
            failed("BackoffLimitExceeded"),
            failed("BackoffLimitExceeded"),
        ),
    ];
    for (status, part, hook) in cases {
        let object = job(status);
        assert_eq!((of(&object), of_hook(&object)), (part, hook), "{object}");
    }
    let pod = |phase: &str| json!({"apiVersion": "v1", "kind": "Pod", "status": {"phase": phase}});
    assert_eq!(of_hook(&pod("Running")), waiting("running"));
    assert_eq!(of_hook(&pod("Succeeded")), Ready);
    assert_eq!(of_hook(&pod("Failed")), failed("failed"));
    assert_eq!(of_hook(&json!({"apiVersion": "v1", "kind": "ConfigMap"})), Ready);
}

#[test]
fn other_kinds_are_ready_by_their_conditions_or_if_they_have_none() {
    let custom = |status: Value| json!({"apiVersion": "x.io/v1", "kind": "X", "metadata": {"generation": 3}, "status": status});
    let of_condition = |name: &str, status: &str| {
        custom(json!({"conditions": [{"type": name, "status": status, "reason": "R", "message": "m"}]}))
    };
    check(&[
        (custom(json!(null)), Ready),
        (of_condition("Ready", "True"), Ready),
        (of_condition("Ready", "False"), waiting("R: m")),
        (of_condition("Ready", "Unknown"), waiting("R: m")),
        (of_condition("Reconciling", "True"), waiting("R: m")),
        (of_condition("Stalled", "True"), failed("R: m")),
        (custom(json!({"observedGeneration": 2})), waiting("the last change was not observed yet")),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"deletionTimestamp": "x"}}),
            waiting("being deleted"),
        ),
    ]);
}
