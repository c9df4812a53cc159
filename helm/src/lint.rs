//! What `helm lint` of Helm 4.3 finds in a chart, in its words, and objects that no cluster takes.
//!
//! Source: `pkg/chart/v2/lint/rules`. Not here: deprecated API versions and indents, of which Helm only warns.

mod about;
mod names;

use serde_json::Value;

use crate::chart::Chart;
use crate::limits::Limits;
use crate::render::Rendered;
use crate::yaml;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Advice.
    Warning,
    /// The chart is not fit for use.
    Error,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file of the chart.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
}

impl Finding {
    fn error(place: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, place: place.to_owned(), message: message.into() }
    }

    fn warning(place: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, place: place.to_owned(), message: message.into() }
    }
}

/// Looks through the files of `chart`, and through the objects that it made if it could be rendered.
#[must_use]
pub fn lint(chart: &Chart, rendered: Option<&Rendered>) -> Vec<Finding> {
    let mut findings = about::check(chart);
    extensions(chart, &mut findings);
    definitions(chart, &mut findings);
    if let Some(rendered) = rendered {
        let manifests = rendered.manifests.iter().map(|manifest| (&manifest.source, &manifest.content));
        let hooks = rendered.hooks.iter().map(|hook| (&hook.path, &hook.manifest));
        for (source, text) in manifests.chain(hooks) {
            for document in yaml::documents(text, &Limits::default()).unwrap_or_default() {
                object(source, &document, &mut findings);
            }
        }
    }
    findings
}

/// `validateAllowedExtension`
fn extensions(chart: &Chart, findings: &mut Vec<Finding>) {
    for (name, _) in chart.templates() {
        let extension = crate::chart::path::extension(name);
        if ![".yaml", ".yml", ".tpl", ".txt"].contains(&extension) {
            let valid = "Valid extensions are .yaml, .yml, .tpl, or .txt";
            findings.push(Finding::error(name, format!("file extension '{extension}' not valid. {valid}")));
        }
    }
}

/// What lies in `crds/`.
fn definitions(chart: &Chart, findings: &mut Vec<Finding>) {
    let is_manifest = |name: &str| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    for (name, data) in chart.files().filter(|(name, _)| name.starts_with("crds/") && is_manifest(name)) {
        match yaml::documents(&String::from_utf8_lossy(data), &Limits::default()) {
            Err(error) => findings.push(Finding::error(name, format!("unable to parse YAML: {error}"))),
            Ok(documents) => {
                for document in documents.iter().filter(|document| !document.is_null()) {
                    if !text(document, "apiVersion").starts_with("apiextensions.k8s.io") {
                        findings.push(Finding::error(name, "apiVersion is not in 'apiextensions.k8s.io'"));
                    }
                    if text(document, "kind") != "CustomResourceDefinition" {
                        findings.push(Finding::error(name, "object kind is not 'CustomResourceDefinition'"));
                    }
                }
            }
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// One object that the chart makes.
fn object(source: &str, document: &Value, findings: &mut Vec<Finding>) {
    if document.is_null() {
        return;
    }
    let kind = text(document, "kind");
    for field in ["apiVersion", "kind"].into_iter().filter(|field| text(document, field).is_empty()) {
        // Helm only finds this when it installs.
        findings.push(Finding::error(source, format!("an object has no {field}")));
    }
    if kind == "List" {
        let keeps = |item: &Value| item.pointer("/metadata/annotations/helm.sh~1resource-policy").is_some();
        if document.get("items").and_then(Value::as_array).is_some_and(|items| items.iter().any(keeps)) {
            let message = "annotation 'helm.sh/resource-policy' within List objects are ignored";
            findings.push(Finding::error(source, message));
        }
        return;
    }
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let selector = |field| document.get("spec").and_then(|spec| spec.get("selector")?.get(field));
    if matches!(kind, "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet")
        && selector("matchLabels").is_none()
        && selector("matchExpressions").is_none()
    {
        let message =
            format!("a {kind} must contain matchLabels or matchExpressions, and \"{name}\" does not");
        findings.push(Finding::error(source, message));
    }
    let is_generated = document.pointer("/metadata/generateName").is_some();
    let is_nameless = kind.is_empty() || (name.is_empty() && is_generated);
    if !is_nameless && !names::is_fit(kind, name) {
        let message = format!("object name does not conform to Kubernetes naming requirements: \"{name}\"");
        findings.push(Finding::warning(source, message));
    }
}

#[cfg(test)]
mod tests;
