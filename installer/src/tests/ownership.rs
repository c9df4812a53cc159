//! What is there and not the release's stays as it is, and no schema prunes data.

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::{Conflicts, Limits, Ownership};
use crate::testing::{DEFINITION, World, chart, config, definition, ends, fields, job, limits, plan};

/// A chart whose `crds/` defines `Thing`.
fn defining(version: &str, fields: &[&str]) -> std::sync::Arc<helm::Chart> {
    let definition = definition(fields).to_string();
    chart(version, &[("crds/things.yaml", &definition), ("templates/c.yaml", &config("c", "", "a"))])
}

/// A chart that defines it in its templates.
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
async fn h1_a_definition_of_somebody_else_stays_and_nothing_is_written() {
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
async fn h1_a_definition_that_is_the_same_is_used_as_it_is() {
    let world = World::start().await;
    world.put(DEFINITION, definition(&["a"]));
    let before = world.get(DEFINITION);
    // It has to be established, as an API server sees to by itself.
    let mut there = before.unwrap();
    there["status"] = json!({"conditions": [{"type": "Established", "status": "True", "reason": "x"}]});
    world.put(DEFINITION, there.clone());
    world.good(&defining("1.0.0", &["a"]), &plan(Some("shop"), json!({}))).await;
    let patched = format!("PATCH {DEFINITION}");
    assert!(!world.store(|store| store.writes.contains(&patched)));
    world.away("web").await;
    assert!(world.get(DEFINITION).is_some());
}

#[tokio::test]
async fn h1_a_definition_is_taken_on_request_unless_that_would_prune_data() {
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
async fn h1_an_older_chart_that_is_installed_later_prunes_nothing() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&defining("2.0.0", &["a", "b"]), &plan).await;
    world.put(THING, thing());
    world.away("web").await;
    world.good(&defining("1.0.0", &["a"]), &plan).await;
    assert_eq!(fields(&world), ["a", "b"]);
    world.away("web").await;
    // It is the release's own, so a newer one replaces it.
    world.good(&defining("3.0.0", &["a", "b", "c"]), &plan).await;
    assert_eq!(fields(&world), ["a", "b", "c"]);
}

#[tokio::test]
async fn h1_a_rollback_leaves_the_newer_schema_and_a_newer_chart_may_drop_fields() {
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
async fn h1_a_definition_that_moves_into_crds_or_is_dropped_keeps_its_objects() {
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
    // Nothing is lost with a definition that has no objects.
    let world = World::start().await;
    world.good(&templating("1.0.0", &["a", "b"]), &plan).await;
    world.good(&without, &plan).await;
    assert_eq!(world.get(DEFINITION), None);
}

#[tokio::test]
async fn h1_a_hook_does_not_delete_what_is_somebody_elses() {
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
    // Its own from an earlier installation is run anew.
    world.away("web").await;
    assert!(world.get(path).is_some());
    world.good(&chart, &plan).await;
}

#[tokio::test]
async fn h1_what_somebody_makes_while_hooks_run_is_not_overwritten() {
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
    assert!(error.words().contains("ConfigMap shop/c exists and cannot be imported"), "{}", error.words());
    assert_eq!(world.get(path).unwrap()["data"]["text"], "theirs");
}

#[tokio::test]
async fn h1_other_objects_in_crds_are_held_to_the_same() {
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
async fn h1_the_target_namespace_that_a_chart_brings_is_its_own() {
    let world = World::start().await;
    let brought = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {level: high}}\n";
    let files = [("templates/n.yaml", brought), ("templates/c.yaml", &*config("c", "", "a"))];
    let chart = chart("1.0.0", &files);
    world.good(&chart, &plan(Some("shop"), json!({}))).await;
    let namespace = world.get("/api/v1/namespaces/shop").unwrap();
    assert_eq!(namespace["metadata"]["labels"]["level"], "high");
    // One that somebody else made is not taken over.
    let world = World::start().await;
    let theirs = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    world.put("/api/v1/namespaces/shop", theirs);
    let error = world.install(&chart, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err();
    assert!(error.to_string().starts_with("Namespace shop exists and cannot be imported"), "{error}");
}
