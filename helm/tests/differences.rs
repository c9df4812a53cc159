//! Small things that charts show, each with what `helm template` of Helm 4.3 printed or said (`differences.json`).

#![expect(clippy::unwrap_used, reason = "what cannot be read fails its test")]

use std::collections::BTreeMap;
use std::time::Duration;

use helm::{Chart, Error, KubeVersion, Limits, Options, render};
use serde::Deserialize;

/// One chart, and what Helm printed or why it refused.
#[derive(Deserialize)]
struct Row {
    group: String,
    name: String,
    files: BTreeMap<String, String>,
    output: Option<String>,
    error: Option<String>,
}

/// Whether refusals must have Helm's words.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    Same,
    Free,
}

fn run(row: &Row) -> Result<String, Error> {
    let about = ("Chart.yaml".to_owned(), "apiVersion: v2\nname: c\nversion: 1.0.0\n".to_owned());
    let files = BTreeMap::from([about]).into_iter().chain(row.files.clone()).collect::<BTreeMap<_, _>>();
    let files = files.into_iter().map(|(name, text)| (name, text.into_bytes()));
    let chart = Chart::from_files(files, &Limits::default())?;
    chart.check_installable()?;
    let mut options = Options::new("r", "default", [0; 32], Duration::ZERO);
    options.capabilities.kube_version = KubeVersion::parse("v1.37.0").unwrap();
    render(&chart, &options).map(|rendered| format!("{}\n", rendered.manifest_text().trim()))
}

/// Fails with all rows of `group` that differ from Helm.
fn check(group: &str, words: Words, least: usize) {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/differences.json")).unwrap();
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.group == group).collect();
    assert!(rows.len() >= least, "{} rows", rows.len());
    let different = rows.iter().filter_map(|row| {
        let ours = run(row).map_err(|error| error.to_string());
        let is_same = match (&ours, &row.output, &row.error) {
            (Ok(ours), Some(helm), None) => *ours == if helm.trim().is_empty() { "\n" } else { helm },
            (Err(_), None, Some(_)) if words == Words::Free => true,
            (Err(ours), None, Some(helm)) => ours == helm,
            _ => false,
        };
        (!is_same)
            .then(|| format!("{:?}\n ours {ours:?}\n Helm {:?} {:?}\n", row.name, row.output, row.error))
    });
    let different: Vec<String> = different.collect();
    assert!(different.is_empty(), "{} of {}\n{}", different.len(), rows.len(), different.concat());
}

#[test]
fn h10_documents_and_directives_in_values_are_read_as_helm_reads_them() {
    check("values", Words::Free, 40);
}

#[test]
fn h10_documents_and_directives_in_chart_yaml_are_read_as_helm_reads_them() {
    check("about", Words::Free, 25);
}

#[test]
fn h10_documents_and_directives_in_templates_are_read_as_helm_reads_them() {
    check("manifest", Words::Free, 40);
}

#[test]
fn h10_a_number_as_app_version_is_printed_as_helm_prints_it() {
    check("appVersion", Words::Free, 40);
}

#[test]
fn h10_annotations_that_are_not_there_are_null() {
    check("annotations", Words::Same, 50);
}

#[test]
fn h10_capabilities_keep_the_order_of_their_fields() {
    check("capabilities", Words::Same, 10);
}

#[test]
fn h10_line_and_paragraph_separators_are_written_as_helm_writes_them() {
    check("separators", Words::Same, 25);
}

#[test]
fn h10_escapes_in_quotes_are_taken_and_refused_as_in_helm() {
    check("quotes", Words::Same, 20);
}

#[test]
fn h10_patterns_of_files_match_what_they_match_in_helm_also_when_they_are_wrong() {
    check("glob", Words::Same, 15);
}

#[test]
fn h10_library_charts_are_not_installable() {
    check("library", Words::Same, 4);
}

#[test]
fn h10_escapes_in_yaml_are_taken_and_refused_as_in_helm() {
    check("escapes", Words::Same, 80);
}

#[test]
fn h10_references_in_schemas_that_go_round_end() {
    check("schema", Words::Free, 10);
}
