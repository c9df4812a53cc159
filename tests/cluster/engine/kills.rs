//! Kills the process before its n-th call, for every n of an installation, an upgrade, a rollback and a removal. The next
//! process completes the same revision, runs no hook twice, and leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use installer::Install;
use installer::{Engine, Error, Limits, Record, Status};
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

/// A Job that runs at an event and is not deleted.
fn hook(name: &str, event: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{helm.sh/hook: {event}}}\n\
         spec:\n  template:\n    spec: {{restartPolicy: Never, containers: [{{name: c, image: 'registry.example/x:1'}}]}}\n"
    )
}

/// A client that simulates a kill of the process before the n-th call.
async fn killed_client(world: &World, before: usize, killed: Arc<Notify>) -> kube::Client {
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

/// Runs a step with such a client; returns whether it was killed.
async fn interrupted(world: &World, before: usize, step: &Step<'_>) -> bool {
    let killed = Arc::new(Notify::new());
    let engine =
        Engine::new(killed_client(world, before, Arc::clone(&killed)).await, world.pulls(), None, MANAGER);
    tokio::select! {
        result = step.run(&engine) => {
            let failed = matches!(result, Err(Error::Failed { .. }));
            assert_eq!(failed, matches!(step, Step::Fails(_)), "{result:?}");
            false
        }
        () = killed.notified() => true,
    }
}

enum Step<'a> {
    Install(&'a Install),
    Fails(&'a Install),
    Rollback(&'a str),
    Uninstall(&'a str),
}

impl Step<'_> {
    async fn run(&self, engine: &Engine) -> Result<Option<Record>, Error> {
        let mut limits = Limits::default();
        if matches!(self, Self::Fails(_)) {
            limits.timeout = Duration::from_secs(4);
        }
        match self {
            Self::Install(plan) | Self::Fails(plan) => {
                let prepared = engine.prepare(plan).await?;
                engine.install(&prepared, &limits).await.map(Some)
            }
            Self::Rollback(release) => engine.rollback(RECORDS, release, Some(1), &limits).await.map(Some),
            Self::Uninstall(release) => engine.uninstall(RECORDS, release, &limits).await.map(|()| None),
        }
    }
}

/// The objects of the kinds that the charts contain, with their UIDs.
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

/// Installs, upgrades, rolls back and removes a release, and kills each step once; returns the number of steps that were
/// killed.
async fn lifecycle(world: &World, kube: &kube::Client, plans: &[Install; 2], before: usize) -> usize {
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
        let record =
            step.run(&engine()).await.unwrap_or_else(|error| panic!("{release}: {}", error.one_line()));
        let now = objects(kube, &release).await;
        let names: Vec<_> = now.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected[index], "{release} after step {index}");
        for object in then.iter().filter(|(name, _)| name != "configmaps/old") {
            assert!(now.contains(object), "{release}: {object:?} was created twice");
        }
        let record = record.unwrap();
        let history = engine().history(RECORDS, &release).await.unwrap();
        let states: Vec<_> = history.iter().map(|record| record.status.as_str()).collect();
        assert_eq!(states, ["superseded", "deployed"][1 - index..], "{release}");
        assert_eq!(engine().drift(&record).await.unwrap(), [], "{release}");
        let found = record.manifest.split("password: ").nth(1).unwrap().split('}').next().unwrap().to_owned();
        assert_eq!(*password.get_or_insert_with(|| found.clone()), found, "{release}: another password");
    }
    let back = Step::Rollback(&release);
    killed += usize::from(interrupted(world, before, &back).await);
    let record = back.run(&engine()).await.unwrap_or_else(|error| panic!("{release}: {}", error.one_line()));
    let history = engine().history(RECORDS, &release).await.unwrap();
    let states: Vec<_> = history.iter().map(|record| record.status.as_str()).collect();
    assert_eq!(states, ["superseded", "superseded", "deployed"], "{release}");
    let record = record.unwrap();
    assert_eq!(record.manifest, history[0].manifest, "{release}");
    assert_eq!(engine().drift(&record).await.unwrap(), [], "{release}");
    killed += usize::from(interrupted(world, before, &Step::Uninstall(&release)).await);
    Step::Uninstall(&release).run(&engine()).await.unwrap();
    let left = objects(kube, &release).await;
    let names: Vec<_> = left.iter().map(|(name, _)| name.as_str()).collect();
    // As with Helm, hooks without a deletion policy are kept.
    assert_eq!(names, ["jobs/first", "jobs/second"], "{release}");
    assert_eq!(engine().history(RECORDS, &release).await.unwrap(), []);
    killed
}

#[test]
fn the_next_process_recovers_from_a_kill_before_any_call() {
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
            stream::iter(1..).map(|before| lifecycle(&world, &kube, &plans, before)).buffered(CHAINS_AT_ONCE);
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

/// Kills an upgrade that never becomes ready, or its rollback; returns whether it was killed.
async fn failure(world: &World, kube: &kube::Client, plans: &[Install; 2], before: usize) -> bool {
    let release = format!("f{before}");
    let named = |plan: &Install| Install {
        release: release.clone(),
        target_namespace: Some(release.clone()),
        ..plan.clone()
    };
    let engine = || Engine::new(kube.clone(), world.pulls(), None, MANAGER);
    let first = Step::Install(&named(&plans[0])).run(&engine()).await.unwrap().unwrap();
    let plan = named(&plans[1]);
    let step = Step::Fails(&plan);
    let killed = interrupted(world, before, &step).await;
    let then = engine().current(RECORDS, &release).await.unwrap().unwrap();
    let error = step.run(&engine()).await.unwrap_err();
    let words = error.to_string();
    assert!(words.contains("failed; the release is back at revision"), "{release}: {words}");
    let current = engine().current(RECORDS, &release).await.unwrap().unwrap();
    assert_eq!((current.status, &current.manifest), (Status::Deployed, &first.manifest), "{release}");
    assert_eq!(engine().drift(&current).await.unwrap(), [], "{release}");
    let history = engine().history(RECORDS, &release).await.unwrap();
    let deployed =
        history.iter().filter(|record| record.status == Status::Deployed || record.status.is_pending());
    assert_eq!(deployed.count(), 1, "{release}");
    // A failed revision is undone before it is attempted again.
    let undone = then.status == Status::Deployed && then.revision == 3;
    let states: Vec<_> = history.iter().map(|record| record.status).collect();
    assert_eq!(states.len(), if undone { 5 } else { 3 }, "{release}: {states:?}");
    killed
}

#[test]
fn the_next_process_recovers_from_a_kill_during_a_rollback() {
    let Some(world) = World::start() else { return };
    let parts = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: {{ .Values.replicas }}\n\
        \x20 selector: {matchLabels: {app: x}}\n  template:\n    metadata: {labels: {app: x}}\n    spec:\n\
        \x20     nodeSelector: {on: no-node}\n      containers: [{name: c, image: 'registry.example/x:1'}]\n";
    let chart = world.chart("never", "1.0.0", &[("templates/d.yaml", parts)]);
    let plans = [0, 1].map(|replicas| world.plan("f", "f", &chart, json!({"replicas": replicas})));
    let killed: Vec<_> = world.runtime.block_on(async {
        let kube = world.kube().await;
        let points = (1..).step_by(4).take(14);
        stream::iter(points.map(|before| failure(&world, &kube, &plans, before))).buffered(14).collect().await
    });
    let killed = killed.into_iter().filter(|killed| *killed).count();
    println!("killed at {killed} points of a failure");
    assert!(killed >= 8, "{killed}");
}
