//! The fields that one schema keeps and another one would prune.
//!
//! Source: Kubernetes prunes fields that a structural schema does not specify, unless it sets
//! `x-kubernetes-preserve-unknown-fields` or allows additional properties.

use serde_json::{Value, json};

const ANY: &str = "x-kubernetes-preserve-unknown-fields";
/// Fields that every object has, regardless of the schema.
const IMPLICIT: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The versions and fields that the CRD `live` keeps and `new` would prune, as paths.
pub(crate) fn pruned_fields(live: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    // As in CRDs from before Kubernetes 1.16: nothing is pruned.
    let keeps =
        |definition: &Value| definition.get("spec").is_some_and(|spec| is_set(spec, "preserveUnknownFields"));
    if keeps(live) && !keeps(new) {
        found.push("all fields that its schema does not specify".to_owned());
    }
    for version in versions(live) {
        let name = name(version);
        match versions(new).find(|new| self::name(new) == name) {
            Some(new) => {
                let (old, new) = (schema(version), schema(new));
                walk(old, new, name, &mut found);
            }
            None => found.push(format!("version {name}")),
        }
    }
    found
}

fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten()
}

fn name(version: &Value) -> &str {
    version.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn schema(version: &Value) -> &Value {
    version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null)
}

fn walk(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    let (old_more, new_more) = (more(old), more(new));
    for (name, old) in properties(old) {
        let inner = format!("{path}.{name}");
        match (new.get("properties").and_then(|properties| properties.get(name)), new_more) {
            (Some(new), _) => walk(old, new, &inner, found),
            // If `additionalProperties` applies instead, the field is kept, but its content may not be.
            (None, Some(more)) => walk(old, more, &inner, found),
            (None, None) if keeps_all(new) || is_implicit(path, name) => {}
            (None, None) => found.push(inner),
        }
    }
    match (old_more, new_more) {
        (Some(old), Some(new)) => walk(old, new, &format!("{path}.*"), found),
        (Some(_), None) if !keeps_all(new) => found.push(format!("{path}.*")),
        _ => {}
    }
    if keeps_all(old) && !keeps_all(new) && !is_leaf(new) {
        found.push(format!("{path}.*"));
    }
    // To fields that only the new schema specifies, the old one applied its rule for unknown fields.
    let held = if keeps_all(old) { Some(old) } else { old_more };
    let known = |name: &str| old.get("properties").is_some_and(|properties| properties.get(name).is_some());
    for (name, new) in properties(new).filter(|(name, _)| !known(name)) {
        if let Some(held) = held {
            let any = json!({ (ANY): true });
            walk(if keeps_all(old) { &any } else { held }, new, &format!("{path}.{name}"), found);
        }
    }
    match (old.get("items"), new.get("items")) {
        (Some(old), Some(new)) => walk(old, new, &format!("{path}[]"), found),
        (Some(_), None) if !keeps_all(new) => found.push(format!("{path}[]")),
        _ => {}
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Whether a schema keeps all fields that it does not specify.
fn keeps_all(schema: &Value) -> bool {
    is_set(schema, ANY) && more(schema).is_none()
}

/// Whether a schema is of a scalar type, which has no fields to prune.
fn is_leaf(schema: &Value) -> bool {
    let kind = schema.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| !matches!(kind, "object" | "array"))
}

/// The schema of fields that are not specified, if such fields are allowed.
fn more(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|more| **more != Value::Bool(false))
}

fn is_set(schema: &Value, flag: &str) -> bool {
    schema.get(flag) == Some(&Value::Bool(true))
}

/// The path of a whole object is the name of the version, which has no dots.
fn is_implicit(path: &str, name: &str) -> bool {
    !path.contains(['.', '[']) && IMPLICIT.contains(&name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn definition(schema: &Value) -> Value {
        json!({"spec": {"versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": schema}}]}})
    }

    fn between(old: &Value, new: &Value) -> Vec<String> {
        pruned_fields(&definition(old), &definition(new))
    }

    #[test]
    fn h1_fields_that_an_older_schema_would_prune_are_listed() {
        let text = json!({"type": "string"});
        let of = |properties: &Value| json!({"type": "object", "properties": properties});
        let (one, two) = (json!({"a": text}), json!({"a": text, "b": text}));
        assert_eq!(between(&of(&two), &of(&one)), ["v1.b"]);
        assert_eq!(between(&of(&one), &of(&two)), Vec::<String>::new());
        let spec = |properties: &Value| of(&json!({"spec": of(properties), "metadata": {"type": "object"}}));
        assert_eq!(between(&spec(&two), &of(&json!({"spec": of(&one)}))), ["v1.spec.b"]);
        let list = |of: &Value| json!({"type": "array", "items": of});
        assert_eq!(between(&list(&of(&two)), &list(&of(&one))), ["v1[].b"]);
        let map = |of: &Value| json!({"type": "object", "additionalProperties": of});
        assert_eq!(between(&map(&of(&two)), &map(&of(&one))), ["v1.*.b"]);
        assert_eq!(between(&map(&text), &of(&one)), ["v1.*"]);
        assert_eq!(between(&of(&two), &map(&text)), Vec::<String>::new());
    }

    #[test]
    fn h1_a_schema_that_preserves_unknown_fields_prunes_none() {
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let some = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        assert_eq!(between(&some, &any), Vec::<String>::new());
        assert_eq!(between(&any, &some), ["v1.*"]);
        assert_eq!(between(&any, &any), Vec::<String>::new());
    }

    #[test]
    fn h1_a_crd_that_never_pruned_does_not_start_to() {
        let text = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let mut live = definition(&text);
        live["spec"]["preserveUnknownFields"] = json!(true);
        assert_eq!(pruned_fields(&live, &definition(&text)), ["all fields that its schema does not specify"]);
        assert_eq!(pruned_fields(&live, &live), Vec::<String>::new());
        assert_eq!(pruned_fields(&definition(&text), &live), Vec::<String>::new());
    }

    #[test]
    fn h1_a_removed_version_is_listed() {
        let mut live = definition(&json!({}));
        live["spec"]["versions"].as_array_mut().unwrap().push(json!({"name": "v2"}));
        assert_eq!(pruned_fields(&live, &definition(&json!({}))), ["version v2"]);
    }

    /// Prunes an object by a schema, as Kubernetes does.
    fn prune(object: &Value, schema: &Value) -> Value {
        let keeps = is_set(schema, "x-kubernetes-preserve-unknown-fields");
        match object {
            Value::Object(fields) => {
                let kept = fields.iter().filter_map(|(name, value)| {
                    let known = schema.get("properties").and_then(|known| known.get(name));
                    match known.or_else(|| more(schema)) {
                        Some(schema) => Some((name.clone(), prune(value, schema))),
                        None => keeps.then(|| (name.clone(), value.clone())),
                    }
                });
                Value::Object(kept.collect())
            }
            Value::Array(items) => match schema.get("items") {
                Some(schema) => items.iter().map(|item| prune(item, schema)).collect(),
                None => object.clone(),
            },
            other => other.clone(),
        }
    }

    fn schemas() -> impl Strategy<Value = Value> {
        let leaf = Just(json!({"type": "string"}));
        leaf.prop_recursive(3, 24, 3, |inner| {
            let properties = prop::collection::btree_map("[a-c]", inner.clone(), 0..3);
            prop_oneof![
                (properties, any::<bool>()).prop_map(|(properties, keeps)| {
                    let mut schema = json!({"type": "object", "properties": properties});
                    if keeps {
                        schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
                    }
                    schema
                }),
                inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
                inner.prop_map(|more| json!({"type": "object", "additionalProperties": more})),
            ]
        })
    }

    /// An object with every field that a schema specifies, and with additional ones if it allows them.
    fn full(schema: &Value) -> Value {
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => {
                let mut fields = serde_json::Map::new();
                if is_set(schema, "x-kubernetes-preserve-unknown-fields") {
                    fields.insert("other".to_owned(), json!({"deep": {"er": "x"}}));
                }
                if let Some(more) = more(schema) {
                    fields.extend(["a", "other"].map(|name| (name.to_owned(), full(more))));
                }
                let known = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
                fields.extend(known.map(|(name, schema)| (name.clone(), full(schema))));
                Value::Object(fields)
            }
            Some("array") => json!([full(schema.get("items").unwrap_or(&Value::Null))]),
            _ => json!("x"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn h1_a_schema_without_listed_fields_prunes_nothing(old in schemas(), new in schemas()) {
            let object = json!({"x": full(&old)});
            let of = |schema: &Value| json!({"type": "object", "properties": {"x": schema}});
            let after = prune(&object, &of(&new));
            // A field that changed its type is rejected by validation and not pruned.
            if fits(&object, &of(&new)) && between(&of(&old), &of(&new)).is_empty() {
                prop_assert_eq!(after, object);
            }
            prop_assert_eq!(between(&of(&old), &of(&old)), Vec::<String>::new());
        }
    }

    /// Whether the fields of an object have the types in a schema.
    fn fits(object: &Value, schema: &Value) -> bool {
        let kind = schema.get("type").and_then(Value::as_str);
        match object {
            Value::Object(fields) => {
                kind.is_none_or(|kind| kind == "object")
                    && fields.iter().all(|(name, value)| {
                        let known = schema.get("properties").and_then(|known| known.get(name));
                        known.or_else(|| more(schema)).is_none_or(|schema| fits(value, schema))
                    })
            }
            Value::Array(items) => {
                kind.is_none_or(|kind| kind == "array")
                    && schema.get("items").is_none_or(|schema| items.iter().all(|item| fits(item, schema)))
            }
            _ => kind.is_none_or(|kind| kind == "string"),
        }
    }
}
