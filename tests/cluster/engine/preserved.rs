//! Existing state is preserved: CRDs and data of others, workloads during a failing change, and the results of hooks.

use std::time::Duration;

use installer::Install;
use installer::{Conflicts, Engine, Error, Limits, Record};
use serde_json::{Value, json};

use super::{Chart, RECORDS, World};

/// The limits that the controller uses.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.timeout = Duration::from_mins(1);
    limits.conflicts = Conflicts::Take;
    limits
}

fn tries(world: &World, engine: &Engine, plan: &Install) -> Result<Record, Error> {
    world.runtime.block_on(async {
        let prepared = engine.prepare(plan).await?;
        engine.install(&prepared, &limits()).await
    })
}

fn good(world: &World, engine: &Engine, plan: &Install) -> Record {
    tries(world, engine, plan).unwrap_or_else(|error| panic!("{}", error.one_line()))
}

fn away(world: &World, engine: &Engine, release: &str) {
    world.runtime.block_on(engine.uninstall(RECORDS, release, &limits())).unwrap();
}

fn crd(fields: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.keep.example}}\nspec:\n\
         \x20 group: keep.example\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions:\n  - name: v1\n\
         \x20   served: true\n    storage: true\n    schema: {{openAPIV3Schema: {{type: object, properties: {{{fields}}}}}}}\n"
    )
}

const ONE: &str = "one: {type: string}";
const TWO: &str = "one: {type: string}, two: {type: string}";
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

#[test]
fn existing_state_is_preserved() {
    let Some(world) = World::start() else { return };
    let engine = world.engine();
    h1_crds_of_others_and_data_are_kept(&world, &engine);
    h2_a_release_stays_in_its_namespace(&world, &engine);
    o31_workloads_with_immutable_fields_keep_running(&world, &engine);
    h3_h4_deleted_hooks_count_and_are_distinguished(&world, &engine);
}

fn thing(world: &World) -> Value {
    // A write, during which the API server prunes fields that are not in the schema.
    world.cluster.kubectl(&["annotate", "thing", "t", "--overwrite", &format!("a={}", std::process::id())]);
    world.cluster.kubectl(&["label", "thing", "t", "--overwrite", "touched=yes"]);
    world.cluster.get(&["thing", "t"]).unwrap()["two"].clone()
}

fn h1_crds_of_others_and_data_are_kept(world: &World, engine: &Engine) {
    let (good_said, said) = world.cluster.apply(&crd(TWO));
    assert!(good_said, "{said}");
    world.cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/things.keep.example",
        "--timeout=30s",
    ]);
    let (good_said, said) = world
        .cluster
        .apply("apiVersion: keep.example/v1\nkind: Thing\nmetadata: {name: t}\none: a\ntwo: data\n");
    assert!(good_said, "{said}");
    let chart = |version: &str, fields: &str| {
        world.chart("defines", version, &[("crds/a.yaml", &crd(fields)), ("templates/c.yaml", MAP)])
    };
    let older = chart("1.0.0", ONE);
    let plan = |chart: &Chart| world.plan("defines", "defines", chart, json!({}));
    let error = tries(world, engine, &plan(&older)).unwrap_err();
    assert!(matches!(error, Error::ForeignDefinition { .. }), "{error}");
    assert_eq!(thing(world), "data");
    assert!(world.cluster.get(&["namespace", "defines"]).is_none());
    assert_eq!(world.runtime.block_on(engine.history(RECORDS, "defines")).unwrap(), []);
    // An identical CRD is used unchanged.
    good(world, engine, &plan(&chart("2.0.0", TWO)));
    away(world, engine, "defines");
    assert_eq!(thing(world), "data");
    world.cluster.kubectl(&["delete", "crd", "things.keep.example"]);

    let chart = |version: &str, fields: &str| {
        world.chart("templates", version, &[("templates/a.yaml", &crd(fields)), ("templates/c.yaml", MAP)])
    };
    let plan = |chart: &Chart| world.plan("templates", "templates", chart, json!({}));
    good(world, engine, &plan(&chart("1.0.0", ONE)));
    good(world, engine, &plan(&chart("2.0.0", TWO)));
    let (good_said, said) = world
        .cluster
        .apply("apiVersion: keep.example/v1\nkind: Thing\nmetadata: {name: t}\none: a\ntwo: data\n");
    assert!(good_said, "{said}");
    world.runtime.block_on(engine.rollback(RECORDS, "templates", Some(1), &limits())).unwrap();
    assert_eq!(thing(world), "data");
    // A chart that no longer contains the CRD does not delete the data.
    good(world, engine, &plan(&world.chart("templates", "3.0.0", &[("templates/c.yaml", MAP)])));
    assert_eq!(thing(world), "data");
    away(world, engine, "templates");
    assert!(world.cluster.get(&["crd", "things.keep.example"]).is_none());
}

fn h2_a_release_stays_in_its_namespace(world: &World, engine: &Engine) {
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: stays}\n";
    let one = crd(ONE);
    let files = [
        ("values.yaml", "defaultNamespace: first\n"),
        ("templates/a.yaml", one.as_str()),
        ("templates/c.yaml", MAP),
        ("templates/r.yaml", role),
    ];
    let chart = world.chart("stays", "1.0.0", &files);
    let mut plan = world.plan("stays", "second", &chart, json!({}));
    plan.target_namespace = None;
    good(world, engine, &plan);
    plan.target_namespace = Some("second".to_owned());
    let error = tries(world, engine, &plan).unwrap_err();
    assert!(matches!(error, Error::Moved { .. }), "{error}");
    assert!(world.cluster.get(&["namespace", "second"]).is_none());
    plan.target_namespace = Some("first".to_owned());
    good(world, engine, &plan);
    away(world, engine, "stays");
    assert_eq!(world.objects("configmaps", "first"), Vec::<String>::new());
    assert!(world.cluster.get(&["clusterrole", "stays"]).is_none());
    assert!(world.cluster.get(&["crd", "things.keep.example"]).is_none());
}

fn o31_workloads_with_immutable_fields_keep_running(world: &World, engine: &Engine) {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 1\n\
        \x20 selector: {matchLabels: {app: {{ .Values.app }}}}\n  template:\n    metadata: {labels: {app: {{ .Values.app }}}}\n\
        \x20   spec: {containers: [{name: c, image: 'registry.example/x:1'}]}\n";
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec:\n  replicas: 1\n  serviceName: {{ .Values.service }}\n\
        \x20 selector: {matchLabels: {app: s}}\n  template:\n    metadata: {labels: {app: s}}\n\
        \x20   spec: {containers: [{name: c, image: 'registry.example/x:1'}]}\n";
    let files = [
        ("values.yaml", "app: one\nservice: one\nmore: one\n"),
        ("templates/d.yaml", deployment),
        ("templates/s.yaml", set),
        (
            "templates/c.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {more: '{{ .Values.more }}'}\n",
        ),
    ];
    let chart = world.chart("fixed", "1.0.0", &files);
    let helped = hook("helps", "", "pre-upgrade", "");
    let helps = world.chart("fixed", "2.0.0", &[&files[..], &[("templates/h.yaml", &helped)]].concat());
    let plan = |chart: &Chart, values: Value| world.plan("fixed", "fixed", chart, values);
    good(world, engine, &plan(&chart, json!({})));
    let uids = || {
        ["deployment/d", "statefulset/s", "configmap/c"].map(|object| {
            let found = world.cluster.get(&[object, "-n", "fixed"]).unwrap();
            (found["metadata"]["uid"].clone(), found["data"].clone())
        })
    };
    let before = uids();
    for values in [json!({"app": "two", "more": "two"}), json!({"service": "two", "more": "two"})] {
        let error = tries(world, engine, &plan(&chart, values.clone())).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{}", error.one_line());
        assert_eq!(uids(), before);
        let error = tries(world, engine, &plan(&helps, values)).unwrap_err();
        assert!(error.to_string().contains("the release is back at revision"), "{}", error.one_line());
        assert_eq!(uids(), before);
    }
    away(world, engine, "fixed");
}

fn hook(name: &str, namespace: &str, event: &str, more: &str) -> String {
    let namespace = if namespace.is_empty() { String::new() } else { format!(", namespace: {namespace}") };
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}{namespace}, annotations: {{helm.sh/hook: {event}}}}}\n\
         spec: {{{more}template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: 'registry.example/x:1'}}]}}}}}}\n"
    )
}

fn h3_h4_deleted_hooks_count_and_are_distinguished(world: &World, engine: &Engine) {
    world.cluster.kubectl(&["create", "namespace", "beside"]);
    let files = [
        ("templates/a.yaml", hook("a", "", "post-install", "")),
        ("templates/b.yaml", hook("a", "beside", "post-install", "")),
        ("templates/c.yaml", hook("gone", "", "'pre-install,pre-delete'", "ttlSecondsAfterFinished: 0, ")),
        ("templates/d.yaml", MAP.to_owned()),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let chart = world.chart("goes", "1.0.0", &files);
    good(world, engine, &world.plan("goes", "goes", &chart, json!({})));
    crate::rig::wait("the job that ended to go", Duration::from_secs(30), || {
        (world.objects("jobs", "goes") == ["job.batch/a"]).then_some(())
    });
    assert_eq!(world.objects("jobs", "beside"), ["job.batch/a"]);
    away(world, engine, "goes");

    let failing = "ttlSecondsAfterFinished: 0, activeDeadlineSeconds: 1, ";
    let never = hook("gone", "", "pre-install", failing)
        .replace("restartPolicy", "nodeSelector: {on: no-node}, restartPolicy");
    let chart = world.chart("fails", "1.0.0", &[("templates/a.yaml", &never), ("templates/d.yaml", MAP)]);
    let error =
        tries(world, engine, &world.plan("fails", "fails", &chart, json!({}))).unwrap_err().one_line();
    assert!(error.contains("the pre-install hook Job fails/gone failed: DeadlineExceeded"), "{error}");
}
