//! Details of charts, each with the output or the error of `helm template` of Helm 4.3 (`differences.json`).

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails its test")]

use std::collections::BTreeMap;
use std::time::Duration;

use helm::{Chart, Error, KubeVersion, Limits, Options, render};
use serde::Deserialize;

/// One chart, and Helm's output or error.
#[derive(Deserialize)]
struct Row {
    group: String,
    name: String,
    files: BTreeMap<String, String>,
    output: Option<String>,
    error: Option<String>,
}

/// Whether errors must have Helm's text.
#[derive(Clone, Copy, PartialEq)]
enum ErrorText {
    Same,
    Any,
}

fn run(row: &Row) -> Result<String, Error> {
    let metadata = ("Chart.yaml".to_owned(), "apiVersion: v2\nname: c\nversion: 1.0.0\n".to_owned());
    let files = BTreeMap::from([metadata]).into_iter().chain(row.files.clone()).collect::<BTreeMap<_, _>>();
    let files = files.into_iter().map(|(name, text)| (name, text.into_bytes()));
    let chart = Chart::from_files(files, &Limits::default())?;
    chart.check_installable()?;
    let mut options = Options::new("r", "default", [0; 32], Duration::ZERO);
    options.capabilities.kube_version = KubeVersion::parse("v1.37.0").unwrap();
    render(&chart, &options).map(|rendered| format!("{}\n", rendered.manifest_text().trim()))
}

/// Fails with all rows of `group` whose result differs from Helm's.
fn check(group: &str, error_text: ErrorText, minimum: usize) {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/differences.json")).unwrap();
    let rows: Vec<Row> = rows.into_iter().filter(|row| row.group == group).collect();
    assert!(rows.len() >= minimum, "{} rows", rows.len());
    let different = rows.iter().filter_map(|row| {
        let ours = run(row).map_err(|error| error.to_string());
        let is_same = match (&ours, &row.output, &row.error) {
            (Ok(ours), Some(helm), None) => *ours == if helm.trim().is_empty() { "\n" } else { helm },
            (Err(_), None, Some(_)) if error_text == ErrorText::Any => true,
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
    check("values", ErrorText::Any, 40);
}

#[test]
fn h10_documents_and_directives_in_chart_yaml_are_read_as_helm_reads_them() {
    check("about", ErrorText::Any, 25);
}

#[test]
fn h10_documents_and_directives_in_templates_are_read_as_helm_reads_them() {
    check("manifest", ErrorText::Any, 40);
}

#[test]
fn h10_a_number_as_app_version_is_printed_as_helm_prints_it() {
    check("appVersion", ErrorText::Any, 40);
}

#[test]
fn h10_absent_annotations_are_null() {
    check("annotations", ErrorText::Same, 50);
}

#[test]
fn h10_capabilities_keep_the_order_of_their_fields() {
    check("capabilities", ErrorText::Same, 10);
}

#[test]
fn h10_line_and_paragraph_separators_are_written_as_helm_writes_them() {
    check("separators", ErrorText::Same, 25);
}

#[test]
fn h10_escapes_in_quotes_are_accepted_and_rejected_as_in_helm() {
    check("quotes", ErrorText::Same, 20);
}

#[test]
fn h10_file_patterns_match_as_in_helm_even_if_they_are_invalid() {
    check("glob", ErrorText::Same, 15);
}

#[test]
fn h10_library_charts_are_not_installable() {
    check("library", ErrorText::Same, 4);
}

#[test]
fn h10_escapes_in_yaml_are_accepted_and_rejected_as_in_helm() {
    check("escapes", ErrorText::Same, 80);
}

#[test]
fn h10_circular_references_in_schemas_end() {
    check("schema", ErrorText::Any, 10);
}
