//! Mirroring a chart also mirrors its images: a chart from a registry and one from disk, rendered with the values of the
//! mirror file.

use std::fs;
use std::path::Path;
use std::process::Command;

use oci::media_type;
use serde_json::{Value, json};

use crate::corpus::{ImageFormat, ImageSpec, Upstream};
use crate::rig::{airlock, docker_registry, run, run_json};

const TEMPLATE: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec: {template: {spec: {containers: [
  {name: a, image: 'registry.example/{{ .Values.app }}:v1', args: ['--reloader=registry.example/team/side:v1']},
]}}}
{{- if .Capabilities.APIVersions.Has \"monitoring.coreos.com/v1\" }}
---
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: t, image: 'registry.example/team/hook:v1'}]}
{{- end }}
";

fn package(folder: &Path) -> Vec<u8> {
    let chart = folder.join("web");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n").unwrap();
    fs::write(chart.join("values.yaml"), "app: team/none\n").unwrap();
    fs::write(chart.join("templates/web.yaml"), TEMPLATE).unwrap();
    let packed =
        Command::new("tar").args(["-czf", "web-1.0.0.tgz", "web"]).current_dir(folder).status().unwrap();
    assert!(packed.success());
    fs::read(folder.join("web-1.0.0.tgz")).unwrap()
}

fn push_chart(upstream: &Upstream, archive: &[u8]) {
    let config = br#"{"apiVersion":"v2","name":"web","version":"1.0.0"}"#;
    let body = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json",
            "digest": upstream.push_blob("charts/web", config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "digest": upstream.push_blob("charts/web", archive), "size": archive.len()}],
    });
    upstream.push_manifest("charts/web", Some("1.0.0"), media_type::OCI_MANIFEST, &body);
}

fn config(registry: &str, charts: &str) -> String {
    format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: charts}}\n\
         platforms: [linux/amd64]\n\
         registries: [{{host: registry.example, mirror: '{registry}', plainHTTP: true}}]\n\
         sources: [{{charts: [{charts}]}}]\n"
    )
}

fn sources(lock: &Path) -> Vec<String> {
    let lock: Value = serde_json::from_slice(&fs::read(lock).unwrap()).unwrap();
    let items = lock["items"].as_array().unwrap();
    items.iter().map(|item| item["source"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_chart_is_mirrored_with_the_images_that_it_renders_to() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let Some(registry) = docker_registry(root) else { return };
    let upstream = Upstream { address: registry.address.clone() };
    for (number, name) in ["team/one", "team/two", "team/side", "team/hook"].into_iter().enumerate() {
        upstream.push_index(
            name,
            "v1",
            &ImageSpec::new(900 + number as u64, 10_000, ImageFormat::of(number)),
        );
    }
    let archive = package(root);
    push_chart(&upstream, &archive);
    fs::write(root.join("two.yaml"), "app: team/two\n").unwrap();
    let charts = "{reference: 'registry.example/charts/web:1.0.0', set: [app=team/one], \
                   imagePatterns: ['--reloader=(\\S+)']}, \
                  {file: web-1.0.0.tgz, values: [two.yaml], apiVersions: [monitoring.coreos.com/v1]}";
    fs::write(root.join("airlock.yaml"), config(&registry.address, charts)).unwrap();
    let mirror = ["mirror", "--store", "store"];
    run_json(root, &mirror);
    let found = sources(&root.join("airlock.lock"));
    for name in ["charts/web:1.0.0", "team/one:v1", "team/two:v1", "team/side:v1", "team/hook:v1"] {
        assert!(found.contains(&format!("registry.example/{name}")), "{name}: {found:?}");
    }
    assert_eq!(found.len(), 6, "{found:?}");

    // With the lock, the chart is read from the store: the run succeeds although the upstream is gone.
    drop(registry);
    let again = run_json(root, &mirror);
    assert_eq!(again["totals"]["fetchedBytes"], 0, "{again}");
    let rendered = run(root, &["chart", "images", "registry.example/charts/web:1.0.0", "--store", "store"]);
    assert!(String::from_utf8(rendered.stdout).unwrap().contains("registry.example/team/none:v1"));
}

#[test]
fn a_chart_that_does_not_render_stops_the_run_unless_its_images_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    package(root);
    fs::write(root.join("web/templates/web.yaml"), "{{ required \"an app is needed\" .Values.nothing }}")
        .unwrap();
    let packed =
        Command::new("tar").args(["-czf", "web-1.0.0.tgz", "web"]).current_dir(root).status().unwrap();
    assert!(packed.success());
    fs::write(root.join("airlock.yaml"), config("127.0.0.1:1", "{file: web-1.0.0.tgz}")).unwrap();
    let refused = airlock(root, &["mirror", "--store", "store"]).output().unwrap();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("an app is needed"), "{text}");
    assert!(text.contains("images: false") && !root.join("airlock.lock").exists(), "{text}");
    fs::write(root.join("airlock.yaml"), config("127.0.0.1:1", "{file: web-1.0.0.tgz, images: false}"))
        .unwrap();
    run(root, &["mirror", "--store", "store"]);
    assert_eq!(sources(&root.join("airlock.lock")).len(), 1);
}
