//! Objects of a manifest: their identity, their release, and Helm's annotations.

use std::fmt;

use helm::{Manifest, Order};
use serde_json::{Map, Value, json};

use crate::annotations::RELEASE_NAME;
use crate::error::Error;
use crate::objects;

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const HELM: &str = "Helm";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";
const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
const KEEP: &str = "keep";

/// Identifies an object. All versions of a group have the same objects, so the version is not part of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// An object to apply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// The object as in the manifest, until [`Object::own`] is called.
    pub(crate) value: Value,
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// The namespace; empty for cluster-scoped objects.
    pub(crate) namespace: String,
}

/// The release that objects belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub(crate) release: &'a str,
    pub(crate) namespace: &'a str,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, kind, namespace, name } = self;
        write!(f, "{kind}.{group}/{namespace}/{name}")
    }
}

impl Object {
    /// Parses an object of a document. If it has no namespace, it gets `namespace`. The cluster determines later whether its
    /// kind is namespaced.
    pub(crate) fn new(value: Value, namespace: &str) -> Result<Self, Error> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata = value.get("metadata");
        let api_version = text(value.get("apiVersion"));
        let kind = text(value.get("kind"));
        let name = text(metadata.and_then(|metadata| metadata.get("name")));
        let own = text(metadata.and_then(|metadata| metadata.get("namespace")));
        for (what, found) in [("apiVersion", &api_version), ("kind", &kind), ("metadata.name", &name)] {
            if found.is_empty() {
                let reason = format!("{kind} {name} has no {what}");
                return Err(Error::Document { reason });
            }
        }
        let namespace = if own.is_empty() { namespace.to_owned() } else { own };
        Ok(Self { value, api_version, kind, name, namespace })
    }

    pub(crate) fn key(&self) -> Key {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        Key {
            group: group.to_owned(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Adds the release's label and annotations, as Helm does. The rules of an aggregated role are removed, as Kubernetes
    /// overwrites them.
    pub(crate) fn own(&mut self, owner: Owner<'_>) {
        if self.value.get("aggregationRule").is_some_and(Value::is_object)
            && let Some(role) = self.value.as_object_mut()
        {
            role.remove("rules");
        }
        let Some(metadata) = self.value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        put(metadata, "labels", MANAGED_BY, HELM);
        put(metadata, "annotations", RELEASE_NAME, owner.release);
        put(metadata, "annotations", RELEASE_NAMESPACE, owner.namespace);
    }

    /// Adds an annotation to the object.
    pub(crate) fn annotate(&mut self, name: &str, value: &str) {
        if let Some(metadata) = self.value.get_mut("metadata").and_then(Value::as_object_mut) {
            put(metadata, "annotations", name, value);
        }
    }

    /// Whether the object stays after its release is uninstalled.
    pub(crate) fn is_kept(&self) -> bool {
        is_kept(&self.value)
    }

    pub(crate) fn is_definition(&self) -> bool {
        self.kind == "CustomResourceDefinition" && self.api_version.starts_with("apiextensions.k8s.io/")
    }
}

/// Whether an object is a Job that Kubernetes deletes some time after it finished.
pub(crate) fn is_deleted_when_finished(object: &Value) -> bool {
    let is_job = object.get("kind").is_some_and(|kind| kind == "Job") && objects::group(object) == "batch";
    is_job && object.pointer("/spec/ttlSecondsAfterFinished").is_some_and(Value::is_number)
}

/// Whether an object has the annotation to stay after its release is uninstalled.
pub(crate) fn is_kept(object: &Value) -> bool {
    annotation(object, RESOURCE_POLICY).is_some_and(|policy| policy.trim().eq_ignore_ascii_case(KEEP))
}

/// Sets an entry of the map `name`, which is created if it is absent or null.
fn put(metadata: &mut Map<String, Value>, name: &str, key: &str, value: &str) {
    let entry = metadata.entry(name).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    if let Some(table) = entry.as_object_mut() {
        table.insert(key.to_owned(), json!(value));
    }
}

pub(crate) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

/// Whether an object in the cluster belongs to the release; if not, the reason. Uses Helm's label and annotations, and
/// its texts.
pub(crate) fn belongs(live: &Value, owner: Owner<'_>) -> Result<(), String> {
    let label = live.get("metadata").and_then(|metadata| metadata.get("labels")?.get(MANAGED_BY)?.as_str());
    let metadata = [
        ("label", MANAGED_BY, label, HELM),
        ("annotation", RELEASE_NAME, annotation(live, RELEASE_NAME), owner.release),
        ("annotation", RELEASE_NAMESPACE, annotation(live, RELEASE_NAMESPACE), owner.namespace),
    ];
    let wrong = metadata.iter().filter_map(|(what, key, found, wanted)| match found {
        Some(found) if found == wanted => None,
        Some(found) => Some(format!("{what} `{key}` is `{found}` and must be `{wanted}`")),
        None => Some(format!("{what} `{key}` is missing and must be `{wanted}`")),
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

/// The objects of a manifest in its order, with lists expanded.
pub(crate) fn read(manifest: &str, namespace: &str) -> Result<Vec<Object>, Error> {
    read_in(None, manifest, namespace)
}

/// The objects of a manifest in Helm's order for uninstalling them.
pub(crate) fn read_to_remove(manifest: &str, namespace: &str) -> Result<Vec<Object>, Error> {
    read_in(Some(Order::Uninstall), manifest, namespace)
}

fn read_in(order: Option<Order>, manifest: &str, namespace: &str) -> Result<Vec<Object>, Error> {
    let mut documents = Manifest::parse_all(manifest, &helm::Limits::default())?;
    if let Some(order) = order {
        order.apply(&mut documents);
    }
    let mut objects = Vec::new();
    for document in documents {
        flatten(parse(&document.content)?, namespace, &mut objects)?;
    }
    Ok(objects)
}

/// The objects of a hook, which may be a list.
pub(crate) fn read_hook(document: &str, namespace: &str) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    flatten(parse(document)?, namespace, &mut objects)?;
    Ok(objects)
}

/// The object of one document.
pub(crate) fn parse(document: &str) -> Result<Value, Error> {
    gostd::yaml::parse(document, &gostd::Limits::default())
        .map_err(|error| Error::Document { reason: error.to_string() })
}

fn flatten(document: Value, namespace: &str, into: &mut Vec<Object>) -> Result<(), Error> {
    let found = objects::flatten(document).map_err(|error| Error::Document { reason: error.to_string() })?;
    for object in found {
        into.push(Object::new(object, namespace)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner<'_> = Owner { release: "web", namespace: "shop" };

    #[test]
    fn documents_and_items_of_lists_are_parsed_in_order() {
        let manifest = "---\n# Source: a\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# only words\n\
            ---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b, namespace: x}}\n\
            - {apiVersion: apps/v1, kind: Deployment, metadata: {name: c}}\n";
        let objects = read(manifest, "shop").unwrap();
        let names: Vec<_> = objects.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ConfigMap shop/a", "Secret x/b", "Deployment shop/c"]);
        assert_eq!(objects[2].key().group, "apps");
    }

    #[test]
    fn an_object_without_a_name_is_rejected() {
        let error = read("apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\n", "shop").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a document of the manifest is not an object: Pod  has no metadata.name"
        );
    }

    #[test]
    fn an_object_with_the_annotations_belongs_to_its_release_and_to_no_other() {
        let plain =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": null}});
        let mut object = Object::new(plain.clone(), "shop").unwrap();
        assert!(belongs(&plain, OWNER).unwrap_err().contains("is missing and must be `Helm`"));
        object.own(OWNER);
        assert_eq!(belongs(&object.value, OWNER), Ok(()));
        let other = Owner { release: "other", ..OWNER };
        let reason = belongs(&object.value, other).unwrap_err();
        assert_eq!(reason, "annotation `meta.helm.sh/release-name` is `web` and must be `other`");
    }

    #[test]
    fn rules_of_aggregated_roles_are_removed() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "a"}, "aggregationRule": {}, "rules": []});
        let mut object = Object::new(role, "").unwrap();
        object.own(OWNER);
        assert_eq!(object.value.get("rules"), None);
    }

    #[test]
    fn objects_with_the_resource_policy_keep_are_kept() {
        let kept = |policy: &str| {
            is_kept(&json!({"metadata": {"annotations": {"helm.sh/resource-policy": policy}}}))
        };
        assert!(kept("keep") && kept(" Keep "));
        assert!(!kept("delete") && !is_kept(&json!({"metadata": {}})));
    }
}
