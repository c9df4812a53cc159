//! The JSON of a revision, as in `pkg/release/v1` of Helm 4, without a status.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm::{Chart, DeletePolicy, Hook, Metadata, OutputLogPolicy, Rendered};
use serde_json::{Map, Number, Value, json};

use crate::plan::Install;

pub(super) struct DocumentInput<'a> {
    pub(super) plan: &'a Install,
    pub(super) namespace: &'a str,
    pub(super) revision: u32,
}

/// The JSON of a revision.
pub(super) fn document(chart: &Chart, rendered: &Rendered, input: &DocumentInput<'_>) -> Value {
    let values = chart.values().cloned().unwrap_or_default();
    json!({
        "name": input.plan.release,
        "namespace": input.namespace,
        "version": input.revision,
        "info": { "notes": rendered.notes.clone().unwrap_or_default() },
        "chart": {
            "metadata": metadata(chart.metadata()),
            "lock": null,
            "templates": files(chart.templates()),
            "values": whole(Value::Object(values)),
            "schema": chart.schema().map(|schema| STANDARD.encode(schema)),
            "files": files(chart.files()),
        },
        "config": input.plan.values,
        "manifest": rendered.manifest_text(),
        "hooks": rendered.hooks.iter().map(hook).collect::<Vec<_>>(),
        "apply_method": "ssa",
    })
}

fn files<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<Value> {
    files.map(|(name, data)| json!({ "name": name, "data": STANDARD.encode(data) })).collect()
}

fn hook(hook: &Hook) -> Value {
    json!({
        "name": hook.name,
        "kind": hook.kind,
        "path": hook.path,
        "manifest": hook.manifest,
        "events": hook.events.iter().map(|event| event.as_str()).collect::<Vec<_>>(),
        "last_run": { "phase": "" },
        "weight": hook.weight,
        "delete_policies": hook.delete_policies.iter().map(DeletePolicy::as_str).collect::<Vec<_>>(),
        "output_log_policies": hook.output_log_policies.iter().map(OutputLogPolicy::as_str).collect::<Vec<_>>(),
    })
}

/// `Chart.yaml` with Helm's types: a version that is written as a number becomes text.
fn metadata(of: &Metadata) -> Value {
    let maintainers = of.maintainers.iter();
    let maintainers = maintainers.map(|one| json!({ "name": one.name, "email": one.email, "url": one.url }));
    let dependencies = of.dependencies.iter().flatten().map(|one| {
        without_empty(json!({
            "name": one.name,
            "version": one.version,
            "repository": one.repository,
            "condition": one.condition,
            "tags": one.tags,
            "enabled": one.enabled,
            "import-values": one.import_values,
            "alias": one.alias,
        }))
    });
    without_empty(json!({
        "name": of.name,
        "home": of.home,
        "sources": of.sources,
        "version": of.version,
        "description": of.description,
        "keywords": of.keywords,
        "maintainers": maintainers.collect::<Vec<_>>(),
        "icon": of.icon,
        "apiVersion": of.api_version,
        "condition": of.condition,
        "tags": of.tags,
        "appVersion": of.app_version,
        "deprecated": of.deprecated,
        "annotations": of.annotations,
        "kubeVersion": of.kube_version,
        "dependencies": dependencies.collect::<Vec<_>>(),
        "type": of.kind,
    }))
}

/// Removes empty members, as Go's `omitempty` does.
fn without_empty(value: Value) -> Value {
    let Value::Object(table) = value else { return value };
    let is_empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(table) => table.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    };
    table.into_iter().filter(|(_, value)| !is_empty(value)).collect::<Map<_, _>>().into()
}

/// Writes whole numbers without a decimal point, as Go does for `float64`.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
            let integer = float.and_then(|float| format!("{float:.0}").parse::<i64>().ok());
            Value::Number(integer.map_or(number, Number::from))
        }
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(table) => table.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_s_metadata_has_helm_s_types() {
        let chart = "apiVersion: v2\nname: a\nversion: 1.0.0\nappVersion: 1.20\n";
        let files =
            [("Chart.yaml", chart), ("values.yaml", "port: 80\nratio: 0.5\n"), ("templates/a.yaml", "")];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        let chart = Chart::from_files(files, &helm::Limits::default()).unwrap();
        let expected = json!({"apiVersion": "v2", "name": "a", "version": "1.0.0", "appVersion": "1.2"});
        assert_eq!(metadata(chart.metadata()), expected);
        let values = whole(Value::Object(chart.values().unwrap().clone()));
        assert_eq!(values.to_string(), r#"{"port":80,"ratio":0.5}"#);
    }
}
