//! Definitions that move, that several packages have, and that lose versions.

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::{Limits, OnFailure};
use crate::plan::Install;
use crate::testing::{DEFINITION, World, chart, config, definition, fields, limits, plan};

const THING: &str = "/apis/x.example/v1/namespaces/shop/things/t";

/// A chart that brings the definition in a folder, `crds` or `templates`.
fn bringing(folder: &str, version: &str, definition: &Value) -> std::sync::Arc<helm::Chart> {
    let path = format!("{folder}/things.yaml");
    let text = definition.to_string();
    chart(version, &[(&path, &text), ("templates/c.yaml", &config("c-{{ .Release.Name }}", "", "a"))])
}

fn other(plan: Install) -> Install {
    Install { release: "other".to_owned(), ..plan }
}

fn established(definition: &Value) -> Value {
    let mut there = definition.clone();
    there["status"] = json!({"conditions": [{"type": "Established", "status": "True", "reason": "x"}]});
    there
}

/// With another version that has the same fields.
fn with_version(mut definition: Value, name: &str) -> Value {
    let mut version = definition["spec"]["versions"][0].clone();
    version["name"] = json!(name);
    version["storage"] = json!(false);
    definition["spec"]["versions"].as_array_mut().unwrap().push(version);
    definition
}

#[tokio::test]
async fn h1_a_definition_that_moves_from_crds_into_templates_is_the_release_s_own() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&bringing("crds", "1.0.0", &definition(&["a"])), &plan).await;
    world.put(THING, json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "shop"}}));
    world.good(&bringing("templates", "2.0.0", &definition(&["a", "b"])), &plan).await;
    assert_eq!(fields(&world), ["a", "b"]);
    assert!(world.get(THING).is_some());
    // One of another release is not.
    let world = World::start().await;
    world.good(&bringing("crds", "1.0.0", &definition(&["a"])), &plan).await;
    let theirs = bringing("templates", "2.0.0", &definition(&["a", "b"]));
    let error = world.install(&theirs, &other(plan), &limits()).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(fields(&world), ["a"]);
}

#[tokio::test]
async fn h1_a_definition_that_two_packages_have_goes_with_the_last_one_that_has_objects() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    let same = definition(&["a"]);
    world.good(&bringing("templates", "1.0.0", &same), &plan).await;
    let thing = "apiVersion: x.example/v1\nkind: Thing\nmetadata: {name: t}\n";
    let theirs = chart("1.0.1", &[("crds/things.yaml", &same.to_string()), ("templates/t.yaml", thing)]);
    world.good(&theirs, &other(plan.clone())).await;
    assert!(world.get(THING).is_some());
    world.away("web").await;
    assert!(world.get(DEFINITION).is_some() && world.get(THING).is_some());
    assert_eq!(world.states("other").await, ["deployed"]);
    world.away("other").await;
    assert_eq!(world.get(THING), None);
    // Without objects of others it goes, with those that users made.
    let world = World::start().await;
    world.good(&bringing("templates", "1.0.0", &same), &plan).await;
    world.put(THING, json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "shop"}}));
    world.away("web").await;
    assert_eq!(world.get(DEFINITION), None);
}

#[tokio::test]
async fn h1_of_two_packages_with_different_definitions_the_second_is_refused_whole() {
    for (first, second) in
        [("crds", "crds"), ("templates", "crds"), ("crds", "templates"), ("templates", "templates")]
    {
        let world = World::start().await;
        let plan = plan(Some("shop"), json!({}));
        world.good(&bringing(first, "1.0.0", &definition(&["a"])), &plan).await;
        let before = (world.paths(), world.get(DEFINITION));
        let theirs = bringing(second, "1.0.1", &definition(&["b"]));
        let error = world.install(&theirs, &other(plan), &limits()).await.unwrap_err();
        let is_foreign = matches!(error, Error::Foreign { .. } | Error::ForeignDefinition { .. });
        assert!(is_foreign, "{first} {second}: {error}");
        assert_eq!((world.paths(), world.get(DEFINITION)), before);
    }
}

/// As Kubernetes refuses a definition without a version that objects are stored in.
fn keeps_stored_versions(asked: &crate::testing::Asked<'_>) -> Option<(u16, String)> {
    let live = asked.live.filter(|_| asked.method == "PATCH" && asked.path == DEFINITION)?;
    let versions = asked.body["spec"]["versions"].as_array()?;
    let stored = live["status"]["storedVersions"].as_array()?;
    let is_there = |name: &Value| versions.iter().any(|version| version["name"] == *name);
    (!stored.iter().all(is_there)).then(|| {
        (422, "status.storedVersions[0]: Invalid value: \"v0\": must appear in spec.versions".to_owned())
    })
}

#[tokio::test]
async fn h1_an_upgrade_that_drops_a_version_in_which_objects_are_stored_changes_nothing() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    let both = with_version(definition(&["a"]), "v0");
    world.good(&bringing("templates", "1.0.0", &both), &plan).await;
    let mut live = world.get(DEFINITION).unwrap();
    live["status"]["storedVersions"] = json!(["v0", "v1"]);
    world.put(DEFINITION, live);
    let before = (world.paths(), world.get(DEFINITION));
    world.calm();
    world.refuse(keeps_stored_versions);
    let error = world
        .install(&bringing("templates", "2.0.0", &definition(&["a"])), &plan, &limits())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.is_refusal(), "{error}");
    assert!(error.words().contains("storedVersions"), "{}", error.words());
    assert_eq!((world.paths(), world.get(DEFINITION)), before);
    assert_eq!(world.states("web").await, ["deployed"]);
    // From `crds/` it is left as it is, and once nothing is stored in it any more the upgrade succeeds.
    world.good(&bringing("crds", "2.0.0", &definition(&["a"])), &plan).await;
    assert_eq!(world.get(DEFINITION).unwrap()["spec"]["versions"].as_array().unwrap().len(), 2);
    let mut live = world.get(DEFINITION).unwrap();
    live["status"]["storedVersions"] = json!(["v1"]);
    world.put(DEFINITION, live);
    world.good(&bringing("templates", "3.0.0", &both), &plan).await;
    world.good(&bringing("templates", "4.0.0", &definition(&["a"])), &plan).await;
    assert_eq!(world.get(DEFINITION).unwrap()["spec"]["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn h1_a_way_back_over_a_dropped_version_leaves_the_newer_definition() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    let both = with_version(definition(&["a"]), "v2");
    world.good(&bringing("templates", "1.0.0", &definition(&["a"])), &plan).await;
    world.good(&bringing("templates", "2.0.0", &both), &plan).await;
    world.refuse(keeps_stored_versions);
    world.engine.rollback("eksa-packages", "web", Some(1), &limits()).await.unwrap();
    assert_eq!(world.get(DEFINITION).unwrap()["spec"]["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn h1_a_definition_that_never_pruned_stays_so() {
    let world = World::start().await;
    let mut old = established(&definition(&["a"]));
    old["spec"]["preserveUnknownFields"] = json!(true);
    world.put(DEFINITION, old);
    let taking =
        Limits { ownership: crate::limits::Ownership::Take, on_failure: OnFailure::Leave, ..limits() };
    let plan = plan(Some("shop"), json!({}));
    for folder in ["crds", "templates"] {
        let mut new = definition(&["a", "b"]);
        new["spec"]["preserveUnknownFields"] = json!(false);
        world.install(&bringing(folder, "1.0.0", &new), &plan, &taking).await.unwrap();
        assert_eq!(world.get(DEFINITION).unwrap()["spec"]["preserveUnknownFields"], true, "{folder}");
        world.store(|store| store.objects.retain(|path, _| !path.contains("/sh.helm.release.")));
    }
}
