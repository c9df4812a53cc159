//! Checks a `Chart.yaml` that can be loaded.

use gostd::limits::Limits;
use gostd::yaml;
use serde_json::Value;

use super::{Finding, text};
use crate::chart::{Chart, Maintainer};

const FILE: &str = "Chart.yaml";
const NAMES: &str = "chart names must contain lowercase letters, numbers, and dashes, and must start and end with a \
    lowercase letter or number";
/// The known fields of `Chart.yaml`; below, those of a maintainer and of a dependency.
const FIELDS: [&str; 17] = [
    "name",
    "home",
    "sources",
    "version",
    "description",
    "keywords",
    "maintainers",
    "icon",
    "apiVersion",
    "condition",
    "tags",
    "appVersion",
    "deprecated",
    "annotations",
    "kubeVersion",
    "dependencies",
    "type",
];
const OF_MAINTAINER: [&str; 3] = ["name", "email", "url"];
const OF_DEPENDENCY: [&str; 8] =
    ["name", "version", "repository", "condition", "tags", "enabled", "import-values", "alias"];

pub(super) fn check(chart: &Chart) -> Vec<Finding> {
    let document = String::from_utf8_lossy(chart.metadata_text());
    let document = yaml::parse(&document, &Limits::default()).unwrap_or_default();
    let about = chart.metadata();
    let mut findings = Vec::new();
    if let Some(field) = unknown(&document) {
        let reason = format!("error unmarshaling JSON: while decoding JSON: json: unknown field {field:?}");
        let message = format!("failed to strictly parse chart metadata file\n\t{reason}");
        findings.push(Finding::warning(FILE, message));
    }
    let mut error = |message: String| findings.push(Finding::error(FILE, message));
    if !is_name(&about.name) {
        error(format!("chart name {:?} is invalid; {NAMES}", about.name));
    }
    match text(&document, "apiVersion") {
        "v1" | "v2" => {}
        "" => error("apiVersion is required. The value must be either \"v1\" or \"v2\"".to_owned()),
        other => {
            error(format!("apiVersion '{other}' is not valid. The value must be either \"v1\" or \"v2\""));
        }
    }
    for field in ["version", "appVersion"] {
        if let Some(kind) = document.get(field).and_then(other_type) {
            error(format!("{field} should be of type string but it's of type {kind}"));
        }
        if field == "version" && about.version.split('+').next() == Some("0.0.0-0") {
            error(format!("version {} is less than or equal to 0.0.0-0", about.version));
        }
    }
    about.maintainers.iter().find_map(maintainer).into_iter().for_each(&mut error);
    if let Some(source) = about.sources.iter().find(|source| !is_url(source)) {
        error(format!("invalid source URL '{source}'"));
    }
    if about.icon.is_empty() {
        findings.push(Finding::info(FILE, "icon is recommended"));
    } else if !is_url(&about.icon) {
        findings.push(Finding::error(FILE, format!("invalid icon URL '{}'", about.icon)));
    }
    let mut error = |message: String| findings.push(Finding::error(FILE, message));
    let api_version = text(&document, "apiVersion");
    if api_version != "v2" {
        if !about.kind.is_empty() {
            let only = "It is valid in apiVersion 'v2'";
            error(format!("chart type is not valid in apiVersion '{api_version}'. {only}"));
        }
        if document.get("dependencies").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
            let only = "They are valid in apiVersion 'v2'";
            error(format!(
                "dependencies are not valid in the Chart file with apiVersion '{api_version}'. {only}"
            ));
        }
    }
    if !is_strict(&about.version) {
        findings.push(Finding::warning(FILE, format!("version '{}' is not a valid SemVerV2", about.version)));
    }
    findings
}

/// The first unknown field, in the order of names; as in Go, the case of names does not matter.
fn unknown(document: &Value) -> Option<&str> {
    document.as_object()?.iter().find_map(|(name, value)| match name.to_ascii_lowercase().as_str() {
        "maintainers" => unknown_within(value, &OF_MAINTAINER),
        "dependencies" => unknown_within(value, &OF_DEPENDENCY),
        _ => (!knows(&FIELDS, name)).then_some(name.as_str()),
    })
}

fn unknown_within<'v>(list: &'v Value, fields: &[&str]) -> Option<&'v str> {
    let items = list.as_array().into_iter().flatten().filter_map(Value::as_object);
    items.flat_map(|item| item.keys()).find(|name| !knows(fields, name)).map(String::as_str)
}

fn knows(fields: &[&str], name: &str) -> bool {
    fields.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the name consists of lowercase letters, digits and dashes, without a dash at the ends.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(is_plain) && name.ends_with(is_plain) && name.chars().all(|c| is_plain(c) || c == '-')
}

/// The Go type of a value that is not a string.
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

/// Whether the text has a scheme, and a host without whitespace if there is one.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let host = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default());
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        && !rest.is_empty()
        && !host.is_some_and(|host| host.contains(char::is_whitespace))
}

/// Whether the version has three numbers and no leading `v`. Loading the chart has validated the rest.
fn is_strict(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    core.split('.').count() == 3 && core.chars().all(|c| c.is_ascii_digit() || c == '.')
}
