//! Charts on the command line: rendered, listed, checked, shown, explained.

use std::fs;
use std::path::Path;

use crate::cli::{airlock, fails};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-web}
spec:
  replicas: {{ .Values.replicas }}
  template: {spec: {containers: [{name: web, image: 'registry.example/web:{{ .Values.tag }}'}]}}
";

const SECRET: &str = "apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: {{ randAlphaNum 20 | quote }}}
---
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: t, image: busybox}]}
{{- if lookup \"v1\" \"ConfigMap\" \"shop\" \"settings\" }}
# found
{{- end }}
";

fn write_chart(folder: &Path) {
    let chart = folder.join("web");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::create_dir_all(chart.join("crds")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.2.3\n").unwrap();
    fs::write(chart.join("values.yaml"), "# how many\nreplicas: 1\ntag: v1\n").unwrap();
    fs::write(chart.join("templates/deployment.yaml"), DEPLOYMENT).unwrap();
    fs::write(chart.join("templates/secret.yaml"), SECRET).unwrap();
    fs::write(chart.join("crds/thing.yaml"), "kind: CustomResourceDefinition\n").unwrap();
    fs::write(folder.join("more.yaml"), "replicas: 3\n").unwrap();
}

fn out(folder: &Path, arguments: &[&str]) -> String {
    let output = airlock(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_chart_is_rendered_with_files_and_flags() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    let text =
        out(folder, &["chart", "template", "web", "--name", "r", "-f", "more.yaml", "--set", "tag=v2"]);
    assert!(text.contains("# Source: web/templates/deployment.yaml"), "{text}");
    assert!(
        text.contains("name: r-web") && text.contains("replicas: 3") && text.contains("web:v2"),
        "{text}"
    );
    assert!(text.contains("helm.sh/hook") && !text.contains("CustomResourceDefinition"));
    let only = ["chart", "template", "web", "--show-only", "templates/deployment.yaml", "--include-crds"];
    assert!(!out(folder, &only).contains("kind: Secret"));
    assert!(!out(folder, &["chart", "template", "web", "--no-hooks"]).contains("helm.sh/hook"));

    let seed = "0123456789abcdef".repeat(4);
    let seeded = ["chart", "template", "web", "--seed", &seed];
    assert_eq!(out(folder, &seeded), out(folder, &seeded));
    let random = ["chart", "template", "web"];
    assert_ne!(out(folder, &random), out(folder, &random));
    fails(folder, &["chart", "template", "web", "--seed", "12"], 2, "64 hex digits");
    fails(folder, &["chart", "template", "web", "--set", "a[x]=1"], 2, "set");
    fails(folder, &["chart", "template", "nowhere"], 4, "cannot open chart");
    fails(folder, &["chart", "template", "web", "--show-only", "templates/no.yaml"], 2, "makes nothing");
}

#[test]
fn a_charts_images_are_listed_with_their_places() {
    let directory = tempfile::tempdir().unwrap();
    write_chart(directory.path());
    let text = out(directory.path(), &["chart", "images", "web", "--output", "json"]);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["images"][0]["reference"], "docker.io/library/busybox:latest");
    let web = &found["images"][1];
    assert_eq!(web["reference"], "registry.example/web:v1");
    assert_eq!(web["places"][0]["template"], "web/templates/deployment.yaml");
    assert_eq!(web["places"][0]["field"], "spec.template.spec.containers[0].image");
    fails(directory.path(), &["chart", "images", "web", "--pattern", "("], 2, "regex");
}

#[test]
fn a_chart_is_checked_shown_and_explained() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    assert!(out(folder, &["chart", "lint", "web"]).contains("warning"));
    let strict = airlock(folder, &["chart", "lint", "web", "--strict"]);
    assert_eq!(strict.status.code(), Some(3));
    assert_eq!(out(folder, &["chart", "show", "values", "web"]), "# how many\nreplicas: 1\ntag: v1\n");
    assert!(out(folder, &["chart", "show", "crds", "web"]).contains("crds/thing.yaml"));
    let text = out(folder, &["chart", "explain", "web"]);
    for words in
        ["web 1.2.3", "1 Deployment", "Pod/test at test", "v1 ConfigMap settings in shop", "Secret/password"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let changing = text.split("different in every render:").nth(1).unwrap();
    assert!(!changing.contains("Deployment"), "{text}");
    fs::write(folder.join("web/templates/bad.yaml"), "{{ nosuch }}").unwrap();
    let bad = airlock(folder, &["chart", "lint", "web"]);
    let said = String::from_utf8(bad.stdout).unwrap();
    assert!(bad.status.code() == Some(3) && said.contains("function \"nosuch\" not defined"), "{said}");
}

#[test]
fn a_mirrored_chart_is_rendered_out_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    out(folder, &["quickstart", "--quiet", "--exit", "--listen", "127.0.0.1:0", "--dir", "q"]);
    let list = out(folder, &["store", "list", "--store", "q/site"]);
    let chart = list.split_whitespace().find(|word| word.contains("charts/hello")).unwrap();
    let name = if chart.contains(':') { chart.to_owned() } else { format!("{chart}:0.1.0") };
    let text = out(folder, &["chart", "template", &name, "--store", "q/site"]);
    assert!(text.contains("from: hello"), "{text}");
    fails(folder, &["chart", "template", "charts/none:1", "--store", "q/site"], 2, "not in the store");
}
