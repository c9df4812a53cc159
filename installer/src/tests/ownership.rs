//! Existing objects that do not belong to the release are not changed, and no schema prunes data.

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::{Conflicts, Limits, Ownership};
use crate::testing::{DEFINITION, World, chart, config, definition, ends, fields, job, limits, plan};

/// A chart whose `crds/` defines `Thing`.
fn defining(version: &str, fields: &[&str]) -> std::sync::Arc<helm::Chart> {
    let definition = definition(fields).to_string();
    chart(version, &[("crds/things.yaml", &definition), ("templates/c.yaml", &config("c", "", "a"))])
}

/// A chart that defines `Thing` in its templates.
fn templating(version: &str, fields: &[&str]) -> std::sync::Arc<helm::Chart> {
    let definition = definition(fields).to_string();
    chart(version, &[("templates/things.yaml", &definition), ("templates/c.yaml", &config("c", "", version))])
}

fn thing() -> Value {
    json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "shop"}, "b": "data"})
}

const THING: &str = "/apis/x.example/v1/namespaces/shop/things/t";

fn taking() -> Limits {
    Limits { ownership: Ownership::Take, ..limits() }
}

#[tokio::test]
async fn h1_a_crd_of_others_is_kept_and_nothing_is_written() {
    let world = World::start().await;
    for conflicts in [Conflicts::Take, Conflicts::Refuse] {
        world.put(DEFINITION, definition(&["a", "b"]));
        let limits = Limits { conflicts, ..limits() };
        let before = world.get(DEFINITION);
        let error = world
            .install(&defining("1.0.0", &["a"]), &plan(Some("shop"), json!({})), &limits)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::ForeignDefinition { .. }) && error.is_refusal(), "{error}");
        assert!(error.to_string().contains("take-ownership"), "{error}");
        assert_eq!(world.get(DEFINITION), before);
        assert_eq!(world.store(|store| store.writes.clone()), Vec::<String>::new());
    }
}

#[tokio::test]
async fn h1_an_identical_crd_is_used_without_changes() {
    let world = World::start().await;
    world.put(DEFINITION, definition(&["a"]));
    let before = world.get(DEFINITION);
    // An API server sets this condition itself.
    let mut live = before.unwrap();
    live["status"] = json!({"conditions": [{"type": "Established", "status": "True", "reason": "x"}]});
    world.put(DEFINITION, live.clone());
    world.good(&defining("1.0.0", &["a"]), &plan(Some("shop"), json!({}))).await;
    let patched = format!("PATCH {DEFINITION}");
    assert!(!world.store(|store| store.writes.contains(&patched)));
    world.away("web").await;
    assert!(world.get(DEFINITION).is_some());
}

#[tokio::test]
async fn h1_a_crd_is_taken_over_on_request_unless_that_would_prune_data() {
    let world = World::start().await;
    world.put(DEFINITION, definition(&["a"]));
    let (chart, plan) = (defining("1.0.0", &["a", "b"]), plan(Some("shop"), json!({})));
    world.install(&chart, &plan, &taking()).await.unwrap();
    assert_eq!(fields(&world), ["a", "b"]);
    let world = World::start().await;
    let mut wide = definition(&["a", "b", "c"]);
    wide["status"] = json!({"conditions": [{"type": "Established", "status": "True", "reason": "x"}]});
    world.put(DEFINITION, wide);
    world.install(&chart, &plan, &taking()).await.unwrap();
    assert_eq!(fields(&world), ["a", "b", "c"]);
}

#[tokio::test]
async fn h1_installing_an_older_chart_prunes_nothing() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&defining("2.0.0", &["a", "b"]), &plan).await;
    world.put(THING, thing());
    world.away("web").await;
    world.good(&defining("1.0.0", &["a"]), &plan).await;
    assert_eq!(fields(&world), ["a", "b"]);
    world.away("web").await;
    // The CRD belongs to the release, so a newer one replaces it.
    world.good(&defining("3.0.0", &["a", "b", "c"]), &plan).await;
    assert_eq!(fields(&world), ["a", "b", "c"]);
}

#[tokio::test]
async fn h1_a_rollback_keeps_the_newer_schema_and_a_newer_chart_may_drop_fields() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&templating("1.0.0", &["a"]), &plan).await;
    world.good(&templating("2.0.0", &["a", "b"]), &plan).await;
    world.put(THING, thing());
    world.engine.rollback("eksa-packages", "web", Some(1), &limits()).await.unwrap();
    assert_eq!(fields(&world), ["a", "b"]);
    let current = world.engine.current("eksa-packages", "web").await.unwrap().unwrap();
    assert_eq!(world.engine.drift(&current).await.unwrap(), []);
    world.good(&templating("2.0.0", &["a", "b"]), &plan).await;
    world.good(&templating("3.0.0", &["b"]), &plan).await;
    assert_eq!(fields(&world), ["b"]);
}

#[tokio::test]
async fn h1_the_objects_of_a_crd_that_moves_to_crds_or_is_dropped_are_kept() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&templating("1.0.0", &["a", "b"]), &plan).await;
    world.put(THING, thing());
    world.good(&defining("2.0.0", &["a", "b"]), &plan).await;
    assert!(world.get(DEFINITION).is_some() && world.get(THING).is_some());
    let world = World::start().await;
    world.good(&templating("1.0.0", &["a", "b"]), &plan).await;
    world.put(THING, thing());
    let without = chart("2.0.0", &[("templates/c.yaml", &config("c", "", "x"))]);
    world.good(&without, &plan).await;
    assert!(world.get(DEFINITION).is_some() && world.get(THING).is_some());
    world.away("web").await;
    assert_eq!(world.get(DEFINITION), None);
    // A CRD without objects is deleted.
    let world = World::start().await;
    world.good(&templating("1.0.0", &["a", "b"]), &plan).await;
    world.good(&without, &plan).await;
    assert_eq!(world.get(DEFINITION), None);
}

#[tokio::test]
async fn h1_a_hook_does_not_delete_objects_of_others() {
    let world = World::start().await;
    let job = job("migrate", "", "pre-install", "");
    let chart = chart("1.0.0", &[("templates/job.yaml", &job), ("templates/c.yaml", &config("c", "", "a"))]);
    let path = "/apis/batch/v1/namespaces/shop/jobs/migrate";
    let theirs = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate", "namespace": "shop"}});
    world.put(path, theirs);
    let before = world.get(path);
    let plan = plan(Some("shop"), json!({}));
    let error = world.install(&chart, &plan, &limits()).await.unwrap_err();
    assert!(error.to_string().starts_with("Job shop/migrate exists and cannot be imported"), "{error}");
    assert_eq!((world.get(path), world.store(|store| store.writes.clone())), (before, Vec::new()));
    world.react(ends("Complete"));
    world.install(&chart, &plan, &taking()).await.unwrap();
    // The release's own hook from an earlier installation is run again.
    world.away("web").await;
    assert!(world.get(path).is_some());
    world.good(&chart, &plan).await;
}

#[tokio::test]
async fn h1_objects_that_others_create_while_hooks_run_are_not_overwritten() {
    let world = World::start().await;
    let hook = config("before", "", "x")
        .replace("{name: before", "{annotations: {helm.sh/hook: pre-install}, name: before");
    let chart =
        chart("1.0.0", &[("templates/h.yaml", &hook), ("templates/c.yaml", &config("c", "", "ours"))]);
    let path = "/api/v1/namespaces/shop/configmaps/c";
    world.react(move |object, store| {
        if object["metadata"]["name"] == "before" {
            let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "c", "namespace": "shop"}, "data": {"text": "theirs"}});
            store.put(path, theirs);
        }
    });
    let error = world.install(&chart, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err();
    assert!(
        error.one_line().contains("ConfigMap shop/c exists and cannot be imported"),
        "{}",
        error.one_line()
    );
    assert_eq!(world.get(path).unwrap()["data"]["text"], "theirs");
}

#[tokio::test]
async fn h1_other_objects_in_crds_are_checked_as_well() {
    let world = World::start().await;
    let path = "/api/v1/namespaces/there/configmaps/c";
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "there"},
        "data": {"text": "theirs"}});
    world.put(path, theirs);
    let chart = chart("1.0.0", &[("crds/c.yaml", &*config("c", "there", "ours"))]);
    let error = world.install(&chart, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err();
    assert!(matches!(error, Error::ForeignDefinition { .. }), "{error}");
    assert_eq!(world.get(path).unwrap()["data"]["text"], "theirs");
}

#[tokio::test]
async fn h1_the_target_namespace_in_a_chart_belongs_to_the_release() {
    let world = World::start().await;
    let manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {level: high}}\n";
    let files = [("templates/n.yaml", manifest), ("templates/c.yaml", &*config("c", "", "a"))];
    let chart = chart("1.0.0", &files);
    world.good(&chart, &plan(Some("shop"), json!({}))).await;
    let namespace = world.get("/api/v1/namespaces/shop").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["level"], "high");
    // A namespace of others is not taken over.
    let world = World::start().await;
    let theirs = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    world.put("/api/v1/namespaces/shop", theirs);
    let error = world.install(&chart, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err();
    assert!(error.to_string().starts_with("Namespace shop exists and cannot be imported"), "{error}");
}
