//! Objects that act on more than their own namespace: roles and bindings, webhooks and what else is asked about requests,
//! volumes, namespaces, and metadata that ties an object to others.

use serde_json::{Value, json};

use super::{Package, Permission, Power, list, text, texts};
use crate::guard::Brought;
use crate::objects::group;
use crate::rights::{is_built_in, resource_of};

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
/// What a volume's specification says besides where its data is.
const NO_SOURCE: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

pub(super) fn powers(brought: &Brought, package: &Package<'_>, powers: &mut Vec<Power>) {
    let object = &brought.value;
    metadata(object, powers);
    match (group(object), text(object, "/kind")) {
        (RBAC, "Role" | "ClusterRole") => role(object, package, powers),
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
            subjects(brought, package, powers);
            bound(object, package, powers);
        }
        (ADMISSION, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            for webhook in list(object, "webhooks") {
                client(&webhook["clientConfig"], package, powers);
                rules(webhook, "rules", powers);
            }
        }
        (ADMISSION, "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
            rules(&object["spec"]["matchConstraints"], "resourceRules", powers);
        }
        (ADMISSION, kind @ ("ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding")) => {
            let policy = text(object, "/spec/policyName");
            let scope = object.pointer("/spec/matchResources").map(Value::to_string).unwrap_or_default();
            powers.push(Power::Webhook { what: format!("{kind}/{policy}"), scope });
        }
        ("apiregistration.k8s.io", "APIService") => {
            let what = format!("apiservice/{}", text(object, "/metadata/name"));
            powers.push(Power::Webhook { what, scope: String::new() });
            client(&json!({ "service": object["spec"]["service"] }), package, powers);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            client(&object["spec"]["conversion"]["webhook"]["clientConfig"], package, powers);
        }
        ("", "PersistentVolume") => volume(&object["spec"], powers),
        ("", "Secret") => token(brought, package, powers),
        ("", "Namespace") => {
            labels(object, "labels", |_| true, powers);
            labels(object, "annotations", |_| true, powers);
        }
        ("", "Service") => {
            for address in texts(&object["spec"], "externalIPs") {
                powers.push(Power::Host(format!("external address {address}")));
            }
        }
        _ => {}
    }
    secrets_of_parameters(object, package, powers);
}

/// What ties an object to others, of whatever kind it is.
fn metadata(object: &Value, powers: &mut Vec<Power>) {
    let metadata = &object["metadata"];
    powers.extend(texts(metadata, "finalizers").map(|name| Power::Finalizer(name.to_owned())));
    for owner in list(metadata, "ownerReferences") {
        powers.push(Power::Owner(format!("{} {:?}", text(owner, "/kind"), text(owner, "/name"))));
    }
}

fn labels(object: &Value, of: &str, counts: impl Fn(&str) -> bool, powers: &mut Vec<Power>) {
    let all = object["metadata"].get(of).and_then(Value::as_object);
    for (key, value) in all.into_iter().flatten().filter(|(key, _)| counts(key)) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        powers.push(Power::Label { key: key.clone(), value });
    }
}

/// What a role grants outside the target namespace, and whom Kubernetes adds it to. A rule that is restricted to objects of
/// the package by their names grants nothing of others.
fn role(role: &Value, package: &Package<'_>, powers: &mut Vec<Power>) {
    labels(role, "labels", |key| key.starts_with("rbac.authorization.k8s.io/aggregate-to-"), powers);
    let place = text(role, "/metadata/namespace");
    if place == package.target {
        return;
    }
    let own = |group: &str, resource: &str, name: &str| {
        let is_it = |object: &Value| {
            crate::objects::group(object) == group
                && text(object, "/metadata/name") == name
                && resource_of(group, text(object, "/kind")).as_deref() == Some(resource)
        };
        package.objects().any(is_it)
    };
    let mut grant = |verb: &str, group: &str, resource: &str, name: Option<&str>| {
        let [place, verb, group, resource] = [place, verb, group, resource].map(str::to_owned);
        let name = name.map(str::to_owned);
        powers.push(Power::Permission(Permission { place, verb, group, resource, name }));
    };
    if let Some(sum) = role.get("aggregationRule").filter(|sum| !sum.is_null()) {
        grant("gather", "", &sum.to_string(), None);
    }
    for rule in list(role, "rules") {
        let names: Vec<_> = texts(rule, "resourceNames").collect();
        for verb in texts(rule, "verbs") {
            for url in texts(rule, "nonResourceURLs") {
                grant(verb, "", url, None);
            }
            for group in texts(rule, "apiGroups") {
                for resource in texts(rule, "resources") {
                    if names.is_empty() {
                        grant(verb, group, resource, None);
                    }
                    for name in names.iter().filter(|name| !own(group, resource, name)) {
                        grant(verb, group, resource, Some(name));
                    }
                }
            }
        }
    }
}

/// A role that does not come along.
fn bound(binding: &Value, package: &Package<'_>, powers: &mut Vec<Power>) {
    let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let namespace = text(binding, "/metadata/namespace");
    let comes_along = |object: &Value| {
        group(object) == RBAC
            && text(object, "/kind") == kind
            && text(object, "/metadata/name") == name
            && (kind != "Role" || text(object, "/metadata/namespace") == namespace)
    };
    if !name.is_empty() && !package.objects().any(comes_along) {
        powers.push(Power::Role(format!("{kind}/{name}")));
    }
}

fn subjects(brought: &Brought, package: &Package<'_>, powers: &mut Vec<Power>) {
    for subject in list(&brought.value, "subjects") {
        let (kind, name, namespace) =
            (text(subject, "/kind"), text(subject, "/name"), text(subject, "/namespace"));
        if kind == "ServiceAccount" && package.has_account(namespace, name, brought.hook.as_ref()) {
            continue;
        }
        let name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        powers.push(Power::Subject(format!("{kind}/{name}")));
    }
}

/// Whom the API server asks.
fn client(config: &Value, package: &Package<'_>, powers: &mut Vec<Power>) {
    let mut see = |what: String| powers.push(Power::Webhook { what, scope: String::new() });
    if let Some(url) = config.get("url").and_then(Value::as_str) {
        see(url.to_owned());
    }
    let namespace = text(config, "/service/namespace");
    if !namespace.is_empty() && !(package.inside)(namespace) {
        see(format!("{namespace}/{}", text(config, "/service/name")));
    }
}

/// What the API server asks about. Which objects of a kind that a chart defines is the chart's own matter.
fn rules(of: &Value, name: &str, powers: &mut Vec<Power>) {
    let scope: serde_json::Map<String, Value> = ["namespaceSelector", "objectSelector", "matchConditions"]
        .into_iter()
        .filter_map(|field| {
            let value = of.get(field)?;
            let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null();
            (!is_empty).then(|| (field.to_owned(), value.clone()))
        })
        .collect();
    for rule in list(of, name) {
        for group in texts(rule, "apiGroups") {
            let counts = (group == "*" || is_built_in(group)) && !scope.is_empty();
            let scope = if counts { Value::Object(scope.clone()).to_string() } else { String::new() };
            for resource in texts(rule, "resources") {
                powers.push(Power::Webhook { what: format!("{group}/{resource}"), scope: scope.clone() });
            }
        }
    }
}

/// Where a volume's data is: on the host, or where others' may be.
fn volume(volume: &Value, powers: &mut Vec<Power>) {
    for (kind, source) in volume.as_object().into_iter().flatten() {
        if NO_SOURCE.contains(&kind.as_str()) || source.is_null() {
            continue;
        }
        let path = text(source, "/path");
        let told = if path.is_empty() || source.get("server").is_some() {
            source.to_string()
        } else {
            path.to_owned()
        };
        powers.push(Power::Host(format!("{kind} {told}")));
    }
}

/// A Secret that Kubernetes fills in with the token of a service account.
fn token(brought: &Brought, package: &Package<'_>, powers: &mut Vec<Power>) {
    let secret = &brought.value;
    if text(secret, "/type") != "kubernetes.io/service-account-token" {
        return;
    }
    let name = text(secret, "/metadata/annotations/kubernetes.io~1service-account.name");
    if !package.has_account(text(secret, "/metadata/namespace"), name, brought.hook.as_ref()) {
        powers.push(Power::ServiceAccount(name.to_owned()));
    }
}

/// The drivers of storage read Secrets in namespaces that a class names.
fn secrets_of_parameters(object: &Value, package: &Package<'_>, powers: &mut Vec<Power>) {
    for (key, value) in object.get("parameters").and_then(Value::as_object).into_iter().flatten() {
        let namespace = value.as_str().unwrap_or_default();
        let is_filled_in = namespace == "${pvc.namespace}";
        if key.ends_with("secret-namespace") && !is_filled_in && !(package.inside)(namespace) {
            powers.push(Power::Host(format!("{key} {namespace}")));
        }
    }
}
