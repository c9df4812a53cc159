//! A change that fails removes nothing that ran before.

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::{Limits, OnFailure};
use crate::testing::{World, chart, config, ends, job, limits, plan};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {try: 'x{{ .Values.try }}'}}\n\
    spec: {paused: true, selector: {matchLabels: {app: '{{ .Values.app }}'}}}\n";
const PATH: &str = "/apis/apps/v1/namespaces/shop/deployments/d";

/// As Kubernetes refuses a change of a selector.
fn immutable(asked: &crate::testing::Asked<'_>) -> Option<(u16, String)> {
    let selector = |object: &Value| object.pointer("/spec/selector").cloned();
    let live = asked.live.filter(|_| asked.method == "PATCH" && asked.path == PATH)?;
    (selector(live) != selector(asked.body))
        .then(|| (422, "Deployment.apps \"d\" is invalid: spec.selector: field is immutable".to_owned()))
}

fn parts(more: &str) -> std::sync::Arc<helm::Chart> {
    let files = [
        ("values.yaml", "app: one\n"),
        ("templates/c.yaml", &config("c", "", "'{{ .Values.app }}'")),
        ("templates/d.yaml", DEPLOYMENT),
        ("templates/more.yaml", more),
    ];
    chart("1.0.0", &files)
}

#[tokio::test]
async fn o31_a_change_of_an_immutable_field_is_refused_before_anything_changes() {
    let world = World::start().await;
    world.good(&parts(""), &plan(Some("shop"), json!({}))).await;
    let before = (world.paths(), world.get(PATH), world.states("web").await);
    world.calm();
    world.refuse(immutable);
    let error =
        world.install(&parts(""), &plan(Some("shop"), json!({"app": "two"})), &limits()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.is_refusal(), "{error}");
    let words = error.words();
    assert!(
        words.starts_with("Deployment shop/d cannot be changed like that") && words.contains("immutable"),
        "{words}"
    );
    assert_eq!(world.store(|store| store.writes.clone()), Vec::<String>::new());
    assert_eq!((world.paths(), world.get(PATH), world.states("web").await), before);
}

#[tokio::test]
async fn o31_with_a_hook_that_could_have_helped_the_release_goes_back() {
    let world = World::start().await;
    world.react(ends("Complete"));
    let hook = job("help", "", "pre-upgrade", "");
    world.good(&parts(&hook), &plan(Some("shop"), json!({}))).await;
    let uid = world.get(PATH).unwrap()["metadata"]["uid"].clone();
    world.refuse(immutable);
    let error = world
        .install(&parts(&hook), &plan(Some("shop"), json!({"app": "two"})), &limits())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "revision 2 failed; the release is back at revision 1");
    assert_eq!(world.get(PATH).unwrap()["metadata"]["uid"], uid);
    assert_eq!(world.get("/api/v1/namespaces/shop/configmaps/c").unwrap()["data"]["text"], "one");
    assert_eq!(world.states("web").await, ["superseded", "failed", "deployed"]);
}

#[tokio::test]
async fn o31_a_first_installation_that_fails_leaves_what_was_there_before() {
    let world = World::start().await;
    let chart = parts(&config("new", "", "x"));
    world.good(&chart, &plan(Some("shop"), json!({}))).await;
    // The records are lost, and all else runs on.
    world.store(|store| store.objects.retain(|path, _| !path.contains("/sh.helm.release.")));
    world.store(|store| store.objects.remove("/api/v1/namespaces/shop/configmaps/new"));
    world.refuse(|asked| {
        (asked.path.ends_with("/deployments/d") && asked.method == "PATCH" && !asked.query.contains("dryRun"))
            .then(|| (400, "no".to_owned()))
    });
    // A first try that is given up half-way leaves what the second one takes away.
    let leave = Limits { on_failure: OnFailure::Leave, ..limits() };
    world.install(&chart, &plan(Some("shop"), json!({"app": "one", "try": 1})), &leave).await.unwrap_err();
    assert!(world.get("/api/v1/namespaces/shop/configmaps/new").is_some());
    let changed = plan(Some("shop"), json!({"app": "one", "try": 2}));
    let error = world.install(&chart, &changed, &limits()).await.unwrap_err();
    assert!(error.to_string().ends_with("2 objects that were there before stay"), "{error}");
    let expected = ["/api/v1/namespaces/shop/configmaps/c", PATH];
    assert_eq!(world.paths(), expected.map(str::to_owned));
    // Who wants it gone gets it gone.
    world.calm();
    world.good(&chart, &plan(Some("shop"), json!({}))).await;
    world.away("web").await;
    assert_eq!(world.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn o31_data_that_an_upgrade_drops_is_there_until_it_succeeds() {
    let world = World::start().await;
    let claim =
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {volumeName: v}\n";
    world.react(|object, store| {
        if object["kind"] == "PersistentVolumeClaim" {
            let mut bound = object.clone();
            bound["status"] = json!({"phase": "Bound"});
            store.put("/api/v1/namespaces/shop/persistentvolumeclaims/data", bound);
        }
    });
    world.react(ends("Failed"));
    let path = "/api/v1/namespaces/shop/persistentvolumeclaims/data";
    world.good(&parts(claim), &plan(Some("shop"), json!({}))).await;
    let uid = world.get(path).unwrap()["metadata"]["uid"].clone();
    let failing = parts(&job("check", "", "post-upgrade", ""));
    let change = plan(Some("shop"), json!({"b": 1}));
    let error = world.install(&failing, &change, &limits()).await.unwrap_err();
    assert_eq!(error.to_string(), "revision 2 failed; the release is back at revision 1");
    assert_eq!(world.get(path).unwrap()["metadata"]["uid"], uid);
    world.good(&parts(""), &change).await;
    assert_eq!(world.get(path), None);
}
