//! The process killed before its n-th call, for every n of an installation, an upgrade and a removal: the next process
//! finishes the same revision, runs no hook twice, and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt as _, stream};
use package_controller::engine::{Engine, Error, Limits, Record};
use package_controller::package::Install;
use serde_json::json;
use tokio::sync::Notify;

use super::{MANAGER, RECORDS, World};

const CHAINS_AT_ONCE: usize = 8;

const VALUES: &str = "{}\n";
const PARTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {password: {{ randAlphaNum 16 }}}\n---\n\
    apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: x}, ports: [{port: 80}]}\n---\n\
    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: x}}\n\
    \x20 template:\n    metadata: {labels: {app: x}}\n    spec: {containers: [{name: c, image: 'registry.example/x:1'}]}\n";
const OLD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: old}\n";
const NEW: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata: {release: {{ .Release.Revision | quote }}}\n";

/// A job that runs at an event and stays.
fn hook(name: &str, event: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{helm.sh/hook: {event}}}\n\
         spec:\n  template:\n    spec: {{restartPolicy: Never, containers: [{{name: c, image: 'registry.example/x:1'}}]}}\n"
    )
}

/// A client whose process is killed before its n-th call.
async fn doomed(world: &World, before: usize, killed: Arc<Notify>) -> kube::Client {
    let client = world.kube().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request| {
        let (client, killed) = (client.clone(), Arc::clone(&killed));
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if call >= before {
                killed.notify_one();
                std::future::pending::<()>().await;
            }
            client.send(request).await
        }
    });
    kube::Client::new(service, "default")
}

/// What is done, and whether it was killed on the way.
async fn interrupted(world: &World, before: usize, step: &Step<'_>) -> bool {
    let killed = Arc::new(Notify::new());
    let engine = Engine::new(doomed(world, before, Arc::clone(&killed)).await, world.pulls(), None, MANAGER);
    tokio::select! {
        result = step.run(&engine) => { result.unwrap(); false }
        () = killed.notified() => true,
    }
}

enum Step<'a> {
    Install(&'a Install),
    Uninstall(&'a str),
}

impl Step<'_> {
    async fn run(&self, engine: &Engine) -> Result<Option<Record>, Error> {
        let limits = Limits::default();
        match self {
            Self::Install(plan) => {
                let prepared = engine.prepare(plan).await?;
                engine.install(&prepared, &limits).await.map(Some)
            }
            Self::Uninstall(release) => engine.uninstall(RECORDS, release, &limits).await.map(|()| None),
        }
    }
}

/// Kinds that the charts make, with the UID of each object.
async fn objects(kube: &kube::Client, namespace: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in [
        "api/v1/namespaces/N/configmaps",
        "api/v1/namespaces/N/services",
        "apis/apps/v1/namespaces/N/deployments",
        "apis/batch/v1/namespaces/N/jobs",
    ] {
        let kind = path.rsplit('/').next().unwrap();
        let list: serde_json::Value = get(kube, &path.replace("/N/", &format!("/{namespace}/"))).await;
        for item in list["items"].as_array().unwrap() {
            let name = format!("{kind}/{}", item["metadata"]["name"].as_str().unwrap());
            if name != "configmaps/kube-root-ca.crt" {
                found.push((name, item["metadata"]["uid"].as_str().unwrap().to_owned()));
            }
        }
    }
    found
}

async fn get(kube: &kube::Client, path: &str) -> serde_json::Value {
    use kube::core::discovery::ApiResource;
    let (root, rest) = path.split_once("/namespaces/").unwrap();
    let (namespace, plural) = rest.split_once('/').unwrap();
    let api_version = root.trim_start_matches("apis/").trim_start_matches("api/");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: String::new(),
        plural: plural.to_owned(),
    };
    let api: kube::Api<kube::core::DynamicObject> =
        kube::Api::namespaced_with(kube.clone(), namespace, &resource);
    let list = api.list(&kube::api::ListParams::default()).await.unwrap();
    json!({ "items": list.items })
}

/// One life of a release, killed once in each of its steps; how many of them were killed.
async fn life(world: &World, kube: &kube::Client, plans: &[Install; 2], before: usize) -> usize {
    let release = format!("r{before}");
    let plans = plans.clone().map(|plan| Install {
        release: release.clone(),
        target_namespace: Some(release.clone()),
        ..plan
    });
    let engine = || Engine::new(kube.clone(), world.pulls(), None, MANAGER);
    let mut killed = 0;
    let expected = [
        vec!["configmaps/a", "configmaps/old", "services/s", "deployments/d", "jobs/first"],
        vec!["configmaps/a", "configmaps/new", "services/s", "deployments/d", "jobs/first", "jobs/second"],
    ];
    let mut password = None;
    for (index, plan) in plans.iter().enumerate() {
        let step = Step::Install(plan);
        killed += usize::from(interrupted(world, before, &step).await);
        let then = objects(kube, &release).await;
        let record = step.run(&engine()).await.unwrap_or_else(|error| panic!("{release}: {}", error.words()));
        let now = objects(kube, &release).await;
        let names: Vec<_> = now.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected[index], "{release} after step {index}");
        for object in then.iter().filter(|(name, _)| name != "configmaps/old") {
            assert!(now.contains(object), "{release}: {object:?} was made twice");
        }
        let record = record.unwrap();
        let history = engine().history(RECORDS, &release).await.unwrap();
        let states: Vec<_> = history.iter().map(|record| record.status.as_str()).collect();
        assert_eq!(states, ["superseded", "deployed"][1 - index..], "{release}");
        assert_eq!(engine().drift(&record).await.unwrap(), [], "{release}");
        let found = record.manifest.split("password: ").nth(1).unwrap().split('}').next().unwrap().to_owned();
        assert_eq!(*password.get_or_insert_with(|| found.clone()), found, "{release}: another password");
    }
    killed += usize::from(interrupted(world, before, &Step::Uninstall(&release)).await);
    Step::Uninstall(&release).run(&engine()).await.unwrap();
    let left = objects(kube, &release).await;
    let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
    // As with Helm, hooks that do not ask to be deleted stay.
    assert_eq!(names, ["jobs/first", "jobs/second"], "{release}");
    assert_eq!(engine().history(RECORDS, &release).await.unwrap(), []);
    killed
}

#[test]
fn a_kill_before_any_call_is_made_good_by_the_next_process() {
    let Some(world) = World::start() else { return };
    let first = [("values.yaml", VALUES), ("templates/parts.yaml", PARTS), ("templates/old.yaml", OLD)];
    let first_hook = hook("first", "post-install");
    let second_hook = hook("second", "pre-upgrade");
    let old =
        world.chart("app", "1.0.0", &[&first[..], &[("templates/hook.yaml", first_hook.as_str())]].concat());
    let second = [
        ("values.yaml", VALUES),
        ("templates/parts.yaml", PARTS),
        ("templates/new.yaml", NEW),
        ("templates/hook.yaml", first_hook.as_str()),
        ("templates/hook2.yaml", second_hook.as_str()),
    ];
    let new = world.chart("app", "2.0.0", &second);
    let plans = [&old, &new].map(|chart| world.plan("r", "r", chart, json!({})));
    let points = world.runtime.block_on(async {
        let kube = world.kube().await;
        let mut lives =
            stream::iter(1..).map(|before| life(&world, &kube, &plans, before)).buffered(CHAINS_AT_ONCE);
        let mut points = 0;
        while let Some(killed) = lives.next().await {
            if killed == 0 {
                break;
            }
            points += killed;
        }
        points
    });
    println!("killed at {points} points");
    assert!(points >= 50, "{points}");
}
