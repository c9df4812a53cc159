//! The charts of the curated packages: installed, compared, upgraded, rolled back and removed; real Helm reads the records.

use installer::{Drift, Engine, Limits, Status};
use serde_json::{Value, json};

use super::{Chart, RECORDS, World, done, fixture};

/// For each package: name, archive, namespace, values of the first installation, and values of the upgrade.
fn packages() -> Vec<(&'static str, &'static str, &'static str, Value, Value)> {
    vec![
        ("hello", "hello-eks-anywhere-0.1.0.tgz", "hello", json!({}), json!({"title": "again"})),
        (
            "metallb",
            "metallb-0.0.0.tgz",
            "metallb-system",
            json!({}),
            json!({"speaker": {"logLevel": "debug"}}),
        ),
        ("emissary-crds", "emissary-crds-0.0.0-dev.tgz", "emissary-system", json!({}), json!({})),
        ("emissary", "emissary-ingress-0.0.0-dev.tgz", "emissary", json!({}), json!({"replicaCount": 2})),
        ("cert-manager", "cert-manager-v0.0.0.tgz", "cert-manager", json!({}), json!({"replicaCount": 2})),
        ("metrics-server", "metrics-server-3.13.1.tgz", "metrics", json!({}), json!({"replicas": 2})),
        ("harbor", "harbor-1.4.0-dev.tgz", "harbor", json!({}), json!({"portal": {"replicas": 2}})),
    ]
}

/// Creates volumes for Harbor's claims, because there is no provisioner.
fn volumes(world: &World) {
    let volume = |number: usize| {
        format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: v{number}}}\nspec: {{capacity: {{storage: 10Gi}}, \
             accessModes: [ReadWriteOnce], hostPath: {{path: /v{number}}}}}\n"
        )
    };
    let all: Vec<_> = (0..6).map(volume).collect();
    let (good, said) = world.cluster.apply(&all.join("---\n"));
    assert!(good, "{said}");
}

#[test]
fn curated_charts_are_installed_as_rendered_and_helm_reads_their_records() {
    let Some(world) = World::start() else { return };
    volumes(&world);
    let engine = world.engine();
    let mut installed = Vec::new();
    for (release, archive, namespace, values, upgrade) in packages() {
        let Some(archive) = fixture(archive) else { return };
        let chart = world.push(&archive);
        let start = std::time::Instant::now();
        let plan = world.plan(release, namespace, &chart, values);
        let (prepared, record) = done(&engine, &world, &plan, &Limits::default());
        println!("{release}: installed in {:.1} s", start.elapsed().as_secs_f32());
        assert_eq!(
            (record.revision, record.status, &record.manifest),
            (1, Status::Deployed, &prepared.manifest)
        );
        assert_eq!(world.matches_manifest(&record.manifest, namespace), Ok(()), "{release}");
        installed.push((release, namespace, chart, plan, record, upgrade));
    }
    let names: Vec<_> = installed.iter().map(|(release, ..)| *release).collect();
    let list = world.helm_json(&["list"]);
    let listed: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(listed, sorted);
    for (release, namespace, chart, mut plan, first, upgrade) in installed {
        read_by_helm(&world, release, &chart, &plan.values, &first.manifest);
        plan.values = upgrade;
        let (_, second) = done(&engine, &world, &plan, &Limits::default());
        let changes = plan.values != json!({});
        assert_eq!(second.revision, if changes { 2 } else { 1 }, "{release}");
        assert_eq!(world.matches_manifest(&second.manifest, namespace), Ok(()), "{release}");
        if changes {
            let (runtime, limits) = (&world.runtime, Limits::default());
            let third = runtime.block_on(engine.rollback(RECORDS, release, Some(1), &limits)).unwrap();
            assert_eq!((third.revision, &third.manifest), (3, &first.manifest), "{release}");
            assert_eq!(world.matches_manifest(&third.manifest, namespace), Ok(()), "{release}");
            let states: Vec<_> = world
                .helm_json(&["history", release])
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["status"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(states, ["superseded", "superseded", "deployed"], "{release}");
            assert_eq!(
                world.helm(&["get", "manifest", release, "-n", RECORDS]).trim(),
                first.manifest.trim()
            );
        }
        assert_eq!(runtime_drift(&world, &engine, release), []);
    }
    all_are_removed(&world, &engine, &names);
}

fn all_are_removed(world: &World, engine: &Engine, names: &[&str]) {
    let limits = Limits::default();
    for release in names.iter().rev() {
        let gone = world.runtime.block_on(engine.uninstall(RECORDS, release, &limits));
        gone.unwrap_or_else(|error| panic!("{release}: {}", error.one_line()));
        assert_eq!(world.runtime.block_on(engine.current(RECORDS, release)).unwrap(), None);
    }
    let kinds = "all,configmaps,secrets,ingresses,roles,rolebindings,serviceaccounts,clusterroles,clusterrolebindings,\
        mutatingwebhookconfigurations,validatingwebhookconfigurations,customresourcedefinitions,apiservices";
    let ours =
        world.cluster.kubectl(&["get", kinds, "-A", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name"]);
    assert_eq!(ours.trim(), "");
    assert_eq!(world.helm_json(&["list"]), json!([]));
}

fn runtime_drift(world: &World, engine: &Engine, release: &str) -> Vec<Drift> {
    world.runtime.block_on(async {
        let record = engine.current(RECORDS, release).await.unwrap().unwrap();
        engine.drift(&record).await.unwrap()
    })
}

fn read_by_helm(world: &World, release: &str, chart: &Chart, values: &Value, manifest: &str) {
    assert_eq!(world.helm(&["get", "manifest", release, "-n", RECORDS]).trim(), manifest.trim());
    let read = world.helm_json(&["get", "values", release]);
    assert_eq!(if read.is_null() { json!({}) } else { read }, *values, "{release}");
    let history = world.helm_json(&["history", release]);
    let history = &history.as_array().unwrap()[0];
    let expected = (format!("{}-{}", chart.name, chart.version), "deployed", "Install complete");
    let words = |name: &str| history[name].as_str().unwrap();
    assert_eq!((words("chart").to_owned(), words("status"), words("description")), expected);
    world.helm(&["status", release, "-n", RECORDS]);
    world.helm(&["get", "all", release, "-n", RECORDS]);
}
