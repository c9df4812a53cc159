//! Charts written for these tests, each compared with the result of real Helm 4.3 (`charts.json`): merging of values,
//! enabled sub-charts, the data that templates see, and rejected charts with their error texts.

#![expect(clippy::unwrap_used, reason = "a chart that cannot be read or rendered fails its test")]

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use helm::{Chart, Error, KubeVersion, Limits, Options, Rendered, Values, render};
use serde::Deserialize;
use serde_json::{Value, json};

/// One chart and Helm's result.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    files: BTreeMap<String, String>,
    values: Value,
    api_versions: BTreeMap<String, Vec<String>>,
    manifest: Option<String>,
    hooks: Vec<Value>,
    notes: Option<String>,
    error: Option<String>,
}

fn run(case: &Case) -> Result<Rendered, Error> {
    let files = case.files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes()));
    let chart = Chart::from_files(files, &Limits::default())?;
    let mut options = Options::new("rel", "default", [0; 32], Duration::ZERO);
    options.values = Values::from_json(case.values.clone())?;
    options.capabilities.kube_version = KubeVersion::of_cluster("v1.33.0", "1", "33");
    options.capabilities.api_versions = case
        .api_versions
        .iter()
        .flat_map(|(version, kinds)| {
            let kinds = kinds.iter().map(move |kind| format!("{version}/{kind}"));
            std::iter::once(version.clone()).chain(kinds)
        })
        .collect();
    render(&chart, &options)
}

fn hooks(rendered: &Rendered) -> Vec<Value> {
    let describe = |hook: &helm::Hook| {
        let mut fields = BTreeMap::from([
            ("name", json!(hook.name)),
            ("kind", json!(hook.kind)),
            ("path", json!(hook.path)),
            ("manifest", json!(hook.manifest)),
            ("events", json!(hook.events.iter().map(|event| event.as_str()).collect::<Vec<_>>())),
            ("weight", json!(hook.weight)),
            (
                "delete_policies",
                json!(hook.delete_policies.iter().map(helm::DeletePolicy::as_str).collect::<Vec<_>>()),
            ),
            (
                "output_log_policies",
                json!(hook.output_log_policies.iter().map(helm::OutputLogPolicy::as_str).collect::<Vec<_>>()),
            ),
        ]);
        // Go omits empty fields.
        fields.retain(|_, value| *value != json!(0) && *value != json!([]));
        json!(fields)
    };
    rendered.hooks.iter().map(describe).collect()
}

/// The error with its causes, as Go joins them.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn differences(case: &Case) -> Vec<String> {
    let mut differences = Vec::new();
    let mut check = |what: &str, ours: &str, helms: &str| {
        if ours != helms {
            differences.push(format!("== {}: {what}\n-- ours\n{ours}\n-- Helm's\n{helms}\n", case.name));
        }
    };
    let result = run(case);
    // A chart that fails only when it is applied has a manifest nonetheless.
    let failed =
        case.manifest.as_deref().unwrap_or_default().is_empty().then_some(case.error.as_ref()).flatten();
    match (result, failed) {
        (Ok(rendered), None) => {
            check("manifest", &rendered.manifest_text(), case.manifest.as_deref().unwrap_or_default());
            check(
                "notes",
                rendered.notes.as_deref().unwrap_or_default(),
                case.notes.as_deref().unwrap_or_default(),
            );
            check("hooks", &format!("{:#}", json!(hooks(&rendered))), &format!("{:#}", json!(case.hooks)));
        }
        (Ok(_), Some(error)) => check("error", "none", error),
        (Err(error), None) => check("error", &with_causes(&error), "none"),
        (Err(error), Some(expected)) => {
            let expected = expected.split_once(": ").map_or(expected.as_str(), |(_, rest)| rest);
            let text = with_causes(&error);
            if !text.starts_with(expected.trim_end()) {
                check("error", &text, expected);
            }
        }
    }
    differences
}

#[test]
fn charts_render_as_they_do_in_helm() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("charts.json")).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let differences: Vec<String> = cases.iter().flat_map(differences).collect();
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

fn chart(files: &[(String, String)]) -> Chart {
    let files = files.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes()));
    Chart::from_files(files, &Limits::default()).unwrap()
}

fn render_error(chart: &Chart) -> String {
    let options = Options::new("rel", "default", [0; 32], Duration::ZERO);
    render(chart, &options).unwrap_err().to_string()
}

#[test]
fn aliases_that_multiply_exceed_a_limit() {
    let aliases: String =
        (0..50).map(|number| format!("- {{name: c, version: '*', alias: a{number}}}\n")).collect();
    let files: Vec<(String, String)> = (0..6)
        .map(|depth| {
            let text = format!("apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies:\n{aliases}");
            (format!("{}Chart.yaml", "charts/c/".repeat(depth)), text)
        })
        .collect();
    assert!(render_error(&chart(&files)).starts_with("the chart exceeds the limit"));
}

#[test]
fn an_import_to_a_long_path_exceeds_a_limit() {
    let parent = ".a".repeat(100_000);
    let files = [
        (
            "Chart.yaml".to_owned(),
            format!(
                "apiVersion: v2\nname: p\nversion: 1.0.0\ndependencies:\n\
                 - {{name: s, version: '*', import-values: [{{child: x, parent: a{parent}}}]}}\n"
            ),
        ),
        ("charts/s/Chart.yaml".to_owned(), "apiVersion: v2\nname: s\nversion: 1.0.0\n".to_owned()),
        ("charts/s/values.yaml".to_owned(), "x: {y: 1}\n".to_owned()),
    ];
    assert_eq!(render_error(&chart(&files)), "the chart exceeds the limit `value_depth`");
}

#[test]
fn a_schema_that_would_take_forever_exceeds_a_limit() {
    let nested = (0..60).fold("{}".to_owned(), |inner, _| format!("{{x: {inner}}}"));
    let files = [
        ("Chart.yaml".to_owned(), "apiVersion: v2\nname: p\nversion: 1.0.0\n".to_owned()),
        ("values.yaml".to_owned(), format!("x: {nested}\n")),
        (
            "values.schema.json".to_owned(),
            r##"{"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}"##.to_owned(),
        ),
    ];
    assert_eq!(render_error(&chart(&files)), "the chart exceeds the limit `steps`");
}

#[test]
fn a_schema_cannot_reach_anything_outside_the_chart() {
    for reference in ["http://127.0.0.1:1/x.json", "file:///etc/passwd", "other.json"] {
        let files = [
            ("Chart.yaml".to_owned(), "apiVersion: v2\nname: p\nversion: 1.0.0\n".to_owned()),
            ("values.schema.json".to_owned(), format!(r#"{{"$ref": "{reference}"}}"#)),
        ];
        assert!(render_error(&chart(&files)).contains("jsonschema compilation failed"), "{reference}");
    }
}
