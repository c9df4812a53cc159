//! Random values of a chart are kept as long as they are valid and used.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::storage::{Storage, now};
use crate::testing::{RECORDS, World, chart, limits, plan};

const SECRET: &str = "/api/v1/namespaces/shop/secrets/s";
const CONFIG: &str = "/api/v1/namespaces/shop/configmaps/c";
const PARTS: &str = "{{- $ca := genCA \"web\" 300 }}\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n\
    stringData:\n  password: {{ randAlphaNum 16 }}\n  ca.crt: {{ $ca.Cert | quote }}\n---\n\
    apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  annotations:\n    rollme: {{ randAlphaNum 5 | quote }}\n\
    data:\n  now: {{ now | unixEpoch | quote }}\n  more: '{{ .Values.more }}'\n";

fn text(world: &World, path: &str, at: &str) -> String {
    world.get(path).unwrap().pointer(at).unwrap().as_str().unwrap().to_owned()
}

/// Makes the seed of the newest revision older by a number of days.
async fn age(world: &World, days: i64) {
    let storage = Storage::new(&world.engine.cluster, RECORDS, "web");
    let mut newest = storage.newest().await.unwrap().unwrap();
    newest.seed.as_mut().unwrap().now -= days * 86_400;
    storage.update(&mut newest).await.unwrap();
}

#[tokio::test]
async fn h6_passwords_and_valid_certificates_are_kept_and_other_random_values_are_new() {
    let world = World::start().await;
    let chart = chart("1.0.0", &[("templates/a.yaml", PARTS)]);
    let change = |number: i32| plan(Some("shop"), json!({ "more": number }));
    world.good(&chart, &change(1)).await;
    let all = || {
        let config = |at: &str| text(&world, CONFIG, at);
        let secret = |name: &str| text(&world, SECRET, &format!("/stringData/{name}"));
        let roll = config("/metadata/annotations/rollme");
        (secret("password"), secret("ca.crt"), roll, config("/data/now").parse::<i64>().unwrap())
    };
    let first = all();
    world.good(&chart, &change(2)).await;
    let second = all();
    assert_eq!((&second.0, &second.1), (&first.0, &first.1));
    assert_ne!(second.2, first.2);
    // The certificate is in the last third of its validity.
    age(&world, 201).await;
    world.good(&chart, &change(3)).await;
    let third = all();
    assert_eq!(third.0, first.0);
    assert!(third.1 != first.1 && !helm::is_due(&third.1, now()));
    assert!((now() - third.3).abs() < 60, "{}", third.3);
    // A finished revision is not rendered again.
    world.good(&chart, &change(3)).await;
    assert_eq!(all(), third);
}

#[tokio::test]
async fn h6_passwords_are_kept_after_another_program_wrote_a_record() {
    let world = World::start().await;
    let chart = chart("1.0.0", &[("templates/a.yaml", PARTS)]);
    world.good(&chart, &plan(Some("shop"), json!({"more": 1}))).await;
    let password = || text(&world, SECRET, "/stringData/password");
    let first = password();
    let path = "/api/v1/namespaces/eksa-packages/secrets/sh.helm.release.v1.web.v1";
    world.good(&chart, &plan(Some("shop"), json!({"more": 2}))).await;
    let mut newest = world.get(&path.replace("v1.web.v1", "v1.web.v2")).unwrap();
    newest["data"].as_object_mut().unwrap().remove("airlock");
    newest["metadata"].as_object_mut().unwrap().remove("annotations");
    world.put(&path.replace("v1.web.v1", "v1.web.v2"), newest);
    world.good(&chart, &plan(Some("shop"), json!({"more": 3}))).await;
    assert_eq!(password(), first);
}

#[tokio::test]
async fn h6_a_value_that_a_chart_looks_up_is_used_and_changes_no_others() {
    let world = World::start().await;
    let parts = "{{- $old := (lookup \"v1\" \"Secret\" .Release.Namespace \"s\").data }}\napiVersion: v1\nkind: Secret\n\
        metadata: {name: s}\ndata:\n  one: {{ if $old }}{{ $old.one }}{{ else }}{{ randAlphaNum 16 | b64enc }}{{ end }}\n\
        \x20 two: {{ randAlphaNum 16 | b64enc }}\n  more: {{ .Values.more | toString | b64enc }}\n";
    let chart = chart("1.0.0", &[("templates/a.yaml", parts)]);
    world.good(&chart, &plan(Some("shop"), json!({"more": 1}))).await;
    let two = text(&world, SECRET, "/data/two");
    // The owner changed the password.
    let mut live = world.get(SECRET).unwrap();
    live["data"]["one"] = json!(STANDARD.encode("changed"));
    world.put(SECRET, live);
    world.good(&chart, &plan(Some("shop"), json!({"more": 2}))).await;
    assert_eq!(text(&world, SECRET, "/data/one"), STANDARD.encode("changed"));
    assert_eq!(text(&world, SECRET, "/data/two"), two);
}

/// A certificate from 2020 with a validity of 30 days.
fn expired() -> String {
    let template = "kind: Secret\nmetadata: {name: a}\ncert: {{ (genCA \"x\" 30).Cert | quote }}\n";
    let chart = chart("1.0.0", &[("templates/a.yaml", template)]);
    let options = helm::Options::new("web", "shop", [1; 32], Duration::from_secs(1_600_000_000));
    let text = helm::render(&chart, &options).unwrap().manifest_text();
    let documents = gostd::yaml::documents(&text, &gostd::Limits::default()).unwrap();
    documents.iter().find_map(|document| document.get("cert")?.as_str()).unwrap().to_owned()
}

#[tokio::test]
async fn h6_an_expired_certificate_is_not_restored() {
    let world = World::start().await;
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {tls.crt: {{ .Values.cert | b64enc }}}\n";
    let chart = chart("1.0.0", &[("templates/a.yaml", secret)]);
    let plan = plan(Some("shop"), json!({ "cert": expired() }));
    let record = world.good(&chart, &plan).await;
    let renew = |value: &str| {
        let mut live = world.get(SECRET).unwrap();
        live["data"]["tls.crt"] = json!(STANDARD.encode(value));
        world.put(SECRET, live);
    };
    renew("renewed");
    assert_eq!(world.engine.drift(&record).await.unwrap(), []);
    world.good(&chart, &plan).await;
    assert_eq!(text(&world, SECRET, "/data/tls.crt"), STANDARD.encode("renewed"));
    // Nor by a rollback. But a deleted object is reported as drift, like any other.
    world.good(&chart, &self::plan(Some("shop"), json!({"cert": "none"}))).await;
    renew("renewed again");
    world.engine.rollback(RECORDS, "web", Some(1), &limits()).await.unwrap();
    assert_eq!(text(&world, SECRET, "/data/tls.crt"), STANDARD.encode("renewed again"));
    assert_eq!(world.store(|store| store.objects.remove(SECRET)).map(|_: Value| ()), Some(()));
    let current = world.engine.current(RECORDS, "web").await.unwrap().unwrap();
    assert_eq!(world.engine.drift(&current).await.unwrap().len(), 1);
}

/// A chart with two certificates, in an order that its values determine.
const ORDERED: &str = "{{- $names := list \"one\" \"two\" }}\n{{- if .Values.turned }}{{ $names = list \"zero\" \"two\" \"one\" }}{{ end }}\n\
    apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n{{- range $names }}\n\
    \x20 {{ . }}: {{ (genCA . 300).Key | quote }}\n{{- end }}\n";

#[tokio::test]
async fn h6_another_order_of_certificates_does_not_change_keys() {
    let world = World::start().await;
    let chart = chart("1.0.0", &[("templates/a.yaml", ORDERED)]);
    let keys = || ["one", "two"].map(|name| text(&world, SECRET, &format!("/stringData/{name}")));
    world.good(&chart, &plan(Some("shop"), json!({"turned": false}))).await;
    let first = keys();
    world.good(&chart, &plan(Some("shop"), json!({"turned": true}))).await;
    assert_eq!(keys(), first);
    assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn h6_a_record_of_an_earlier_version_keeps_its_keys() {
    let world = World::start().await;
    let chart = chart("1.0.0", &[("templates/a.yaml", ORDERED)]);
    let keys = || ["one", "two"].map(|name| text(&world, SECRET, &format!("/stringData/{name}")));
    world.good(&chart, &plan(Some("shop"), json!({"a": 1}))).await;
    let storage = Storage::new(&world.engine.cluster, RECORDS, "web");
    let mut newest = storage.newest().await.unwrap().unwrap();
    newest.seed.as_mut().unwrap().keys = helm::Keys::Ordered;
    storage.update(&mut newest).await.unwrap();
    world.good(&chart, &plan(Some("shop"), json!({"a": 2}))).await;
    let ordered = keys();
    world.good(&chart, &plan(Some("shop"), json!({"a": 3}))).await;
    assert_eq!(keys(), ordered);
}
