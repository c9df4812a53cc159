//! The CRDs, generated from the types.
//!
//! Kubernetes accepts "structural" schemas only: every type is explicit, without references and without alternative
//! types. The output of schemars is rewritten to such a schema, in the form of EKS Anywhere's own CRDs: optional members
//! are absent, never null. `kube-derive` would generate another wire form, which allows null everywhere and requires
//! `spec`, so it would reject objects that EKS Anywhere accepts.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::object::CustomResource;
use crate::{
    Package, PackageBundle, PackageBundleController, PackageBundleControllerSpec,
    PackageBundleControllerStatus, PackageBundleSpec, PackageBundleStatus, PackageSpec, PackageStatus,
    TrustPolicy, TrustPolicySpec, TrustPolicyStatus, VERSION,
};

/// All CRDs, in the order in which they are applied.
#[must_use]
pub fn all() -> Vec<Value> {
    vec![
        definition::<PackageBundleController, PackageBundleControllerSpec, PackageBundleControllerStatus>(),
        definition::<PackageBundle, PackageBundleSpec, PackageBundleStatus>(),
        definition::<Package, PackageSpec, PackageStatus>(),
        definition::<TrustPolicy, TrustPolicySpec, TrustPolicyStatus>(),
    ]
}

/// The name of a CRD's file in `manifests/crds`.
#[must_use]
pub fn file_name(definition: &Value) -> String {
    let names = &definition["spec"]["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}_{}.yaml", text(&definition["spec"]["group"]), text(&names["plural"]))
}

fn definition<K: CustomResource, Spec: JsonSchema, Status: JsonSchema>() -> Value {
    let singular = K::KIND.to_lowercase();
    let mut names = json!({
        "kind": K::KIND, "listKind": format!("{}List", K::KIND), "plural": K::PLURAL, "singular": singular,
    });
    if !K::SHORT.is_empty() {
        names["shortNames"] = json!(K::SHORT);
    }
    let column =
        |&(name, kind, path): &(&str, &str, &str)| json!({"name": name, "type": kind, "jsonPath": path});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", K::PLURAL, K::GROUP)},
        "spec": {
            "group": K::GROUP,
            "names": names,
            "scope": if K::NAMESPACED { "Namespaced" } else { "Cluster" },
            "conversion": {"strategy": "None"},
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": K::COLUMNS.iter().map(column).collect::<Vec<_>>(),
                "schema": {"openAPIV3Schema": {
                    "description": K::DESCRIPTION,
                    "type": "object",
                    "properties": {
                        "apiVersion": {"type": "string", "description": "The API group and version."},
                        "kind": {"type": "string", "description": "The kind of the object."},
                        "metadata": {"type": "object"},
                        "spec": schema::<Spec>(),
                        "status": schema::<Status>(),
                    },
                }},
            }],
        },
    })
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    structural(schema)
}

/// Keywords that Kubernetes does not use, or for which it has another form.
const DROPPED: [&str; 4] = ["$schema", "title", "definitions", "nullable"];

fn structural(schema: Value) -> Value {
    let Value::Object(schema) = schema else { return json!({"x-kubernetes-preserve-unknown-fields": true}) };
    let mut schema = chosen(schema);
    let is_dropped =
        |name: &str, value: &Value| DROPPED.contains(&name) || name == "default" && value.is_null();
    schema.retain(|name, value| !is_dropped(name, value));
    if let Some(Value::Array(types)) = schema.get("type") {
        let kind = types.iter().find(|kind| *kind != "null").cloned();
        schema.insert("type".to_owned(), kind.unwrap_or_default());
    }
    // Kubernetes has formats for signed integers only. `minimum` states the bound of Rust's unsigned types.
    let unsigned =
        schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"));
    if unsigned {
        schema.insert("format".to_owned(), json!("int64"));
    }
    for name in ["properties", "items", "additionalProperties"] {
        match (name, schema.remove(name)) {
            ("properties", Some(Value::Object(members))) => {
                let members: Map<_, _> =
                    members.into_iter().map(|(name, schema)| (name, structural(schema))).collect();
                schema.insert(name.to_owned(), Value::Object(members));
            }
            (_, Some(within)) => {
                schema.insert(name.to_owned(), structural(within));
            }
            (_, None) => {}
        }
    }
    if let Some(Value::Array(names)) = schema.get_mut("required") {
        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    Value::Object(schema)
}

/// Replaces alternatives by the one that is not null, or by an enumeration of all their values.
fn chosen(mut schema: Map<String, Value>) -> Map<String, Value> {
    let alternatives = schema.remove("anyOf").or_else(|| schema.remove("oneOf"));
    let Some(Value::Array(alternatives)) = alternatives else {
        return match schema.remove("enum") {
            Some(Value::Array(values)) => enumeration(schema, values),
            _ => schema,
        };
    };
    let mut values = Vec::new();
    for alternative in alternatives {
        let Value::Object(alternative) = alternative else { continue };
        if alternative.get("type").is_some_and(|kind| kind == "null") {
            continue;
        }
        match (alternative.get("const"), alternative.get("enum")) {
            (Some(value), _) => values.push(value.clone()),
            (None, Some(Value::Array(more))) => values.extend(more.iter().cloned()),
            (None, _) => {
                let mut inner = chosen(alternative);
                // The attributes of the member override those of its type.
                inner.extend(schema);
                return inner;
            }
        }
    }
    enumeration(schema, values)
}

fn enumeration(mut schema: Map<String, Value>, values: Vec<Value>) -> Map<String, Value> {
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), values.into_iter().filter(|value| !value.is_null()).collect());
    schema
}
