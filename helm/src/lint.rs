//! The findings of `helm lint` of Helm 4.3, with its texts and in its order, plus objects that no cluster accepts.
//!
//! Source: `pkg/chart/v2/lint/rules`.
//!
//! - `about`: `Chart.yaml`; `templates`: the output of the chart's own templates
//! - `names`: names of objects; `deprecated`: deprecated kinds of Kubernetes

mod about;
mod deprecated;
mod names;
mod templates;

use std::error::Error as _;
use std::fmt;

use gostd::limits::Limits;
use gostd::value::Value as TemplateValue;
use gostd::yaml;
use serde_json::Value;

use crate::chart::{self, Chart};
use crate::error::Error;
use crate::render::{Options, SchemaCheck};

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A recommendation.
    Info,
    /// A warning.
    Warning,
    /// An error: the chart cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        })
    }
}

/// A finding in a file of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The file of the chart.
    pub path: String,
    /// The message.
    pub message: String,
}

impl Finding {
    fn new(severity: Severity, path: &str, message: impl Into<String>) -> Self {
        Self { severity, path: path.to_owned(), message: message.into() }
    }

    fn info(path: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, path, message)
    }

    fn error(path: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, path, message)
    }

    fn warning(path: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, path, message)
    }
}

/// Checks the files of `chart`, and the output of its templates with these options.
#[must_use]
pub fn lint(chart: &Chart, options: &Options<'_>) -> Vec<Finding> {
    let mut findings = about::check(chart);
    values(chart, options, &mut findings);
    templates::check(chart, options, &mut findings);
    dependencies(chart, &mut findings);
    crds(chart, &mut findings);
    findings
}

/// An error with its causes.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Checks `values.yaml`, also against the chart's own schema.
fn values(chart: &Chart, options: &Options<'_>, findings: &mut Vec<Finding>) {
    const FILE: &str = "values.yaml";
    let Some(own) = chart.values() else {
        return findings.push(Finding::info(FILE, "file does not exist"));
    };
    let Some(schema) = chart.schema().filter(|_| options.schema == SchemaCheck::Enforce) else { return };
    let mut values = Value::Object(own.clone());
    merge(&mut values, &chart::to_json(&TemplateValue::Map(options.values.to_map())));
    match chart::fits(schema, &values, &options.limits) {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => findings.push(Finding::error(FILE, reason)),
        Err(error) => findings.push(Finding::error(FILE, with_causes(&error))),
    }
}

/// Overrides the chart's values with the user's.
fn merge(values: &mut Value, over: &Value) {
    let (Value::Object(values), Value::Object(over)) = (values, over) else { return };
    for (key, value) in over {
        match values.get_mut(key) {
            Some(inner) if inner.is_object() && value.is_object() => merge(inner, value),
            _ if value.is_null() => {
                values.remove(key);
            }
            _ => {
                values.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Compares the dependencies in `Chart.yaml` with `charts/`.
fn dependencies(chart: &Chart, findings: &mut Vec<Finding>) {
    const FOLDER: &str = "charts/";
    let declared = chart.metadata().dependencies.iter().flatten();
    let declared: Vec<&str> = declared.map(|dependency| dependency.name.as_str()).collect();
    let names = chart.charts().iter().map(Chart::name);
    let undeclared: Vec<&str> = names.filter(|name| !declared.contains(name)).collect();
    if !undeclared.is_empty() {
        let message = format!("chart metadata is missing these dependencies: {}", undeclared.join(","));
        findings.push(Finding::error(FOLDER, message));
    }
    let missing = chart.missing_dependencies();
    if !missing.is_empty() {
        let message = format!("chart directory is missing these dependencies: {}", missing.join(","));
        findings.push(Finding::warning(FOLDER, message));
    }
}

/// Checks the files in `crds/`.
fn crds(chart: &Chart, findings: &mut Vec<Finding>) {
    let is_manifest = |name: &str| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    for (name, data) in chart.files().filter(|(name, _)| name.starts_with("crds/") && is_manifest(name)) {
        match yaml::documents(&String::from_utf8_lossy(data), &Limits::default()) {
            Err(error) => {
                return findings
                    .push(Finding::error(name, format!("unable to parse YAML: {}", error.go_message())));
            }
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

#[cfg(test)]
mod tests;
