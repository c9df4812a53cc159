//! The differences between two objects, as paths.

use serde_json::Value;

/// The differences between two states of an object, except for fields that change with every write.
pub(crate) fn differences(live: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differ(live, after, String::new(), &mut found);
    let noise = [".metadata.managedFields", ".metadata.resourceVersion", ".metadata.generation"];
    found.retain(|path| !noise.iter().any(|noise| path.starts_with(noise)));
    found
}

fn differ(left: &Value, right: &Value, path: String, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                let other = right.get(key).unwrap_or(&Value::Null);
                differ(value, other, format!("{path}.{key}"), found);
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                differ(&Value::Null, value, format!("{path}.{key}"), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differ(left, right, format!("{path}[{index}]"), found);
            }
        }
        (left, right) if left == right => {}
        _ => found.push(path),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_paths_without_fields_that_always_change() {
        let live = json!({"metadata": {"resourceVersion": "1", "generation": 1, "labels": {"a": "b"}},
            "spec": {"replicas": 1, "ports": [{"port": 80}], "args": ["x"]}});
        let after = json!({"metadata": {"resourceVersion": "2", "generation": 2},
            "spec": {"replicas": 2, "ports": [{"port": 81}], "args": ["x", "y"], "new": true}});
        let expected =
            [".metadata.labels", ".spec.args", ".spec.ports[0].port", ".spec.replicas", ".spec.new"];
        assert_eq!(differences(&live, &after), expected);
        assert!(differences(&live, &live).is_empty());
    }
}
