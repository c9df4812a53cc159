//! Transfers the ownership of fields from Helm to this engine, so that server-side apply can change and remove them.
//!
//! Source: `util/csaupgrade` of client-go, which does the same between kubectl's client-side and server-side apply. Only
//! objects with the release's labels and annotations are taken over.

use serde_json::{Map, Value, json};

/// Field managers that may have installed the same releases: Helm's own, and EKS Anywhere's controller.
const PREDECESSORS: [&str; 2] = ["helm", "package-manager"];

/// The JSON patch that transfers the predecessors' fields to `manager`; `None` if they own no fields. The API server
/// rejects it if the object changes in the meantime.
pub(crate) fn patch(live: &Value, manager: &str) -> Option<Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let version = live.pointer("/metadata/resourceVersion")?;
    let is_old =
        |entry: &Value| of(entry, "subresource").is_empty() && PREDECESSORS.contains(&of(entry, "manager"));
    if !entries.iter().any(is_old) {
        return None;
    }
    let mut fields = json!({});
    let mut others = Vec::new();
    for entry in entries {
        if is_old(entry) || is_ours(entry, manager) {
            merge(&mut fields, entry.get("fieldsV1").unwrap_or(&Value::Null));
        } else {
            others.push(entry.clone());
        }
    }
    others.push(json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": live.get("apiVersion"),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }));
    Some(json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": others },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": version },
    ]))
}

/// Whether `manager` has applied the object before.
pub(crate) fn is_managed(live: &Value, manager: &str) -> bool {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    entries.into_iter().flatten().any(|entry| is_ours(entry, manager))
}

fn is_ours(entry: &Value, manager: &str) -> bool {
    of(entry, "manager") == manager
        && of(entry, "operation") == "Apply"
        && of(entry, "subresource").is_empty()
}

fn of<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Merges two sets of fields, which are trees.
fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (key, value) in from {
        merge(into.entry(key).or_insert_with(|| Value::Object(Map::new())), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(entries: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "metadata": {"resourceVersion": "7", "managedFields": entries}})
    }

    #[test]
    fn fields_of_helm_are_transferred_and_fields_of_others_are_kept() {
        let status = json!({"manager": "helm", "operation": "Update", "subresource": "status", "fieldsV1": {"f:s": {}}});
        let kubectl = json!({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:k": {}}});
        let live = live(&json!([
            {"manager": "helm", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "airlock", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {}}}},
            status, kubectl]));
        let patch = patch(&live, "airlock").unwrap();
        let ours = json!({"manager": "airlock", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}});
        assert_eq!(patch[0]["value"], json!([status, kubectl, ours]));
        assert_eq!(patch[1]["value"], "7");
        assert!(is_managed(&live, "airlock") && !is_managed(&live, "kubectl"));
    }

    #[test]
    fn objects_without_fields_of_helm_are_not_changed() {
        assert_eq!(patch(&live(&json!([{"manager": "kubectl", "operation": "Update"}])), "airlock"), None);
        assert_eq!(patch(&json!({"metadata": {}}), "airlock"), None);
    }
}
