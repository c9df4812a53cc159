//! A failed change does not remove anything that ran before.

use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::{Limits, OnFailure};
use crate::testing::{World, chart, config, ends, job, limits, plan};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {try: 'x{{ .Values.try }}'}}\n\
    spec: {paused: true, selector: {matchLabels: {app: '{{ .Values.app }}'}}}\n";
const PATH: &str = "/apis/apps/v1/namespaces/shop/deployments/d";

/// Rejects a change of a selector, as Kubernetes does.
fn immutable(request: &crate::testing::TestRequest<'_>) -> Option<(u16, String)> {
    let selector = |object: &Value| object.pointer("/spec/selector").cloned();
    let live = request.live.filter(|_| request.method == "PATCH" && request.path == PATH)?;
    (selector(live) != selector(request.body))
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
async fn o31_a_change_of_an_immutable_field_is_rejected_before_anything_changes() {
    let world = World::start().await;
    world.good(&parts(""), &plan(Some("shop"), json!({}))).await;
    let before = (world.paths(), world.get(PATH), world.states("web").await);
    world.calm();
    world.refuse(immutable);
    let error =
        world.install(&parts(""), &plan(Some("shop"), json!({"app": "two"})), &limits()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && error.is_refusal(), "{error}");
    let text = error.one_line();
    assert!(
        text.starts_with("Deployment shop/d cannot be changed in this way") && text.contains("immutable"),
        "{text}"
    );
    assert_eq!(world.store(|store| store.writes.clone()), Vec::<String>::new());
    assert_eq!((world.paths(), world.get(PATH), world.states("web").await), before);
}

#[tokio::test]
async fn o31_with_a_hook_that_could_make_the_change_possible_the_release_is_rolled_back() {
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
async fn o31_a_failed_first_installation_keeps_objects_that_existed_before() {
    let world = World::start().await;
    let chart = parts(&config("new", "", "x"));
    world.good(&chart, &plan(Some("shop"), json!({}))).await;
    // The records are lost, and everything else still runs.
    world.store(|store| store.objects.retain(|path, _| !path.contains("/sh.helm.release.")));
    world.store(|store| store.objects.remove("/api/v1/namespaces/shop/configmaps/new"));
    world.refuse(|request| {
        let is_apply = request.method == "PATCH" && !request.query.contains("dryRun");
        (request.path.ends_with("/deployments/d") && is_apply).then(|| (400, "no".to_owned()))
    });
    // A first attempt that is abandoned leaves objects that the second one removes.
    let leave = Limits { on_failure: OnFailure::Leave, ..limits() };
    world.install(&chart, &plan(Some("shop"), json!({"app": "one", "try": 1})), &leave).await.unwrap_err();
    assert!(world.get("/api/v1/namespaces/shop/configmaps/new").is_some());
    let changed = plan(Some("shop"), json!({"app": "one", "try": 2}));
    let error = world.install(&chart, &changed, &limits()).await.unwrap_err();
    assert!(error.to_string().ends_with("2 objects that existed before were kept"), "{error}");
    let expected = ["/api/v1/namespaces/shop/configmaps/c", PATH];
    assert_eq!(world.paths(), expected.map(str::to_owned));
    // A requested removal removes everything.
    world.calm();
    world.good(&chart, &plan(Some("shop"), json!({}))).await;
    world.away("web").await;
    assert_eq!(world.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn o31_data_that_an_upgrade_drops_is_kept_until_it_succeeds() {
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
