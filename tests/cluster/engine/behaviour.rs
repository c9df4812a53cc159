//! The behaviour of the engine where Helm leaves it open, and on failures.

use std::time::Duration;

use installer::Install;
use installer::{Change, Conflicts, Engine, Error, Limits, OnFailure, Record, Status};
use serde_json::{Value, json};

use super::{Chart, RECORDS, World, done};

/// `ConfigMaps`, and a Deployment that never becomes ready if `selector` matches no node.
const PARTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {text: {{ .Values.text | quote }}}\n---\n\
    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: still}\ndata: {text: same}\n---\n\
    apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: {{ .Values.replicas }}\n\
    \x20 selector: {matchLabels: {app: x}}\n  template:\n    metadata: {labels: {app: x}}\n    spec:\n\
    \x20     nodeSelector: {{ toJson .Values.selector }}\n      containers: [{name: c, image: 'registry.example/x:1'}]\n";
const VALUES: &str = "text: one\nreplicas: 1\nselector: {}\n";
const KEPT: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n";

struct Bench {
    world: World,
    engine: Engine,
    web: Chart,
}

impl Bench {
    fn plan(&self, release: &str, values: Value) -> Install {
        self.world.plan(release, release, &self.web, values)
    }

    fn good(&self, plan: &Install) -> Record {
        done(&self.engine, &self.world, plan, &Limits::default()).1
    }

    fn tries(&self, plan: &Install, limits: &Limits) -> Result<Record, Error> {
        self.world.runtime.block_on(async {
            let prepared = self.engine.prepare(plan).await?;
            self.engine.install(&prepared, limits).await
        })
    }

    fn states(&self, release: &str) -> Vec<&'static str> {
        let history = self.world.runtime.block_on(self.engine.history(RECORDS, release)).unwrap();
        history.iter().map(|record| record.status.as_str()).collect()
    }

    fn away(&self, release: &str) {
        let limits = Limits::default();
        self.world.runtime.block_on(self.engine.uninstall(RECORDS, release, &limits)).unwrap();
    }

    fn version(&self, kind: &str, name: &str, namespace: &str) -> Option<String> {
        let object = self.world.cluster.get(&[kind, name, "-n", namespace])?;
        Some(object["metadata"]["resourceVersion"].as_str().unwrap().to_owned())
    }
}

fn soon() -> Limits {
    let mut limits = Limits::default();
    limits.timeout = Duration::from_secs(3);
    limits
}

#[test]
fn releases_are_upgraded_rolled_back_and_repaired_as_documented() {
    let Some(world) = World::start() else { return };
    let engine = world.engine();
    let web = world.chart("web", "1.0.0", &[("values.yaml", VALUES), ("templates/parts.yaml", PARTS)]);
    let bench = Bench { world, engine, web };
    an_upgrade_changes_only_what_changed(&bench);
    fields_of_other_managers_are_not_overwritten_by_default(&bench);
    foreign_objects_are_refused_before_anything_is_written(&bench);
    a_release_that_never_becomes_ready_is_rolled_back_or_removed(&bench);
    drift_is_reported_and_repaired(&bench);
    hooks_run_in_order_and_are_deleted_by_their_policies(&bench);
    objects_with_the_keep_policy_are_kept(&bench);
    crds_are_created_first_and_kept(&bench);
    a_release_of_real_helm_is_taken_over(&bench);
    a_pending_operation_of_another_program_is_awaited(&bench);
    a_chart_must_match_its_digest(&bench);
    an_installation_survives_a_restart_of_the_api_server(bench);
}

fn an_upgrade_changes_only_what_changed(bench: &Bench) {
    bench.good(&bench.plan("only", json!({})));
    let before = |name| bench.version("configmap", name, "only").unwrap();
    let (changed, still) = (before("c"), before("still"));
    let record = bench.good(&bench.plan("only", json!({"text": "two"})));
    assert_eq!((record.revision, before("still")), (2, still.clone()));
    assert_ne!(before("c"), changed);
    let again = bench.good(&bench.plan("only", json!({"text": "two"})));
    assert_eq!((again.revision, before("still")), (2, still));
    let mut limits = Limits::default();
    limits.history = 2;
    assert_eq!(bench.tries(&bench.plan("only", json!({"text": "three"})), &limits).unwrap().revision, 3);
    assert_eq!(bench.states("only"), ["superseded", "deployed"]);
    bench.away("only");
}

fn fields_of_other_managers_are_not_overwritten_by_default(bench: &Bench) {
    bench.good(&bench.plan("conflict", json!({})));
    let patch = r#"{"data": {"text": "theirs"}}"#;
    bench.world.cluster.kubectl(&[
        "patch",
        "configmap",
        "c",
        "-n",
        "conflict",
        "-p",
        patch,
        "--field-manager",
        "somebody",
    ]);
    let plan = bench.plan("conflict", json!({"text": "ours"}));
    let error = bench.tries(&plan, &Limits::default()).unwrap_err();
    let words = "ConfigMap conflict/c was changed by others: `.data.text` belongs to `somebody`";
    assert!(error.to_string().starts_with(words), "{error}");
    assert_eq!(bench.states("conflict"), ["deployed"]);
    let mut limits = Limits::default();
    limits.conflicts = Conflicts::Take;
    assert_eq!(bench.tries(&plan, &limits).unwrap().revision, 2);
    assert_eq!(
        bench.world.cluster.get(&["configmap", "c", "-n", "conflict"]).unwrap()["data"]["text"],
        "ours"
    );
    bench.away("conflict");
}

fn foreign_objects_are_refused_before_anything_is_written(bench: &Bench) {
    bench.world.cluster.kubectl(&["create", "namespace", "foreign"]);
    bench.world.cluster.kubectl(&["create", "configmap", "c", "-n", "foreign"]);
    let error = bench.tries(&bench.plan("foreign", json!({})), &Limits::default()).unwrap_err().to_string();
    assert!(error.starts_with("ConfigMap foreign/c exists and cannot be imported"), "{error}");
    assert_eq!(bench.states("foreign"), Vec::<&str>::new());
    assert_eq!(bench.world.objects("configmaps,deployments", "foreign"), ["configmap/c"]);
    let missing = bench.world.chart(
        "missing",
        "1.0.0",
        &[("templates/a.yaml", "apiVersion: x.io/v1\nkind: X\nmetadata: {name: a}\n")],
    );
    let plan = bench.world.plan("missing", "foreign", &missing, json!({}));
    let error = bench.tries(&plan, &Limits::default()).unwrap_err().to_string();
    assert!(error.starts_with("the cluster has no kind `X` of `x.io/v1`"), "{error}");
    assert_eq!(bench.states("missing"), Vec::<&str>::new());
}

fn a_release_that_never_becomes_ready_is_rolled_back_or_removed(bench: &Bench) {
    let nowhere = json!({"selector": {"on": "no-node"}});
    let error = continued_after_an_hour(bench, &bench.plan("fails", nowhere.clone()));
    assert!(
        error.starts_with(
            "revision 1 failed; what was installed was removed: not ready after 16 s: Deployment fails/d:"
        ),
        "{error}"
    );
    assert_eq!(bench.world.objects("configmaps,deployments", "fails"), Vec::<String>::new());
    assert_eq!(bench.states("fails"), Vec::<&str>::new());
    let first = bench.good(&bench.plan("fails", json!({})));
    let error = bench.tries(&bench.plan("fails", nowhere.clone()), &soon()).unwrap_err().to_string();
    assert_eq!(error, "revision 2 failed; the release is back at revision 1");
    assert_eq!(bench.states("fails"), ["superseded", "failed", "deployed"]);
    let current = bench.world.runtime.block_on(bench.engine.current(RECORDS, "fails")).unwrap().unwrap();
    assert_eq!((current.manifest, current.description.as_str()), (first.manifest.clone(), "Rollback to 1"));
    assert_eq!(bench.world.matches_manifest(&first.manifest, "fails"), Ok(()));
    let mut limits = soon();
    limits.on_failure = OnFailure::Leave;
    bench.tries(&bench.plan("fails", nowhere), &limits).unwrap_err();
    assert_eq!(bench.states("fails"), ["superseded", "failed", "deployed", "failed"]);
    limits = Limits::default();
    let back = bench.engine.rollback(RECORDS, "fails", None, &limits);
    assert_eq!(bench.world.runtime.block_on(back).unwrap().manifest, first.manifest);
    assert_eq!(bench.states("fails"), ["superseded", "failed", "superseded", "failed", "deployed"]);
    bench.away("fails");
}

/// Continues an installation that another process started an hour ago and that never becomes ready: the timeout counts from
/// the start. Returns the error.
fn continued_after_an_hour(bench: &Bench, plan: &Install) -> String {
    let mut limits = Limits::default();
    limits.timeout = Duration::from_secs(16);
    let world = &bench.world;
    let record = format!("sh.helm.release.v1.{}.v1", plan.release);
    let (killed, begun) = world.runtime.block_on(async {
        let prepared = bench.engine.prepare(plan).await.unwrap();
        let killed = tokio::time::timeout(Duration::from_secs(2), bench.engine.install(&prepared, &limits));
        (killed.await.is_err(), world.cluster.get(&["secret", &record, "-n", RECORDS]))
    });
    let begun: i64 = begun.unwrap()["metadata"]["labels"]["createdAt"].as_str().unwrap().parse().unwrap();
    let earlier = format!("createdAt={}", begun - 3600);
    world.cluster.kubectl(&["label", "secret", &record, "-n", RECORDS, "--overwrite", &earlier]);
    let now = std::time::Instant::now();
    let error = bench.tries(plan, &limits).unwrap_err().one_line();
    assert!(killed && now.elapsed() < Duration::from_secs(12), "{:?}: {error}", now.elapsed());
    error
}

fn drift_is_reported_and_repaired(bench: &Bench) {
    let record = bench.good(&bench.plan("drift", json!({})));
    let found = || {
        let drift = bench.world.runtime.block_on(bench.engine.drift(&record)).unwrap();
        drift.into_iter().map(|drift| (drift.object, drift.change)).collect::<Vec<_>>()
    };
    assert_eq!(found(), []);
    let cluster = &bench.world.cluster;
    cluster.kubectl(&["delete", "configmap", "still", "-n", "drift"]);
    let patch = r#"{"spec": {"replicas": 3}}"#;
    cluster.kubectl(&["patch", "deployment", "d", "-n", "drift", "-p", patch]);
    cluster.kubectl(&["annotate", "configmap", "c", "-n", "drift", "theirs=1"]);
    let expected = [
        ("ConfigMap drift/still".to_owned(), Change::Gone),
        ("Deployment drift/d".to_owned(), Change::Fields(vec![".spec.replicas".to_owned()])),
    ];
    assert_eq!(found(), expected);
    cluster.kubectl(&["patch", "deployment", "d", "-n", "drift", "-p", r#"{"spec": {"replicas": 1}}"#]);
    assert_eq!(bench.good(&bench.plan("drift", json!({}))).revision, 1);
    assert_eq!(found(), []);
    bench.away("drift");
}

fn hook(name: &str, event: &str, more: &str, deadline: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations: {{helm.sh/hook: {event}{more}}}\n\
         spec:\n  {deadline}\n  template:\n    spec: {{restartPolicy: Never, {}containers: [{{name: c, image: 'registry.example/x:1'}}]}}\n",
        if deadline.is_empty() { "" } else { "nodeSelector: {on: no-node}, " }
    )
}

fn hooks_run_in_order_and_are_deleted_by_their_policies(bench: &Bench) {
    let world = &bench.world;
    let light = hook("light", "pre-install", ", helm.sh/hook-weight: '-5'", "");
    let heavy = hook(
        "heavy",
        "'pre-install,post-upgrade'",
        ", helm.sh/hook-weight: '5', helm.sh/hook-delete-policy: hook-succeeded",
        "",
    );
    let bye = hook("bye", "pre-delete", "", "");
    let parts = [
        ("templates/light.yaml", light.as_str()),
        ("templates/heavy.yaml", &heavy),
        ("templates/bye.yaml", &bye),
        (
            "templates/map.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {v: {{ .Release.Revision | quote }}}}\n",
        ),
    ];
    let chart = world.chart("hooked", "1.0.0", &parts);
    let plan = world.plan("hooked", "hooked", &chart, json!({}));
    bench.good(&plan);
    assert_eq!(world.objects("jobs,configmaps", "hooked"), ["job.batch/light", "configmap/c"]);
    let created = |kind: &str, name: &str| {
        let object = world.cluster.get(&[kind, name, "-n", "hooked"]).unwrap();
        object["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    let light = created("job", "light");
    bench.good(&world.plan("hooked", "hooked", &chart, json!({"a": 1})));
    assert_eq!((created("job", "light"), world.objects("jobs", "hooked").len()), (light, 1));
    bench.away("hooked");
    assert_eq!(world.objects("jobs,configmaps", "hooked"), ["job.batch/bye", "job.batch/light"]);

    let late =
        hook("late", "post-install", ", helm.sh/hook-delete-policy: hook-failed", "activeDeadlineSeconds: 1");
    let chart = world.chart(
        "late",
        "1.0.0",
        &[("templates/late.yaml", late.as_str()), ("templates/map.yaml", parts[3].1)],
    );
    let error = bench
        .tries(&world.plan("late", "late", &chart, json!({})), &Limits::default())
        .unwrap_err()
        .one_line();
    let words = "revision 1 failed; what was installed was removed: the post-install hook Job late/late failed: DeadlineExceeded";
    assert!(error.starts_with(words), "{error}");
    assert_eq!(world.objects("jobs,configmaps", "late"), Vec::<String>::new());
}

fn objects_with_the_keep_policy_are_kept(bench: &Bench) {
    let world = &bench.world;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    let with = [("templates/kept.yaml", KEPT), ("templates/map.yaml", map)];
    let old = world.chart("keeps", "1.0.0", &with);
    let new = world.chart("keeps", "2.0.0", &with[1..]);
    bench.good(&world.plan("keeps", "keeps", &old, json!({})));
    bench.good(&world.plan("keeps", "keeps", &new, json!({})));
    assert_eq!(world.objects("secrets,configmaps", "keeps"), ["secret/kept", "configmap/c"]);
    bench.good(&world.plan("keeps", "keeps", &old, json!({})));
    bench.away("keeps");
    assert_eq!(world.objects("secrets,configmaps", "keeps"), ["secret/kept"]);
}

fn crds_are_created_first_and_kept(bench: &Bench) {
    let world = &bench.world;
    let definition = |group: &str, field: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n\
             \x20 group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions:\n  - name: v1\n\
             \x20   served: true\n    storage: true\n    schema: {{openAPIV3Schema: {{type: object, properties: {{{field}: {{type: string}}}}}}}}\n"
        )
    };
    let (before, within) = (definition("a.example", "x"), definition("b.example", "x"));
    let thing =
        |group: &str| format!("apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: t}}\nx: word\n");
    let things = format!(
        "{{{{ if not (.Capabilities.APIVersions.Has \"a.example/v1/Thing\") }}}}{{{{ fail \"no definition\" }}}}{{{{ end }}}}\n{}---\n{}",
        thing("a.example"),
        thing("b.example")
    );
    let files =
        [("crds/a.yaml", before.as_str()), ("templates/b.yaml", &within), ("templates/things.yaml", &things)];
    let chart = world.chart("defined", "1.0.0", &files);
    bench.good(&world.plan("defined", "defined", &chart, json!({})));
    assert_eq!(world.objects("things.a.example,things.b.example", "defined").len(), 2);
    bench.away("defined");
    let left = world.cluster.kubectl(&["get", "customresourcedefinitions", "-o", "name"]);
    assert_eq!(left.trim(), "customresourcedefinition.apiextensions.k8s.io/things.a.example");
}

/// Tests both of Helm's apply modes.
fn a_release_of_real_helm_is_taken_over(bench: &Bench) {
    let world = &bench.world;
    let old = world.folder.path().join("web-1.0.0/web").display().to_string();
    for (release, server_side) in [("mine", "true"), ("yours", "false")] {
        world.cluster.kubectl(&["create", "namespace", release]);
        let way = format!("--server-side={server_side}");
        world.helm(&["install", release, &old, "-n", release, "--set", "text=helm", &way]);
        // EKS Anywhere has another namespace for records; here they are in the namespace that Helm's command line uses.
        let mut plan = bench.plan(release, json!({"text": "ours", "replicas": 2}));
        plan.release_namespace = if release == "mine" { "mine" } else { "yours" };
        let record = done(&bench.engine, world, &plan, &Limits::default()).1;
        assert_eq!((record.revision, record.status), (2, Status::Deployed));
        assert_eq!(world.matches_manifest(&record.manifest, release), Ok(()));
        let deployment =
            world.cluster.get(&["deployment", "d", "-n", release, "--show-managed-fields"]).unwrap();
        let managers = deployment["metadata"]["managedFields"].as_array().unwrap().iter();
        let managers: Vec<_> = managers.filter(|entry| entry["manager"] == "helm").collect();
        assert_eq!(managers, Vec::<&Value>::new());
        let states = world.helm(&["history", release, "-n", release]);
        assert!(states.contains("superseded") && states.contains("Upgrade complete"), "{states}");
        let force: &[&str] = if server_side == "true" { &["--force-conflicts"] } else { &[] };
        world.helm(&[&["rollback", release, "1", "-n", release], force].concat());
        assert_eq!(world.cluster.get(&["configmap", "c", "-n", release]).unwrap()["data"]["text"], "helm");
        world.helm(&["uninstall", release, "-n", release]);
        assert_eq!(world.objects("configmaps,deployments", release), Vec::<String>::new());
    }
}

fn a_pending_operation_of_another_program_is_awaited(bench: &Bench) {
    let world = &bench.world;
    world.cluster.kubectl(&["create", "namespace", "busy"]);
    let chart = world.folder.path().join("web-1.0.0/web").display().to_string();
    let pending = [
        "install",
        "busy",
        &chart,
        "-n",
        RECORDS,
        "--set",
        "selector.on=no-node",
        "--wait",
        "--timeout",
        "60s",
    ];
    let mut helm = std::process::Command::new(crate::rig::program("helm"))
        .args(pending)
        .env("KUBECONFIG", world.cluster.kubeconfig())
        .env("HOME", world.folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    crate::rig::wait("the record", Duration::from_secs(20), || {
        (bench.states("busy") == ["pending-install"]).then_some(())
    });
    helm.kill().unwrap();
    helm.wait().unwrap();
    let plan = world.plan("busy", RECORDS, &bench.web, json!({}));
    let error = bench.tries(&plan, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::Busy { status: "pending-install", .. }), "{error}");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(bench.tries(&plan, &soon()).unwrap().revision, 2);
    assert_eq!(bench.states("busy"), ["failed", "deployed"]);
    bench.away("busy");
}

fn a_chart_must_match_its_digest(bench: &Bench) {
    let prepare = |change: fn(&mut Install)| {
        let mut plan = bench.plan("digest", json!({}));
        change(&mut plan);
        bench.world.runtime.block_on(bench.engine.prepare(&plan)).unwrap_err().to_string()
    };
    let none = format!("sha256:{}", "0".repeat(64));
    let error = prepare(|plan| plan.source.digest = format!("sha256:{}", "0".repeat(64)));
    assert!(error.starts_with("the registry has no chart") && error.contains(&none), "{error}");
    let error = prepare(|plan| "1.0.0".clone_into(&mut plan.source.digest));
    assert!(error.ends_with("is not a valid location of a chart"), "{error}");
    let world = &bench.world;
    // The repository as `airlock mirror` names it, and as EKS Anywhere's own mirrors do.
    let archive = world.folder.path().join("web-1.0.0/web-1.0.0.tgz").display().to_string();
    for place in ["public.ecr.aws/eks-anywhere", "eks-anywhere-too"] {
        let target = format!("oci://{}/{place}", world.registry);
        world.helm(&["push", &archive, &target, "--plain-http"]);
    }
    let mirror = world.registry.parse().ok();
    let engine =
        world.runtime.block_on(async { Engine::new(world.kube().await, world.pulls(), mirror, "airlock") });
    for place in ["public.ecr.aws/eks-anywhere", "public.ecr.aws/eks-anywhere-too"] {
        let mut plan = bench.plan("digest", json!({}));
        place.clone_into(&mut plan.chart_registry);
        plan.source.repository = "web".to_owned();
        let prepared = world
            .runtime
            .block_on(engine.prepare(&plan))
            .unwrap_or_else(|error| panic!("{}", error.one_line()));
        assert_eq!(prepared.chart, "web");
    }
}

fn an_installation_survives_a_restart_of_the_api_server(mut bench: Bench) {
    let plan = bench.plan("outage", json!({"replicas": 3}));
    let (engine, going) = (bench.engine.clone(), plan.clone());
    let work = bench.world.runtime.spawn(async move {
        let prepared = engine.prepare(&going).await?;
        engine.install(&prepared, &Limits::default()).await
    });
    crate::rig::wait("the record", Duration::from_secs(20), || {
        (bench.states("outage") == ["pending-install"]).then_some(())
    });
    bench.world.cluster.kill("kube-apiserver");
    bench.world.cluster.api_server();
    let record =
        bench.world.runtime.block_on(work).unwrap().unwrap_or_else(|error| panic!("{}", error.one_line()));
    assert_eq!((record.revision, bench.states("outage")), (1, vec!["deployed"]));
    assert_eq!(bench.world.matches_manifest(&record.manifest, "outage"), Ok(()));
}
