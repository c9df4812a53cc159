//! The bounds of a package, through rendering, recording and applying.

use std::sync::Arc;

use helm::Chart;
use serde_json::{Value, json};

use crate::error::Error;
use crate::guard::tests::{GOOD, bounds};
use crate::testing::{RECORDS, World, chart, config, ends, job, limits, path_of, plan};

const IMAGE: &str = "registry.example/team/app:v1";
const EVIL: &str = "evil.example/registry.example/team/app:v1";
const SECRET_TEXT: &str = "s3cr3t-of-others";

/// A chart that takes whole objects from its values, and evaluates one of them as a template.
fn open() -> Arc<Chart> {
    let objects = "{{- range .Values.objects }}\n---\n{{ toYaml . }}\n{{- end }}\n";
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: text}\ndata: {text: {{ tpl (.Values.text | default \"\") . | quote }}}\n";
    chart("1.0.0", &[("templates/objects.yaml", objects), ("templates/text.yaml", text)])
}

async fn world(allow: &str) -> World {
    let mut world = World::start().await;
    world.engine = world.engine.clone().within(bounds(&["registry.example/team/app"], allow));
    world.react(ends("Complete"));
    world
}

fn running(image: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "x" },
        "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": image }] } } },
    })
}

/// All the ways in which a chart can contain an object.
fn variants(object: &Value) -> Vec<Value> {
    let list = |kind: &str, inner: &Value| json!({ "apiVersion": "v1", "kind": kind, "items": [inner] });
    let hook = |event: &str| {
        let mut hook = object.clone();
        hook["metadata"]["annotations"]["helm.sh/hook"] = json!(event);
        hook
    };
    let mut listed_hook = list("List", object);
    listed_hook["metadata"] = json!({ "annotations": { "helm.sh/hook": "pre-install" } });
    vec![
        object.clone(),
        list("List", object),
        list("List", &list("List", object)),
        list("Anything", object),
        hook("pre-install"),
        hook("post-install"),
        hook("pre-delete"),
        hook("test"),
        listed_hook,
    ]
}

async fn refused(world: &World, values: Value) -> String {
    let error = world.install(&open(), &plan(Some("shop"), values.clone()), &limits()).await;
    match error {
        Err(Error::Refused { reason }) => reason,
        other => panic!("{values}: {other:?}"),
    }
}

#[tokio::test]
async fn a2_no_object_from_values_bypasses_the_bounds() {
    let world = world("").await;
    let mut elsewhere = running(IMAGE);
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    let mut other = running(IMAGE);
    other["metadata"]["namespace"] = json!("other");
    let with = |more: Value| {
        let mut job = running(IMAGE);
        job["spec"]["template"]["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    let mut init = running(IMAGE);
    init["spec"]["template"]["spec"]["initContainers"] = json!([{ "name": "i", "image": EVIL }]);
    let payloads = [
        running(EVIL),
        init,
        with(json!({ "volumes": [{ "name": "v", "image": { "reference": EVIL } }] })),
        elsewhere,
        other,
        with(json!({ "hostNetwork": true })),
        with(json!({ "serviceAccountName": "of-others" })),
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "kube-system" } }),
    ];
    let mut tried = 0;
    for payload in &payloads {
        for object in variants(payload) {
            refused(&world, json!({ "objects": [object] })).await;
            tried += 1;
        }
    }
    assert!(tried >= 60, "{tried}");
    for target in ["kube-system", "eksa-packages", "airlock-own"] {
        let error = world.prepare(&open(), &plan(Some(target), json!({}))).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
    assert_eq!(world.store(|store| store.writes.clone()), Vec::<String>::new(), "nothing was written");
}

#[tokio::test]
async fn a2d_privileges_that_an_administrator_allows_are_accepted() {
    let world = world("app:host, app:namespace/other").await;
    let mut job = running(IMAGE);
    job["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    job["metadata"]["namespace"] = json!("other");
    world.good(&open(), &plan(Some("shop"), json!({ "objects": [job] }))).await;
}

#[tokio::test]
async fn a2d_privileges_of_the_chart_s_defaults_are_accepted() {
    let world = world("").await;
    let hosts = job("hosted", "", "pre-install", "").replace("x.example/x:1", IMAGE);
    let hosts = hosts.replace("restartPolicy: Never", "restartPolicy: Never, hostNetwork: true");
    let hosts = format!("{hosts}# {{{{ .Values.word }}}}\n");
    let own = chart("1.0.0", &[("templates/job.yaml", &hosts), ("templates/c.yaml", &config("c", "", "a"))]);
    world.good(&own, &plan(Some("shop"), json!({ "word": "x" }))).await;
}

#[tokio::test]
async fn o4_images_are_pinned_in_the_cluster_and_in_the_record_including_hooks() {
    let world = world("").await;
    let all: Vec<_> = variants(&running(IMAGE))
        .into_iter()
        .enumerate()
        .map(|(number, variant)| {
            let text = variant.to_string().replace("\"name\":\"x\"", &format!("\"name\":\"x{number}\""));
            serde_json::from_str::<Value>(&text).unwrap()
        })
        .collect();
    let record = world.good(&open(), &plan(Some("shop"), json!({ "objects": all }))).await;
    let pinned = format!("{IMAGE}@{GOOD}");
    let written = record.manifest.clone() + &record.hooks.join("\n");
    assert_eq!(written.matches(&pinned).count(), 9, "{written}");
    assert_eq!(written.matches(IMAGE).count(), 9, "{written}");
    let there = world.store(|store| json!(store.objects).to_string());
    let jobs = world.paths().iter().filter(|path| path.contains("/jobs/")).count();
    assert!(jobs >= 6, "{jobs}");
    assert_eq!(there.matches(&format!("\"image\":\"{IMAGE}\"")).count(), 0, "{there}");
    for number in [0, 1, 2, 3, 4, 8] {
        let name = format!("x{number}");
        let at = path_of(&json!({ "metadata": { "name": name, "namespace": "shop" } }));
        let live = world.get(&at).unwrap_or_else(|| panic!("{name}: {:?}", world.paths()));
        assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], pinned.as_str());
    }
}

#[tokio::test]
async fn o4_a_revision_without_pinned_images_is_not_restored() {
    let mut world = World::start().await;
    world.react(ends("Complete"));
    let record = world.good(&open(), &plan(Some("shop"), json!({ "objects": [running(IMAGE)] }))).await;
    world.engine = world.engine.clone().within(bounds(&["registry.example/team/app"], ""));
    let error = world.engine.check_bounds(&record).await.unwrap_err();
    assert!(error.to_string().contains("without a digest"), "{error}");
    let again =
        world.good(&open(), &plan(Some("shop"), json!({ "objects": [running(IMAGE)], "a": 1 }))).await;
    assert!(world.engine.check_bounds(&again).await.is_ok());
}

#[tokio::test]
async fn a2e_values_can_only_look_up_objects_of_the_release() {
    let world = world("").await;
    let object = |kind: &str, namespace: &str| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "victim", "namespace": namespace }, "data": { "a": SECRET_TEXT } });
    for namespace in ["shop", "other", RECORDS] {
        world.put(&format!("/api/v1/namespaces/{namespace}/secrets/victim"), object("Secret", namespace));
        world.put(
            &format!("/api/v1/namespaces/{namespace}/configmaps/victim"),
            object("ConfigMap", namespace),
        );
    }
    // The annotations of another release are not sufficient, and neither is the label alone.
    let mut marked = object("Secret", "shop");
    marked["metadata"]["name"] = json!("marked");
    marked["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "Helm" });
    marked["metadata"]["annotations"] =
        json!({ "meta.helm.sh/release-name": "other", "meta.helm.sh/release-namespace": "shop" });
    world.put("/api/v1/namespaces/shop/secrets/marked", marked);
    for text in [
        r#"{{ lookup "v1" "Secret" "shop" "victim" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "shop" "marked" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "shop" "" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "other" "victim" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "eksa-packages" "victim" | toJson }}"#,
        r#"{{ lookup "v1" "Secret" "" "" | toJson }}"#,
        r#"{{ lookup "v1" "ConfigMap" "shop" "victim" | toJson }}"#,
        r#"{{ lookup "v1" "ConfigMap" "other" "" | toJson }}"#,
    ] {
        let prepared = world.prepare(&open(), &plan(Some("shop"), json!({ "text": text }))).await.unwrap();
        assert!(!prepared.manifest.contains(SECRET_TEXT), "{text}: {}", prepared.manifest);
    }
    // Objects of the release can be looked up.
    let own = r#"{{ lookup "v1" "ConfigMap" "shop" "mine" | toJson }}"#;
    let mine = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "mine" }, "data": { "word": "kept" } });
    world.good(&open(), &plan(Some("shop"), json!({ "objects": [mine] }))).await;
    let values = json!({ "objects": [mine], "text": own });
    let prepared = world.prepare(&open(), &plan(Some("shop"), values)).await.unwrap();
    assert!(prepared.manifest.contains("kept\\\""), "{}", prepared.manifest);
}
