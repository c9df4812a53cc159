//! Hooks are identified by kind, namespace and name, and their last observed state determines the result.

use std::time::Duration;

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::Limits;
use crate::testing::{Store, World, chart, config, ended, ends, job, limits, path_of, plan};

/// A reaction that deletes every Job in a state as soon as it is created.
fn deletes_jobs(last: impl Fn(&Value) -> Value) -> impl Fn(&Value, &mut Store) {
    move |object, store| {
        if object["kind"] == "Job" {
            store.end(&path_of(object), last(object));
        }
    }
}

fn hooked(parts: &[&str]) -> std::sync::Arc<helm::Chart> {
    let names: Vec<_> = (0..parts.len()).map(|number| format!("templates/{number}.yaml")).collect();
    let mut files: Vec<_> = names.iter().map(String::as_str).zip(parts.iter().copied()).collect();
    let config = config("c", "", "a");
    files.push(("templates/c.yaml", &config));
    chart("1.0.0", &files)
}

const TTL_ZERO: &str = "ttlSecondsAfterFinished: 0, ";

#[tokio::test]
async fn h4_hooks_with_the_same_name_in_two_namespaces_or_groups_all_run() {
    let world = World::start().await;
    world.react(ends("Complete"));
    let other = "apiVersion: x.example/v1\nkind: Job\nmetadata: {name: a, annotations: {helm.sh/hook: pre-install}}\n";
    let mut definition = crate::testing::definition(&[]);
    definition["spec"]["names"] = json!({"kind": "Job", "plural": "jobs"});
    definition["metadata"]["name"] = json!("jobs.x.example");
    world.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jobs.x.example", definition);
    world.store(|store| store.objects.len());
    let parts = [job("a", "", "pre-install", ""), job("a", "there", "pre-install", "")];
    // An object of another group has no conditions, and is finished at once.
    let world_of_jobs = |path: &String| path.contains("/jobs/");
    world.calm();
    world.react(|object, store| {
        if object["apiVersion"] == "batch/v1" {
            ends("Complete")(object, store);
        }
    });
    world.good(&hooked(&[&parts[0], &parts[1], other]), &plan(Some("shop"), json!({}))).await;
    let created: Vec<_> = world.paths().into_iter().filter(world_of_jobs).collect();
    let expected = [
        "/apis/batch/v1/namespaces/shop/jobs/a",
        "/apis/batch/v1/namespaces/there/jobs/a",
        "/apis/x.example/v1/namespaces/shop/jobs/a",
    ];
    assert_eq!(created, expected);
}

#[tokio::test]
async fn h3_the_result_of_a_job_counts_even_if_it_is_deleted_when_it_finishes() {
    let world = World::start().await;
    let chart = hooked(&[&job("a", "", "pre-install", TTL_ZERO)]);
    let plan = plan(Some("shop"), json!({}));
    world.react(deletes_jobs(|job| ended(job, "Complete")));
    world.good(&chart, &plan).await;
    world.away("web").await;
    world.calm();
    world.react(deletes_jobs(|job| ended(job, "Failed")));
    let error = world.install(&chart, &plan, &limits()).await.unwrap_err().one_line();
    assert!(error.contains("the pre-install hook Job shop/a failed: Because"), "{error}");
}

#[tokio::test]
async fn h3_without_a_watch_a_job_that_is_deleted_when_it_finishes_counts_as_succeeded() {
    let world = World::start().await;
    world.refuse(|request| request.query.contains("watch=true").then(|| (403, "no".to_owned())));
    world.react(deletes_jobs(Value::clone));
    let plan = plan(Some("shop"), json!({}));
    world.good(&hooked(&[&job("a", "", "pre-install", TTL_ZERO)]), &plan).await;
    world.away("web").await;
    // A Job with a failure does not count as succeeded when it is deleted.
    world.calm();
    world.refuse(|request| request.query.contains("watch=true").then(|| (403, "no".to_owned())));
    world.react(|object, store| {
        if object["kind"] == "Job" {
            let mut failing = object.clone();
            failing["status"] = json!({"failed": 1});
            store.put(&path_of(object), failing);
        }
    });
    let error = world.install(&hooked(&[&job("a", "", "pre-install", TTL_ZERO)]), &plan, &limits()).await;
    let error = error.unwrap_err().one_line();
    assert!(
        error.contains("the pre-install hook Job shop/a failed: not ready after 2 s: 0 of 1 succeeded"),
        "{error}"
    );
}

#[tokio::test]
async fn h3_a_hook_that_is_deleted_before_it_finishes_has_failed() {
    let world = World::start().await;
    world.react(deletes_jobs(Value::clone));
    let chart = hooked(&[&job("a", "", "pre-install", "")]);
    let error =
        world.install(&chart, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err().one_line();
    let expected = "the pre-install hook Job shop/a failed: Job shop/a was deleted before it finished; last seen: 0 of 1 succeeded";
    assert!(error.contains(expected), "{error}");
}

/// Tries to uninstall the release until it succeeds, as the controller does.
async fn attempts_to_uninstall(world: &World, limits: &Limits, tries: usize) -> Option<usize> {
    for number in 1..=tries {
        match world.engine.uninstall("eksa-packages", "web", limits).await {
            Ok(()) => return Some(number),
            Err(error) => assert!(matches!(error, Error::Hook { .. }), "{}", error.one_line()),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    None
}

#[tokio::test]
async fn h3_a_removal_continues_without_a_hook_whose_result_is_unknown() {
    let soon = Limits { timeout: Duration::from_secs(1), ..limits() };
    let (chart, plan) = (hooked(&[&job("bye", "", "pre-delete", "")]), plan(Some("shop"), json!({})));
    // The hook never starts.
    let world = World::start().await;
    world.good(&chart, &plan).await;
    assert!(attempts_to_uninstall(&world, &soon, 3).await.is_some());
    assert_eq!(world.get("/api/v1/namespaces/shop/configmaps/c"), None);
    // The hook is deleted each time.
    let world = World::start().await;
    world.good(&chart, &plan).await;
    world.react(deletes_jobs(Value::clone));
    assert!(attempts_to_uninstall(&world, &soon, 20).await.is_some());
    // The hook cannot be created.
    let world = World::start().await;
    world.good(&chart, &plan).await;
    world.refuse(|request| request.path.ends_with("/jobs/bye").then(|| (400, "denied".to_owned())));
    assert!(attempts_to_uninstall(&world, &soon, 20).await.is_some());
    assert_eq!(world.states("web").await, Vec::<&str>::new());
}

#[tokio::test]
async fn h3_a_hook_that_fails_or_runs_blocks_the_removal_and_is_retried() {
    let soon = Limits { timeout: Duration::from_secs(1), ..limits() };
    let (chart, plan) = (hooked(&[&job("bye", "", "pre-delete", "")]), plan(Some("shop"), json!({})));
    let world = World::start().await;
    world.good(&chart, &plan).await;
    world.react(ends("Failed"));
    assert_eq!(attempts_to_uninstall(&world, &soon, 7).await, None);
    assert!(world.get("/api/v1/namespaces/shop/configmaps/c").is_some());
    // Once the cause is fixed, the next attempt succeeds.
    world.calm();
    world.react(ends("Complete"));
    assert_eq!(attempts_to_uninstall(&world, &soon, 1).await, Some(1));
    let world = World::start().await;
    world.good(&chart, &plan).await;
    world.react(|object, store| {
        if object["kind"] == "Job" {
            let mut running = object.clone();
            running["status"] = json!({"active": 1, "ready": 1});
            store.put(&path_of(object), running);
        }
    });
    assert_eq!(attempts_to_uninstall(&world, &soon, 2).await, None);
}

#[tokio::test]
async fn o30_a_timeout_quotes_the_event_of_the_pod_without_repetition() {
    let world = World::start().await;
    let event = json!({"type": "Warning", "reason": "FailedCreatePodSandBox", "message": "no network",
        "involvedObject": {"kind": "Pod", "name": "a-x2x4z"}, "lastTimestamp": "2026-01-01T00:00:00Z",
        "metadata": {"name": "e"}});
    world.put("/api/v1/namespaces/shop/events/e", event);
    let chart = hooked(&[&job("a", "", "pre-install", "")]);
    let error =
        world.install(&chart, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err().one_line();
    let expected = "the pre-install hook Job shop/a failed: not ready after 2 s: 0 of 1 succeeded \
        (Pod a-x2x4z: FailedCreatePodSandBox: no network)";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(error.matches("Job shop/a").count(), 1, "{error}");
}

#[tokio::test]
async fn h3_a_finished_and_deleted_job_of_the_manifest_is_not_drift() {
    let world = World::start().await;
    world.react(deletes_jobs(|job| ended(job, "Complete")));
    let plain = job("once", "", "none", TTL_ZERO).replace(", annotations: {helm.sh/hook: none}", "");
    let chart = hooked(&[&plain]);
    let plan = plan(Some("shop"), json!({}));
    let record = world.good(&chart, &plan).await;
    assert_eq!(world.engine.drift(&record).await.unwrap(), []);
    world.store(|store| store.writes.clear());
    world.good(&chart, &plan).await;
    assert_eq!(world.store(|store| store.writes.clone()), Vec::<String>::new());
}
