//! Charts with and without findings in Helm 4.3.

use std::time::Duration;

use super::*;
use crate::render::{Mode, Options};

const ABOUT: &str = "apiVersion: v2\nname: c\nversion: 1.0.0\nicon: https://charts.example/c.png\n";

fn errors(files: &[(&str, &str)]) -> Vec<String> {
    let named = |name: &str| files.iter().any(|(other, _)| *other == name);
    let about = (!named("Chart.yaml")).then_some(("Chart.yaml", ABOUT));
    let files = files.iter().copied().chain(about);
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    let chart = Chart::from_files(files, &Limits::default()).unwrap();
    let mut options = Options::new("r", "default", [0; 32], Duration::ZERO);
    options.mode = Mode::Lint;
    let findings = lint(&chart, &options).into_iter();
    let errors = findings.filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| format!("{}: {}", finding.path, finding.message)).collect()
}

fn of_object(text: &str) -> Vec<String> {
    errors(&[("templates/a.yaml", text)])
}

fn of_about(text: &str) -> Vec<String> {
    errors(&[("Chart.yaml", text)])
}

#[test]
fn h10_workloads_without_a_selector_are_errors_in_lint_as_in_helm() {
    for (kind, is_checked) in [
        ("Deployment", true),
        ("StatefulSet", true),
        ("DaemonSet", true),
        ("ReplicaSet", true),
        ("Job", false),
        ("ReplicationController", false),
    ] {
        let of = |spec| {
            of_object(&format!("apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"))
        };
        let message = format!(
            "templates/a.yaml: a {kind} must contain matchLabels or matchExpressions, and \"a\" does not"
        );
        let expected = if is_checked { vec![message] } else { Vec::new() };
        assert_eq!(of("{template: {}}"), expected);
        assert_eq!(of("{selector: {}}"), expected);
        assert!(of("{selector: {matchLabels: {}}}").is_empty());
        assert!(of("{selector: {matchExpressions: []}}").is_empty());
    }
}

#[test]
fn h10_objects_that_no_cluster_accepts_are_errors_in_lint() {
    let hook = "kind: Pod\nmetadata: {name: a, annotations: {helm.sh/hook: test}}\n";
    assert_eq!(of_object(hook), ["templates/a.yaml: an object has no apiVersion"]);
    assert_eq!(
        of_object("apiVersion: v1\nmetadata: {name: a}\n"),
        ["templates/a.yaml: an object has no kind"]
    );
    let two = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n---\nkind: A\nmetadata: {name: b}\n";
    assert_eq!(of_object(two), ["templates/a.yaml: an object has no apiVersion"]);
    assert!(of_object("---\n# nothing\n---\n").is_empty());
    let kept =
        "apiVersion: v1\nkind: List\nitems: [{metadata: {annotations: {helm.sh/resource-policy: keep}}}]\n";
    let message = "annotation 'helm.sh/resource-policy' within List objects are ignored";
    assert_eq!(of_object(kept), [format!("templates/a.yaml: {message}")]);
}

#[test]
fn h10_files_that_helm_rejects_are_errors_in_lint() {
    let message = "file extension '.foo' not valid. Valid extensions are .yaml, .yml, .tpl, or .txt";
    assert_eq!(errors(&[("templates/b.foo", "")]), [format!("templates/b.foo: {message}")]);
    assert_eq!(
        errors(&[("crds/x.yaml", "kind: A\n")]),
        [
            "crds/x.yaml: apiVersion is not in 'apiextensions.k8s.io'",
            "crds/x.yaml: object kind is not 'CustomResourceDefinition'"
        ]
    );
    let definition =
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b.c}\n";
    assert!(errors(&[("crds/x.yaml", definition), ("crds/README.md", "text")]).is_empty());
}

#[test]
fn h10_metadata_that_helm_rejects_is_an_error_in_lint() {
    for (lines, message) in [
        ("version: 1", "version should be of type string but it's of type float64"),
        ("version: 1.0.0\nappVersion: 1.0", "appVersion should be of type string but it's of type float64"),
        ("version: 1.0.0\nicon: x", "invalid icon URL 'x'"),
        ("version: 1.0.0\nsources: [x]", "invalid source URL 'x'"),
        ("version: 1.0.0\nmaintainers: [{email: x}]", "each maintainer requires a name"),
        ("version: 1.0.0\nmaintainers: [{name: a, email: x}]", "invalid email 'x' for maintainer 'a'"),
        (
            "version: 1.0.0\nmaintainers: [{name: a, url: not url}]",
            "invalid url 'not url' for maintainer 'a'",
        ),
    ] {
        assert_eq!(
            of_about(&format!("apiVersion: v2\nname: c\n{lines}\n")),
            [format!("Chart.yaml: {message}")]
        );
    }
    assert_eq!(
        of_about("name: c\nversion: 1.0.0\n"),
        ["Chart.yaml: apiVersion is required. The value must be either \"v1\" or \"v2\""]
    );
    assert_eq!(
        of_about("apiVersion: v1\nname: c\nversion: 1.0.0\ntype: application\n"),
        ["Chart.yaml: chart type is not valid in apiVersion 'v1'. It is valid in apiVersion 'v2'"]
    );
    let good = "version: 1.0.0\nsources: ['https://a.example/b c']\nicon: 'data:image/png;base64,AA=='\n\
                maintainers: [{name: a, email: a@b.example, url: 'https://a.example'}]\nappVersion: '1'\n";
    assert!(of_about(&format!("apiVersion: v2\nname: c\n{good}")).is_empty());
}

#[test]
fn names_follow_the_rules_of_kubernetes() {
    for (kind, name, fits) in [
        ("ConfigMap", "a.b-c", true),
        ("ConfigMap", "A_b", false),
        ("ConfigMap", "", false),
        ("Role", "A:b", true),
        ("Namespace", "a.b", false),
        ("Service", "1a", false),
        ("Service", "a1", true),
    ] {
        assert_eq!(names::violations(kind, name).is_empty(), fits, "{kind} {name}");
    }
    assert_eq!(names::violations("ConfigMap", &"a".repeat(254)), ["must be no more than 253 bytes"]);
    assert_eq!(names::violations("Role", "a/b"), ["may not contain '/'"]);
}

/// All findings as text.
fn all(files: &[(&str, &str)], minor: &str) -> Vec<String> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    let chart = Chart::from_files(files, &Limits::default()).unwrap();
    let mut options = Options::new("test-release", "default", [0; 32], Duration::ZERO);
    options.mode = Mode::Lint;
    options.capabilities.kube_version = crate::KubeVersion::parse(&format!("1.{minor}")).unwrap();
    let findings = lint(&chart, &options).into_iter();
    findings.map(|Finding { severity, path, message }| format!("[{severity}] {path}: {message}")).collect()
}

#[test]
fn h10_recommendations_and_warnings_have_helms_text_and_order() {
    let about = "apiVersion: v2\nname: c\nversion: v1.0.0\nengine: gotpl\n";
    let output = "  \napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: A}\n";
    let expected = [
        "[WARNING] Chart.yaml: failed to strictly parse chart metadata file\n\terror unmarshaling JSON: while decoding \
         JSON: json: unknown field \"engine\"",
        "[INFO] Chart.yaml: icon is recommended",
        "[WARNING] Chart.yaml: version 'v1.0.0' is not a valid SemVerV2",
        "[INFO] values.yaml: file does not exist",
        "[WARNING] templates/a.yaml: object name does not conform to Kubernetes naming requirements: \"A\": metadata.name: \
         Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
         '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        "[WARNING] templates/a.yaml: policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; \
         use policy/v1 PodDisruptionBudget",
    ];
    assert_eq!(all(&[("Chart.yaml", about), ("templates/a.yaml", output)], "37"), expected);
    assert_eq!(all(&[("Chart.yaml", about), ("templates/a.yaml", output)], "20").len(), 5);
    assert_eq!(
        all(&[("Chart.yaml", ABOUT), ("values.yaml", "")], "37"),
        ["[WARNING] templates/: directory does not exist"]
    );
}

#[test]
fn h10_deprecated_kinds_are_reported_with_their_replacement() {
    let message = |version, kind, minor| super::deprecated::warning(version, kind, minor);
    assert_eq!(message("apps/v1", "Deployment", "37"), None);
    assert_eq!(message("batch/v1beta1", "CronJob", "20"), None);
    assert_eq!(
        message("extensions/v1beta1", "Ingress", "33+").unwrap(),
        "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress"
    );
    assert_eq!(
        message("node.k8s.io/v1beta1", "RuntimeClass", "37").unwrap(),
        "node.k8s.io/v1beta1 RuntimeClass is deprecated in v1.22+, unavailable in v1.25+"
    );
}
