//! CRDs that move, that several packages contain, and that lose versions.

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::{Limits, OnFailure};
use crate::plan::Install;
use crate::testing::{DEFINITION, World, chart, config, definition, fields, limits, plan};

const THING: &str = "/apis/x.example/v1/namespaces/shop/things/t";

/// A chart with the CRD in a folder, `crds` or `templates`.
fn chart_with(folder: &str, version: &str, definition: &Value) -> std::sync::Arc<helm::Chart> {
    let path = format!("{folder}/things.yaml");
    let text = definition.to_string();
    chart(version, &[(&path, &text), ("templates/c.yaml", &config("c-{{ .Release.Name }}", "", "a"))])
}

fn other(plan: Install) -> Install {
    Install { release: "other".to_owned(), ..plan }
}

fn established(definition: &Value) -> Value {
    let mut live = definition.clone();
    live["status"] = json!({"conditions": [{"type": "Established", "status": "True", "reason": "x"}]});
    live
}

/// The CRD with another version that has the same fields.
fn with_version(mut definition: Value, name: &str) -> Value {
    let mut version = definition["spec"]["versions"][0].clone();
    version["name"] = json!(name);
    version["storage"] = json!(false);
    definition["spec"]["versions"].as_array_mut().unwrap().push(version);
    definition
}

#[tokio::test]
async fn h1_a_crd_that_moves_from_crds_to_templates_belongs_to_the_release() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&chart_with("crds", "1.0.0", &definition(&["a"])), &plan).await;
    world.put(THING, json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "shop"}}));
    world.good(&chart_with("templates", "2.0.0", &definition(&["a", "b"])), &plan).await;
    assert_eq!(fields(&world), ["a", "b"]);
    assert!(world.get(THING).is_some());
    // A CRD of another release does not.
    let world = World::start().await;
    world.good(&chart_with("crds", "1.0.0", &definition(&["a"])), &plan).await;
    let theirs = chart_with("templates", "2.0.0", &definition(&["a", "b"]));
    let error = world.install(&theirs, &other(plan), &limits()).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(fields(&world), ["a"]);
}

#[tokio::test]
async fn h1_a_crd_of_two_packages_is_deleted_with_the_last_one_that_has_objects() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    let same = definition(&["a"]);
    world.good(&chart_with("templates", "1.0.0", &same), &plan).await;
    let thing = "apiVersion: x.example/v1\nkind: Thing\nmetadata: {name: t}\n";
    let theirs = chart("1.0.1", &[("crds/things.yaml", &same.to_string()), ("templates/t.yaml", thing)]);
    world.good(&theirs, &other(plan.clone())).await;
    assert!(world.get(THING).is_some());
    world.away("web").await;
    assert!(world.get(DEFINITION).is_some() && world.get(THING).is_some());
    assert_eq!(world.states("other").await, ["deployed"]);
    world.away("other").await;
    assert_eq!(world.get(THING), None);
    // Without objects of other releases, it is deleted, with the objects that users created.
    let world = World::start().await;
    world.good(&chart_with("templates", "1.0.0", &same), &plan).await;
    world.put(THING, json!({"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "shop"}}));
    world.away("web").await;
    assert_eq!(world.get(DEFINITION), None);
}

#[tokio::test]
async fn h1_of_two_packages_with_different_crds_the_second_is_rejected_completely() {
    for (first, second) in
        [("crds", "crds"), ("templates", "crds"), ("crds", "templates"), ("templates", "templates")]
    {
        let world = World::start().await;
        let plan = plan(Some("shop"), json!({}));
        world.good(&chart_with(first, "1.0.0", &definition(&["a"])), &plan).await;
        let before = (world.paths(), world.get(DEFINITION));
        let theirs = chart_with(second, "1.0.1", &definition(&["b"]));
        let error = world.install(&theirs, &other(plan), &limits()).await.unwrap_err();
        let is_foreign = matches!(error, Error::Foreign { .. } | Error::ForeignDefinition { .. });
        assert!(is_foreign, "{first} {second}: {error}");
        assert_eq!((world.paths(), world.get(DEFINITION)), before);
    }
}

/// Rejects a CRD without a version in which objects are stored, as Kubernetes does.
fn keeps_stored_versions(request: &crate::testing::TestRequest<'_>) -> Option<(u16, String)> {
    let live = request.live.filter(|_| request.method == "PATCH" && request.path == DEFINITION)?;
    let versions = request.body["spec"]["versions"].as_array()?;
    let stored = live["status"]["storedVersions"].as_array()?;
    let exists = |name: &Value| versions.iter().any(|version| version["name"] == *name);
    (!stored.iter().all(exists)).then(|| {
        (422, "status.storedVersions[0]: Invalid value: \"v0\": must appear in spec.versions".to_owned())
    })
}

#[tokio::test]
async fn h1_an_upgrade_that_drops_a_stored_version_changes_nothing() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    let both = with_version(definition(&["a"]), "v0");
    world.good(&chart_with("templates", "1.0.0", &both), &plan).await;
    let mut live = world.get(DEFINITION).unwrap();
    live["status"]["storedVersions"] = json!(["v0", "v1"]);
    world.put(DEFINITION, live);
    let before = (world.paths(), world.get(DEFINITION));
    world.calm();
    world.refuse(keeps_stored_versions);
    let error = world
        .install(&chart_with("templates", "2.0.0", &definition(&["a"])), &plan, &limits())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.is_refusal(), "{error}");
    assert!(error.one_line().contains("storedVersions"), "{}", error.one_line());
    assert_eq!((world.paths(), world.get(DEFINITION)), before);
    assert_eq!(world.states("web").await, ["deployed"]);
    // In `crds/`, the CRD is not changed. Once no objects are stored in the version, the upgrade succeeds.
    world.good(&chart_with("crds", "2.0.0", &definition(&["a"])), &plan).await;
    assert_eq!(world.get(DEFINITION).unwrap()["spec"]["versions"].as_array().unwrap().len(), 2);
    let mut live = world.get(DEFINITION).unwrap();
    live["status"]["storedVersions"] = json!(["v1"]);
    world.put(DEFINITION, live);
    world.good(&chart_with("templates", "3.0.0", &both), &plan).await;
    world.good(&chart_with("templates", "4.0.0", &definition(&["a"])), &plan).await;
    assert_eq!(world.get(DEFINITION).unwrap()["spec"]["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn h1_a_rollback_past_an_added_version_keeps_the_newer_crd() {
    let world = World::start().await;
    let plan = plan(Some("shop"), json!({}));
    let both = with_version(definition(&["a"]), "v2");
    world.good(&chart_with("templates", "1.0.0", &definition(&["a"])), &plan).await;
    world.good(&chart_with("templates", "2.0.0", &both), &plan).await;
    world.refuse(keeps_stored_versions);
    world.engine.rollback("eksa-packages", "web", Some(1), &limits()).await.unwrap();
    assert_eq!(world.get(DEFINITION).unwrap()["spec"]["versions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn h1_a_crd_that_never_pruned_is_not_changed() {
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
        world.install(&chart_with(folder, "1.0.0", &new), &plan, &taking).await.unwrap();
        assert_eq!(world.get(DEFINITION).unwrap()["spec"]["preserveUnknownFields"], true, "{folder}");
        world.store(|store| store.objects.retain(|path, _| !path.contains("/sh.helm.release.")));
    }
}
