//! Checks the output of the chart's own templates.

use gostd::yaml;
use serde_json::Value;

use super::{Finding, deprecated, names, text, with_causes};
use crate::chart::Chart;
use crate::render::{self, Options};

const FOLDER: &str = "templates/";

pub(super) fn check(chart: &Chart, options: &Options<'_>, findings: &mut Vec<Finding>) {
    if chart.templates().next().is_none() {
        return findings.push(Finding::warning(FOLDER, "directory does not exist"));
    }
    let files = match render::files(chart, options) {
        Ok(files) => files,
        Err(error) => return findings.push(Finding::error(FOLDER, with_causes(&error))),
    };
    let minor = options.capabilities.kube_version.minor();
    for (name, _) in chart.templates() {
        let extension = crate::chart::path::extension(name);
        if ![".yaml", ".yml", ".tpl", ".txt"].contains(&extension) {
            let valid = "Valid extensions are .yaml, .yml, .tpl, or .txt";
            findings.push(Finding::error(name, format!("file extension '{extension}' not valid. {valid}")));
        }
        if ![".yaml", ".yml"].contains(&extension.to_ascii_lowercase().as_str()) {
            continue;
        }
        let output = files.get(&format!("{}/{name}", chart.name())).map(String::as_str).unwrap_or_default();
        if output.trim().is_empty() {
            continue;
        }
        indent(name, output, findings);
        match documents(output, options) {
            Ok(documents) => {
                for document in documents.iter().filter(|document| !document.is_null()) {
                    object(name, document, output, minor, findings);
                }
                list(name, &documents, findings);
            }
            Err(error) => {
                let message = format!("unable to parse YAML: {}", error.go_message());
                return findings.push(Finding::error(name, message));
            }
        }
    }
    incomplete(chart, &files, options, findings);
}

/// The documents of a file, as the `YAMLOrJSONDecoder` of Kubernetes splits it: text on the line of a separator is
/// dropped.
fn documents(output: &str, options: &Options<'_>) -> Result<Vec<Value>, yaml::Error> {
    let mut parts = output.split("\n---");
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once('\n').map_or("", |(_, document)| document));
    std::iter::once(first).chain(rest).map(|document| yaml::parse(document, &options.limits)).collect()
}

/// `validateTopIndentLevel`
fn indent(name: &str, output: &str, findings: &mut Vec<Finding>) {
    let Some(line) = output.lines().find(|line| !line.trim().is_empty()) else { return };
    if line.starts_with([' ', '\t']) {
        let line = gostd::fmt::quote(line.as_bytes());
        let message =
            format!("document starts with an illegal indent: {line}, which may cause parsing problems");
        findings.push(Finding::warning(name, message));
    }
}

/// Checks one object. `output` is the whole file, in which Helm searches for a selector.
fn object(name: &str, document: &Value, output: &str, minor: &str, findings: &mut Vec<Finding>) {
    let (api_version, kind) = (text(document, "apiVersion"), text(document, "kind"));
    let own = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let violations = names::violations(kind, own);
    if !violations.is_empty() {
        let quoted = gostd::fmt::quote(own.as_bytes());
        let reasons = violations.iter().map(|rule| format!("metadata.name: Invalid value: {quoted}: {rule}"));
        let reasons = reasons.collect::<Vec<_>>();
        let reasons = if reasons.len() == 1 { reasons.concat() } else { format!("[{}]", reasons.join(", ")) };
        let message =
            format!("object name does not conform to Kubernetes naming requirements: {quoted}: {reasons}");
        findings.push(Finding::warning(name, message));
    }
    if let Some(message) = deprecated::warning(api_version, kind, minor) {
        findings.push(Finding::warning(name, message));
    }
    let selects = output.contains("matchLabels") || output.contains("matchExpressions");
    if matches!(kind, "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") && !selects {
        let message =
            format!("a {kind} must contain matchLabels or matchExpressions, and \"{own}\" does not");
        findings.push(Finding::error(name, message));
    }
}

/// `validateListAnnotations`, which checks the first document of a file once for each list in the file.
fn list(name: &str, documents: &[Value], findings: &mut Vec<Finding>) {
    let keeps = |item: &Value| item.pointer("/metadata/annotations/helm.sh~1resource-policy").is_some();
    let items = documents.first().and_then(|first| first.get("items")).and_then(Value::as_array);
    let lists = documents.iter().filter(|document| text(document, "kind") == "List").count();
    if items.is_some_and(|items| items.iter().any(keeps)) {
        let message = "annotation 'helm.sh/resource-policy' within List objects are ignored";
        findings.extend((0..lists).map(|_| Finding::error(name, message)));
    }
}

/// Finds objects that no cluster accepts, including those of sub-charts. Helm finds these only during an installation.
fn incomplete(
    chart: &Chart,
    files: &std::collections::BTreeMap<String, String>,
    options: &Options<'_>,
    findings: &mut Vec<Finding>,
) {
    let own = format!("{}/", chart.name());
    for (path, output) in files.iter().filter(|(path, _)| !path.ends_with("NOTES.txt")) {
        let path = path.strip_prefix(&own).filter(|rest| rest.starts_with(FOLDER)).unwrap_or(path);
        let documents = documents(output, options).unwrap_or_default();
        for document in documents.iter().filter(|document| !document.is_null()) {
            for field in ["apiVersion", "kind"].into_iter().filter(|field| text(document, field).is_empty()) {
                findings.push(Finding::error(path, format!("an object has no {field}")));
            }
        }
    }
}
