//! What is wrong with a `Chart.yaml` that can be loaded.

use serde_json::Value;

use super::{Finding, text};
use crate::chart::{Chart, Maintainer};
use crate::limits::Limits;
use crate::yaml;

const FILE: &str = "Chart.yaml";

pub(super) fn check(chart: &Chart) -> Vec<Finding> {
    let written = String::from_utf8_lossy(chart.metadata_text());
    let written = yaml::parse(&written, &Limits::default()).unwrap_or_default();
    let about = chart.metadata();
    let mut findings = Vec::new();
    let mut error = |message: String| findings.push(Finding::error(FILE, message));
    if text(&written, "apiVersion").is_empty() {
        error("apiVersion is required. The value must be either \"v1\" or \"v2\"".to_owned());
    }
    for field in ["version", "appVersion"] {
        if let Some(kind) = written.get(field).and_then(other_type) {
            error(format!("{field} should be of type string but it's of type {kind}"));
        }
    }
    if about.api_version == "v1" {
        if !about.kind.is_empty() {
            let only = "It is valid in apiVersion 'v2'";
            error(format!("chart type is not valid in apiVersion 'v1'. {only}"));
        }
        if written.get("dependencies").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            let only = "They are valid in apiVersion 'v2'";
            error(format!("dependencies are not valid in the Chart file with apiVersion 'v1'. {only}"));
        }
    }
    about.maintainers.iter().filter_map(maintainer).for_each(&mut error);
    for source in about.sources.iter().filter(|source| !is_url(source)) {
        error(format!("invalid source URL '{source}'"));
    }
    if !about.icon.is_empty() && !is_url(&about.icon) {
        error(format!("invalid icon URL '{}'", about.icon));
    }
    if !is_strict(&about.version) {
        findings.push(Finding::warning(FILE, format!("version '{}' is not a valid SemVerV2", about.version)));
    }
    findings
}

/// Go's type of what is no string.
fn other_type(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::String(_) => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(_) => Some("float64"),
        Value::Array(_) => Some("[]interface {}"),
        Value::Object(_) => Some("map[string]interface {}"),
    }
}

fn maintainer(maintainer: &Maintainer) -> Option<String> {
    let Maintainer { name, email, url } = maintainer;
    if name.is_empty() {
        Some("each maintainer requires a name".to_owned())
    } else if !email.is_empty() && !is_email(email) {
        Some(format!("invalid email '{email}' for maintainer '{name}'"))
    } else if !url.is_empty() && !is_url(url) {
        Some(format!("invalid url '{url}' for maintainer '{name}'"))
    } else {
        None
    }
}

fn is_email(text: &str) -> bool {
    let Some((user, host)) = text.rsplit_once('@') else { return false };
    !user.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace)
}

/// A scheme, and a host without blanks if there is one.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let host = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        && !rest.is_empty()
        && !host.is_some_and(|host| host.contains(char::is_whitespace))
}

/// Three numbers, without a `v` before them; the chart loaded, so the rest is right.
fn is_strict(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.').count() == 3 && core.chars().all(|c| c.is_ascii_digit() || c == '.')
}
