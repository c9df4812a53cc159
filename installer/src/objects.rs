//! Parses the documents of a rendered chart into objects. The guard, permissions, apply, prune and readiness all use this
//! module, so that only objects that were checked are applied.

use error_class::{Class, Classified};
use serde_json::{Map, Value, json};

/// A document cannot be parsed as objects.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The items of a list are not a list.
    #[error("`items` of the {kind} is not a list")]
    Items {
        /// The kind of the list.
        kind: String,
    },
    /// A document, or an item of a list, is not an object.
    #[error("a document or an item of a list is not an object")]
    NotAnObject,
}

/// The objects of a document, in order. As in Helm (`UnstructuredJSONScheme` of apimachinery), a document with a member
/// `items` is a list regardless of its kind, and lists may contain lists. Items of a typed list inherit its kind.
///
/// # Errors
/// [`Error`]. An empty document has no objects and is not an error.
pub fn flatten(document: Value) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    if document.is_null() || document.as_object().is_some_and(Map::is_empty) {
        return Ok(found);
    }
    // The next object is the last one, so that lists of any depth are parsed without recursion.
    let mut rest = vec![document];
    while let Some(next) = rest.pop() {
        let Value::Object(mut table) = next else { return Err(Error::NotAnObject) };
        let Some(items) = table.remove("items") else {
            found.push(Value::Object(table));
            continue;
        };
        let text = |name: &str| table.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = text("kind");
        let items = match items {
            Value::Null => continue,
            Value::Array(items) => items,
            _ => return Err(Error::Items { kind: kind.to_owned() }),
        };
        let of = kind.strip_suffix("List").unwrap_or(kind);
        let typed = |item| typed(item, of, text("apiVersion"));
        rest.extend(items.into_iter().map(typed).collect::<Vec<_>>().into_iter().rev());
    }
    Ok(found)
}

/// Sets the kind of an item of a typed list, such as `RoleList`, if the item does not repeat it.
fn typed(mut item: Value, kind: &str, api_version: &str) -> Value {
    if let Some(table) = item.as_object_mut() {
        let is_empty = |name: &str| table.get(name).and_then(Value::as_str).unwrap_or_default().is_empty();
        if is_empty("kind") && is_empty("apiVersion") && !kind.is_empty() {
            table.insert("kind".to_owned(), json!(kind));
            table.insert("apiVersion".to_owned(), json!(api_version));
        }
    }
    item
}

/// Changes every object of a document in place, including those in lists. Returns whether any of them changed.
pub(crate) fn change(document: &mut Value, object: &mut impl FnMut(&mut Value) -> bool) -> bool {
    let mut changed = false;
    let mut rest = vec![document];
    while let Some(next) = rest.pop() {
        let is_list = next.get("items").is_some();
        if !is_list {
            changed |= object(next);
            continue;
        }
        let text = |name: &str| next.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (kind, api_version) = (text("kind"), text("apiVersion"));
        let of = kind.strip_suffix("List").unwrap_or(&kind).to_owned();
        for item in next.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            *item = typed(item.take(), &of, &api_version);
            rest.push(item);
        }
    }
    changed
}

/// The API group of an object.
pub(crate) fn group(object: &Value) -> &str {
    text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group)
}

/// The text at a JSON pointer; empty if it is absent.
pub(crate) fn text<'a>(object: &'a Value, at: &str) -> &'a str {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Items { .. } | Self::NotAnObject => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(document: Value) -> Vec<String> {
        let objects = flatten(document).unwrap();
        objects.iter().map(|object| text(object, "/metadata/name").to_owned()).collect()
    }

    fn map(name: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } })
    }

    fn list(kind: &str, items: Vec<Value>) -> Value {
        let mut list = json!({ "apiVersion": "v1", "kind": kind });
        list["items"] = Value::Array(items);
        list
    }

    #[test]
    fn a2b_nested_lists_are_parsed_completely_and_in_order() {
        let inner = list("List", vec![map("b"), list("ConfigMapList", vec![map("c")])]);
        assert_eq!(names(list("List", vec![map("a"), inner, map("d")])), ["a", "b", "c", "d"]);
        assert_eq!(names(map("a")), ["a"]);
        assert!(names(Value::Null).is_empty() && names(json!({})).is_empty());
    }

    #[test]
    fn a2b_every_document_with_items_is_a_list() {
        assert_eq!(names(list("Bundle", vec![map("a")])), ["a"]);
        assert_eq!(names(json!({ "items": [map("a")] })), ["a"]);
        assert!(names(json!({ "kind": "List", "items": null })).is_empty());
    }

    #[test]
    fn a2b_an_item_of_a_typed_list_inherits_its_kind() {
        let bare = json!({ "metadata": { "name": "a" } });
        let found =
            flatten(json!({ "apiVersion": "apps/v1", "kind": "DeploymentList", "items": [bare] })).unwrap();
        assert_eq!((text(&found[0], "/kind"), group(&found[0])), ("Deployment", "apps"));
    }

    #[test]
    fn a2b_an_invalid_list_is_rejected() {
        assert!(matches!(flatten(json!({ "kind": "List", "items": {} })), Err(Error::Items { .. })));
        assert_eq!(flatten(json!({ "kind": "List", "items": ["x"] })), Err(Error::NotAnObject));
        assert_eq!(flatten(json!("x")), Err(Error::NotAnObject));
    }

    #[test]
    fn a2b_lists_can_be_nested_as_deeply_as_documents() {
        let deep = (0..300).fold(map("a"), |inner, _| list("List", vec![inner]));
        assert_eq!(names(deep), ["a"]);
    }

    fn documents() -> impl Strategy<Value = (Value, usize)> {
        let leaf = (0..1000_u32).prop_map(|name| (map(&format!("n{name}")), 1));
        leaf.prop_recursive(6, 64, 5, |inner| {
            (prop::collection::vec(inner, 0..5), "[A-Z][a-z]{1,4}(List)?").prop_map(|(items, kind)| {
                let count = items.iter().map(|(_, count)| count).sum();
                (list(&kind, items.into_iter().map(|(item, _)| item).collect()), count)
            })
        })
    }

    proptest! {
        #[test]
        fn a2b_no_object_is_lost_in_lists((document, count) in documents()) {
            let mut seen = 0;
            let mut copy = document.clone();
            change(&mut copy, &mut |_| { seen += 1; false });
            prop_assert_eq!(seen, count);
            prop_assert_eq!(flatten(document).unwrap().len(), count);
        }
    }
}
