//! The `chart` commands: template, images, lint, show, explain and dependency.

use std::fs;
use std::path::Path;

use crate::cli::{airlock, fails};

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-web}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: web}}
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
    fs::write(
        chart.join("crds/thing.yaml"),
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n",
    )
    .unwrap();
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
    fails(folder, &["chart", "template", "web", "--show-only", "templates/no.yaml"], 2, "renders nothing");
}

#[test]
fn a_charts_images_are_listed_with_their_locations() {
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
    assert!(
        out(folder, &["chart", "lint", "web", "--strict"]).contains("[INFO] Chart.yaml: icon is recommended")
    );
    let old = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: old}\n";
    fs::write(folder.join("web/templates/old.yaml"), old).unwrap();
    let said = out(folder, &["chart", "lint", "web"]);
    assert!(said.contains(
        "[WARNING] templates/old.yaml: policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+"
    ));
    assert!(said.ends_with("1 chart(s) linted, 0 chart(s) failed\n"), "{said}");
    let strict = airlock(folder, &["chart", "lint", "web", "--strict"]);
    assert_eq!(strict.status.code(), Some(3));
    fs::remove_file(folder.join("web/templates/old.yaml")).unwrap();
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
fn h10_lint_fails_where_helm_lint_fails() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    let bare = DEPLOYMENT.replace("  selector: {matchLabels: {app: web}}\n", "");
    fs::write(folder.join("web/templates/deployment.yaml"), bare).unwrap();
    fs::write(folder.join("web/crds/thing.yaml"), "kind: Thing\n").unwrap();
    let lint = airlock(folder, &["chart", "lint", "web"]);
    let said = String::from_utf8(lint.stdout).unwrap();
    assert_eq!(lint.status.code(), Some(3));
    for words in [
        "==> Linting web\n",
        "[ERROR] templates/deployment.yaml: a Deployment must contain matchLabels or matchExpressions",
        "[ERROR] crds/thing.yaml: apiVersion is not in 'apiextensions.k8s.io'",
        "1 chart(s) linted, 1 chart(s) failed\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn h10_a_library_chart_is_not_installable() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    let about = "apiVersion: v2\nname: web\nversion: 1.2.3\ntype: library\n";
    fs::write(folder.join("web/Chart.yaml"), about).unwrap();
    let refused = airlock(folder, &["chart", "template", "web"]);
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("library charts are not installable"), "{said}");
    assert!(airlock(folder, &["chart", "lint", "web"]).status.success());
}

#[test]
fn a_mirrored_chart_is_rendered_from_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    out(folder, &["quickstart", "--quiet", "--exit", "--listen", "127.0.0.1:0", "--dir", "q"]);
    let list = out(folder, &["store", "list", "--store", "q/site"]);
    let chart = list.split_whitespace().find(|word| word.contains("charts/hello")).unwrap();
    let name = if chart.contains(':') { chart.to_owned() } else { format!("{chart}:0.1.0") };
    let text = out(folder, &["chart", "template", &name, "--store", "q/site"]);
    assert!(text.contains("from: hello"), "{text}");
    fails(folder, &["chart", "template", "charts/none:1", "--store", "q/site"], 4, "not in the store");
}

#[test]
fn h5_the_output_of_a_chart_is_printed_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    let odd = "kind: ConfigMap\r\nmetadata: {name: odd}\r\ndata: {a: \"\u{202e}\u{2028}\"}\r\n";
    fs::write(folder.join("web/templates/odd.yaml"), odd).unwrap();
    fs::write(folder.join("web/values.yaml"), "replicas: 1\r\ntag: v1\r\n").unwrap();
    let text = out(folder, &["chart", "template", "web", "--show-only", "templates/odd.yaml"]);
    assert_eq!(text, format!("---\n# Source: web/templates/odd.yaml\n{}\n", odd.trim_end()));
    assert!(out(folder, &["chart", "template", "web"]).contains(odd.trim_end()));
    assert_eq!(out(folder, &["chart", "show", "values", "web"]), "replicas: 1\r\ntag: v1\r\n");
    assert!(out(folder, &["chart", "explain", "web"]).contains("ConfigMap"));
}

#[test]
fn h7_a_declared_dependency_that_is_missing_is_an_error_and_can_be_built() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    let base = folder.join("base");
    fs::create_dir_all(base.join("templates")).unwrap();
    fs::write(base.join("Chart.yaml"), "apiVersion: v2\nname: base\nversion: 2.1.0\n").unwrap();
    fs::write(base.join("templates/map.yaml"), "kind: ConfigMap\nmetadata: {name: from-base}\n").unwrap();
    let chart = "apiVersion: v2\nname: web\nversion: 1.2.3\ndependencies:\n- {name: base, version: ^2.0.0, repository: 'file://../base'}\n";
    fs::write(folder.join("web/Chart.yaml"), chart).unwrap();
    for command in ["template", "images"] {
        fails(
            folder,
            &["chart", command, "web"],
            1,
            "declares dependencies in Chart.yaml that are not in its charts/ folder: base",
        );
    }
    let said = out(folder, &["chart", "lint", "web"]);
    assert!(
        said.contains("[WARNING] charts/: chart directory is missing these dependencies: base"),
        "{said}"
    );
    let strict = airlock(folder, &["chart", "lint", "web", "--strict"]);
    assert_eq!(strict.status.code(), Some(3));
    assert!(out(folder, &["chart", "dependency", "list", "web"]).contains("missing"));
    assert!(out(folder, &["chart", "dependency", "build", "web"]).contains("added from"));
    assert!(out(folder, &["chart", "template", "web"]).contains("from-base"));
    assert!(out(folder, &["chart", "dependency", "list", "web"]).contains("ok"));
    // If only another version than the declared one exists, nothing is written.
    fs::write(folder.join("web/Chart.yaml"), chart.replace("^2.0.0", "^3.0.0")).unwrap();
    fs::remove_dir_all(folder.join("web/charts")).unwrap();
    fails(folder, &["chart", "dependency", "build", "web"], 2, "requires `base` ^3.0.0");
    fs::write(folder.join("web/Chart.yaml"), chart.replace("file://../base", "https://charts.example"))
        .unwrap();
    fails(folder, &["chart", "dependency", "build", "web"], 4, "cannot find `base`");
    assert!(!folder.join("web/charts").exists());
}

#[test]
fn h10_flags_of_template_work_as_in_helm() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    write_chart(folder);
    fs::write(folder.join("web/templates/versions.yaml"), "kind: ConfigMap\nmetadata: {name: versions}\ndata: {a: '{{ .Capabilities.APIVersions.Has \"a/v1\" }}', b: '{{ .Capabilities.APIVersions.Has \"b/v1\" }}'}\n").unwrap();
    fs::write(folder.join("last.yaml"), "replicas: 7\n").unwrap();
    let text = out(
        folder,
        &["chart", "template", "web", "--api-versions", "a/v1,b/v1", "-f", "more.yaml,last.yaml"],
    );
    assert!(text.contains("a: 'true', b: 'true'") && text.contains("replicas: 7"), "{text}");
    assert!(!out(folder, &["chart", "template", "web", "--skip-tests"]).contains("helm.sh/hook"));
    let both = "templates/secret.yaml,templates/dep*.yaml";
    let text = out(folder, &["chart", "template", "web", "--show-only", both]);
    assert!(text.find("kind: Secret").unwrap() < text.find("kind: Deployment").unwrap(), "{text}");
    let crds = ["chart", "template", "web", "--include-crds", "--show-only", "crds/*"];
    assert_eq!(
        out(folder, &crds),
        "---\n# Source: web/crds/thing.yaml\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
    );
    out(folder, &["chart", "template", "web", "--output-dir", "made", "--include-crds"]);
    let secret = fs::read_to_string(folder.join("made/web/templates/secret.yaml")).unwrap();
    assert_eq!(secret.matches("# Source: web/templates/secret.yaml").count(), 2, "{secret}");
    assert!(folder.join("made/web/crds/thing.yaml").exists());
    let sed = [
        "chart",
        "template",
        "web",
        "--post-renderer",
        "sed",
        "--post-renderer-args",
        "s/Deployment/StatefulSet/",
    ];
    assert!(out(folder, &sed).contains("kind: StatefulSet"));
    fails(
        folder,
        &["chart", "template", "web", "--post-renderer", "false"],
        1,
        "the post-renderer `false` failed",
    );
    let script =
        format!("printf 'replicas: 9\\n' | '{}' chart template web -f -", env!("CARGO_BIN_EXE_airlock"));
    let output = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("replicas: 9"));
}
