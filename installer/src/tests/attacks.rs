//! Attacks in several steps by users who choose the values of a chart that takes whole objects from them.

use std::sync::Arc;

use helm::Chart;
use serde_json::{Value, json};

use crate::error::Error;
use crate::guard::tests::bounds;
use crate::testing::{RECORDS, World, chart, config, ends, job, limits, plan};

const IMAGE: &str = "registry.example/team/app:v1";
const EVIL: &str = "evil.example/team/app:v1";

/// A chart that takes whole objects from its values, in addition to those that it always has.
fn open(always: &str) -> Arc<Chart> {
    let objects = "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n";
    chart("1.0.0", &[("templates/objects.yaml", objects), ("templates/always.yaml", always)])
}

async fn bounded(allow: &str) -> World {
    let mut world = World::start().await;
    world.engine = world.engine.clone().within(bounds(&["registry.example/team/app"], allow));
    world.react(ends("Complete"));
    world
}

fn with_hook(mut object: Value, event: &str) -> Value {
    object["metadata"]["annotations"] = json!({ "helm.sh/hook": event });
    object
}

fn map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "text": "ours" } })
}

/// Operators that receive an image in different ways.
fn operators(image: &str) -> Vec<Value> {
    let with = |container: Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "o" },
            "spec": { "paused": true, "template": { "spec": { "containers": [container] } } },
        })
    };
    let own = |more: Value| {
        let mut container = json!({ "name": "c", "image": IMAGE });
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(container)
    };
    let custom = |spec: Value| json!({ "apiVersion": "x.example/v1", "kind": "Thing", "metadata": { "name": "t" }, "spec": spec });
    vec![
        own(json!({ "args": [format!("--reloader-image={image}")] })),
        own(json!({ "args": ["--reloader-image", image] })),
        own(json!({ "env": [{ "name": "RELATED_IMAGE_X", "value": image }] })),
        own(json!({ "env": [{ "name": "ANY", "value": image }] })),
        custom(json!({ "image": image })),
        custom(json!({ "image": { "repository": image.rsplit_once(':').unwrap().0, "tag": "v1" } })),
        custom(json!({ "template": { "spec": { "containers": [{ "image": image }] } } })),
        custom(json!({ "steps": [{ "container": { "image": image } }] })),
    ]
}

#[tokio::test]
async fn a2_images_passed_to_operators_must_be_in_the_bundle_as_well() {
    let world = bounded("").await;
    world.put(crate::testing::DEFINITION, crate::testing::definition(&["spec"]));
    let prepare = |object: Value| {
        let world = &world;
        async move { world.prepare(&open(""), &plan(Some("shop"), json!({ "objects": [object] }))).await }
    };
    for object in operators(EVIL) {
        let refused = prepare(object.clone()).await.unwrap_err();
        assert!(matches!(refused, Error::Refused { .. }), "{object}: {refused}");
        assert!(refused.to_string().contains("evil.example/team/app:v1"), "{refused}");
    }
    for object in operators(IMAGE) {
        prepare(object.clone()).await.unwrap_or_else(|error| panic!("{object}: {error}"));
    }
    // Images in the chart's defaults were signed, and those that an administrator allows are accepted.
    let own = operators(EVIL).remove(0).to_string();
    world.prepare(&open(&own), &plan(Some("shop"), json!({}))).await.unwrap();
    let world = bounded("app:image/evil.example/team/app:v1").await;
    let values = json!({ "objects": [operators(EVIL)[2]] });
    world.prepare(&open(""), &plan(Some("shop"), values)).await.unwrap();
}

#[tokio::test]
async fn a2_a_hook_s_service_account_does_not_allow_using_one_of_others() {
    let world = bounded("").await;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "victim" } });
    let uses = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "spec": { "template": { "spec": { "serviceAccountName": "victim", "containers": [{ "name": "c", "image": IMAGE }] } } },
    });
    let listed = json!({ "apiVersion": "v1", "kind": "List", "items": [account],
        "metadata": { "annotations": { "helm.sh/hook": "test" } } });
    for claim in [with_hook(account.clone(), "test"), with_hook(account, "pre-rollback"), listed] {
        let values = json!({ "objects": [claim, uses] });
        let refused = world.prepare(&open(""), &plan(Some("shop"), values)).await.unwrap_err();
        assert!(refused.to_string().contains("service account `victim`"), "{refused}");
    }
}

/// Adds an object of others at `path`, and returns a check that it is unchanged.
fn foreign(world: &World, path: &str) -> impl Fn() {
    let name = path.rsplit('/').next().unwrap();
    world.put(
        path,
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "shop" },
            "data": { "text": "theirs" } }),
    );
    let before = world.get(path);
    move || assert_eq!(world.get(path), before)
}

const VICTIM: &str = "/api/v1/namespaces/shop/configmaps/victim";

#[tokio::test]
async fn h1_a_hook_that_never_ran_owns_no_objects() {
    for claim in [with_hook(map("victim"), "pre-upgrade"), with_hook(map("victim"), "test")] {
        let world = World::start().await;
        let is_untouched = foreign(&world, VICTIM);
        let with = |objects: Value| plan(Some("shop"), json!({ "objects": objects }));
        world.good(&open(""), &with(json!([claim]))).await;
        is_untouched();
        for event in ["pre-upgrade", "post-upgrade"] {
            let objects = json!([with_hook(map("victim"), event), map("other")]);
            let error = world.install(&open(""), &with(objects), &limits()).await.unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{event}: {}", error.one_line());
            is_untouched();
        }
        assert_eq!(world.states("web").await, ["deployed"]);
    }
}

#[tokio::test]
async fn h1_a_hook_with_a_list_owns_only_the_objects_that_it_created() {
    let world = World::start().await;
    let list = |event: &str| {
        json!({ "apiVersion": "v1", "kind": "List", "items": [map("a"), map("victim")],
            "metadata": { "annotations": { "helm.sh/hook": event } } })
    };
    let with = |event: &str| plan(Some("shop"), json!({ "objects": [list(event)] }));
    world.good(&open(""), &plan(Some("shop"), json!({}))).await;
    // The object is created between the check of existing objects and the hook.
    world.react(|object, store| {
        if object["metadata"]["name"] == "a" {
            store.put(
                VICTIM,
                json!({ "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "victim", "namespace": "shop" }, "data": { "text": "theirs" } }),
            );
        }
    });
    world.install(&open(""), &with("pre-upgrade"), &limits()).await.unwrap_err();
    world.calm();
    world.install(&open(""), &with("post-upgrade"), &limits()).await.unwrap_err();
    assert_eq!(world.get(VICTIM).unwrap()["data"]["text"], "theirs");
}

#[tokio::test]
async fn h1_a_retried_removal_deletes_no_objects_of_others() {
    for event in ["pre-delete", "post-delete"] {
        let world = World::start().await;
        let chart = open(&config("c", "", "a"));
        world
            .good(&chart, &plan(Some("shop"), json!({ "objects": [with_hook(map("victim"), event)] })))
            .await;
        let is_untouched = foreign(&world, VICTIM);
        for _ in 0..3 {
            let error = world.engine.uninstall(RECORDS, "web", &limits()).await.unwrap_err();
            assert!(error.one_line().contains("ConfigMap shop/victim exists"), "{}", error.one_line());
            is_untouched();
        }
        // It does not block the removal forever.
        let soon = crate::limits::Limits { timeout: std::time::Duration::ZERO, ..limits() };
        world.engine.uninstall(RECORDS, "web", &soon).await.unwrap();
        is_untouched();
        assert_eq!(world.states("web").await, Vec::<&str>::new());
    }
}

#[tokio::test]
async fn h10_a_library_chart_is_rejected_before_any_request() {
    let world = World::start().await;
    let files = [
        ("Chart.yaml", "apiVersion: v2\nname: lib\nversion: 1.0.0\ntype: library\n"),
        ("templates/a.yaml", ""),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let library = Arc::new(Chart::from_files(files, &helm::Limits::default()).unwrap());
    let error = world.install(&library, &plan(Some("shop"), json!({})), &limits()).await.unwrap_err();
    assert_eq!(error.to_string(), "library charts are not installable");
    assert_eq!(world.store(|store| store.writes.clone()), Vec::<String>::new());
    let hook = job("a", "", "test", "");
    world.good(&open(&hook), &plan(Some("shop"), json!({}))).await;
}
