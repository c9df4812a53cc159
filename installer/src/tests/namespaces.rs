//! A release stays in its namespace, and objects that it left in another one are found.

use std::collections::BTreeSet;

use serde_json::json;

use crate::error::Error;
use crate::limits::{Limits, OnFailure};
use crate::record::Stored;
use crate::release::Status;
use crate::storage::{Storage, now};
use crate::testing::{RECORDS, World, chart, config, limits, plan};

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: web}\n";

#[tokio::test]
async fn h2_an_installed_release_does_not_move() {
    let world = World::start().await;
    let parts = [("templates/c.yaml", &*config("c", "", "a")), ("templates/role.yaml", ROLE)];
    let chart = chart("1.0.0", &parts);
    let with_default = |values: &str| self::chart("2.0.0", &[parts[0], parts[1], ("values.yaml", values)]);
    world.good(&chart, &plan(None, json!({}))).await;
    let before = world.paths();
    world.calm();
    for target in ["there", "elsewhere"] {
        let error = world.install(&chart, &plan(Some(target), json!({"a": 1})), &limits()).await.unwrap_err();
        assert!(matches!(error, Error::Moved { .. }) && error.is_refusal(), "{error}");
        assert!(error.to_string().contains("installed in the namespace `default`"), "{error}");
    }
    assert_eq!((world.paths(), world.store(|store| store.writes.clone())), (before.clone(), Vec::new()));
    // A new default namespace of the chart does not move it, and its current namespace is accepted as the target.
    world.good(&with_default("defaultNamespace: there\n"), &plan(None, json!({"b": 1}))).await;
    world.good(&chart, &plan(Some("default"), json!({"c": 1}))).await;
    assert_eq!(world.paths(), before);
    world.away("web").await;
    assert_eq!(world.paths(), Vec::<String>::new());
    world.good(&chart, &plan(Some("there"), json!({}))).await;
    world.away("web").await;
    assert_eq!(world.paths(), Vec::<String>::new());
}

#[tokio::test]
async fn h2_a_release_that_was_never_ready_moves_completely() {
    let world = World::start().await;
    let second = config("d", "", "a");
    let chart = chart(
        "1.0.0",
        &[
            ("templates/c.yaml", &config("c", "", "a")),
            ("templates/d.yaml", &second),
            ("templates/role.yaml", ROLE),
        ],
    );
    world.refuse(|request| {
        let refused = request.path.ends_with("/configmaps/d") && !request.query.contains("dryRun");
        (request.method == "PATCH" && refused).then(|| (400, "no".to_owned()))
    });
    let leave = Limits { on_failure: OnFailure::Leave, ..limits() };
    world.install(&chart, &plan(Some("here"), json!({})), &leave).await.unwrap_err();
    assert!(world.get("/api/v1/namespaces/here/configmaps/c").is_some());
    world.calm();
    world.good(&chart, &plan(Some("there"), json!({}))).await;
    let expected = [
        "/api/v1/namespaces/there/configmaps/c",
        "/api/v1/namespaces/there/configmaps/d",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/web",
    ];
    assert_eq!(
        (world.paths(), world.states("web").await),
        (expected.map(str::to_owned).to_vec(), vec!["deployed"])
    );
}

/// As in earlier versions: the next revision was in another namespace, and the objects of the previous one stayed.
#[tokio::test]
async fn h2_objects_that_a_release_left_in_another_namespace_are_removed_with_it() {
    let world = World::start().await;
    let chart = chart("1.0.0", &[("templates/c.yaml", &config("c", "", "a"))]);
    world.good(&chart, &plan(Some("here"), json!({}))).await;
    let storage = Storage::new(&world.engine.cluster, RECORDS, "web");
    let mut old = storage.newest().await.unwrap().unwrap();
    let mut document = old.document.clone();
    document["namespace"] = json!("there");
    document["version"] = json!(2);
    old.set(Status::Superseded, "");
    storage.update(&mut old).await.unwrap();
    let mut new = Stored::new(document, RECORDS, now()).unwrap();
    storage.create(&mut new).await.unwrap();
    let mut object = world.get("/api/v1/namespaces/here/configmaps/c").unwrap();
    object["metadata"]["namespace"] = json!("there");
    object["metadata"]["annotations"]["meta.helm.sh/release-namespace"] = json!("there");
    world.put("/api/v1/namespaces/there/configmaps/c", object);
    assert_eq!(world.paths().len(), 2);
    let back = world.engine.rollback(RECORDS, "web", Some(1), &limits()).await.unwrap_err();
    assert!(matches!(back, Error::Moved { .. }), "{back}");
    world.away("web").await;
    assert_eq!(world.paths(), Vec::<String>::new());
    assert_eq!(new.found, BTreeSet::new());
}
