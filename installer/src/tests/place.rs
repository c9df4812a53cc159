//! A release stays in its namespace, and what it left in another is found there.

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
async fn h2_what_is_installed_does_not_move() {
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
    // Neither does a chart that now wants to be elsewhere by default move it, nor is its own namespace another.
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
async fn h2_what_never_got_ready_moves_whole() {
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
    world.refuse(|asked| {
        let refused = asked.path.ends_with("/configmaps/d") && !asked.query.contains("dryRun");
        (asked.method == "PATCH" && refused).then(|| (400, "no".to_owned()))
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

/// As versions before did it: the next revision went elsewhere, and the objects of the one before stayed.
#[tokio::test]
async fn h2_what_a_release_left_in_another_namespace_goes_with_it() {
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
