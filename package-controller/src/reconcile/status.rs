//! Writes statuses: only the changes, and only over the resource version that the decision is based on.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Writes a status as a merge patch. Returns the changed object, or `None` if there is nothing to write.
///
/// # Errors
/// A conflict if the object was changed since the decision, which must then be repeated.
pub(super) async fn write<K>(api: &Api<K>, object: &K, old: &Value, new: &Value) -> kube::Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let Some(change) = difference(old, new) else { return Ok(None) };
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or_default();
    let patch = json!({
        "metadata": { "resourceVersion": meta.resource_version, "uid": meta.uid },
        "status": change,
    });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(Some)
}

/// The merge patch (RFC 7386) from `old` to `new`; `None` if they are equal.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, value)| {
        let change = match before.get(key) {
            Some(before) => difference(before, value)?,
            None => value.clone(),
        };
        Some((key.clone(), change))
    });
    let change: Map<_, _> = removed.chain(changed).collect();
    (!change.is_empty()).then_some(Value::Object(change))
}

/// The current time in the format of conditions.
pub(super) fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 7386, section 2.
    fn merge(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = if let Value::Object(target) = target { target } else { Map::new() };
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                let before = target.remove(key).unwrap_or_default();
                target.insert(key.clone(), merge(before, value));
            }
        }
        Value::Object(target)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-c]?".prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn applying_the_difference_to_the_old_value_results_in_the_new_one(old in value(), new in value()) {
            let (old, new) = (json!({ "x": old }), json!({ "x": new }));
            let merged = difference(&old, &new).map_or(old.clone(), |change| merge(old, &change));
            prop_assert_eq!(merged, new);
        }
    }

    #[test]
    fn removed_members_become_null_and_unchanged_ones_are_not_written() {
        let (old, new) = (
            json!({"state": "installing", "detail": "x", "a": {"b": 1}}),
            json!({"state": "installed", "a": {"b": 1}}),
        );
        assert_eq!(difference(&old, &new), Some(json!({"state": "installed", "detail": null})));
        assert_eq!(difference(&new, &new), None);
    }
}
