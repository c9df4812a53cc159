//! Objects that affect more than their own namespace: roles and bindings, webhooks and other receivers of requests,
//! volumes, namespaces, and metadata that connects an object to others.

use serde_json::{Value, json};

use super::{Package, Permission, Privilege, list, text, texts};
use crate::guard::ChartObject;
use crate::objects::group;
use crate::rights::{is_built_in, resource_of};

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
/// The fields of a volume's specification that do not state the location of its data.
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

pub(super) fn privileges(chart_object: &ChartObject, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    let object = &chart_object.value;
    metadata(object, privileges);
    match (group(object), text(object, "/kind")) {
        (RBAC, "Role" | "ClusterRole") => role(object, package, privileges),
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
            subjects(chart_object, package, privileges);
            bound(object, package, privileges);
        }
        (ADMISSION, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            for webhook in list(object, "webhooks") {
                client(&webhook["clientConfig"], package, privileges);
                rules(webhook, "rules", privileges);
            }
        }
        (ADMISSION, "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
            rules(&object["spec"]["matchConstraints"], "resourceRules", privileges);
        }
        (ADMISSION, kind @ ("ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding")) => {
            let policy = text(object, "/spec/policyName");
            let scope = object.pointer("/spec/matchResources").map(Value::to_string).unwrap_or_default();
            privileges.push(Privilege::Webhook { what: format!("{kind}/{policy}"), scope });
        }
        ("apiregistration.k8s.io", "APIService") => {
            let what = format!("apiservice/{}", text(object, "/metadata/name"));
            privileges.push(Privilege::Webhook { what, scope: String::new() });
            client(&json!({ "service": object["spec"]["service"] }), package, privileges);
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            client(&object["spec"]["conversion"]["webhook"]["clientConfig"], package, privileges);
        }
        ("", "PersistentVolume") => volume(&object["spec"], privileges),
        ("", "Secret") => token(chart_object, package, privileges),
        ("", "Namespace") => {
            labels(object, "labels", |_| true, privileges);
            labels(object, "annotations", |_| true, privileges);
        }
        ("", "Service") => {
            for address in texts(&object["spec"], "externalIPs") {
                privileges.push(Privilege::Host(format!("external address {address}")));
            }
        }
        _ => {}
    }
    secrets_of_parameters(object, package, privileges);
}

/// Metadata that connects an object to others, for any kind.
fn metadata(object: &Value, privileges: &mut Vec<Privilege>) {
    let metadata = &object["metadata"];
    privileges.extend(texts(metadata, "finalizers").map(|name| Privilege::Finalizer(name.to_owned())));
    for owner in list(metadata, "ownerReferences") {
        privileges.push(Privilege::Owner(format!("{} {:?}", text(owner, "/kind"), text(owner, "/name"))));
    }
}

fn labels(object: &Value, of: &str, counts: impl Fn(&str) -> bool, privileges: &mut Vec<Privilege>) {
    let all = object["metadata"].get(of).and_then(Value::as_object);
    for (key, value) in all.into_iter().flatten().filter(|(key, _)| counts(key)) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        privileges.push(Privilege::Label { key: key.clone(), value });
    }
}

/// The permissions that a role grants outside of the target namespace, and the roles that Kubernetes aggregates it into. A
/// rule that is restricted to names of the package's objects does not affect others.
fn role(role: &Value, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    labels(role, "labels", |key| key.starts_with("rbac.authorization.k8s.io/aggregate-to-"), privileges);
    let namespace = text(role, "/metadata/namespace");
    if namespace == package.target {
        return;
    }
    let own = |group: &str, resource: &str, name: &str| {
        let matches = |object: &Value| {
            crate::objects::group(object) == group
                && text(object, "/metadata/name") == name
                && resource_of(group, text(object, "/kind")).as_deref() == Some(resource)
        };
        package.objects().any(matches)
    };
    let mut grant = |verb: &str, group: &str, resource: &str, name: Option<&str>| {
        let [namespace, verb, group, resource] = [namespace, verb, group, resource].map(str::to_owned);
        let name = name.map(str::to_owned);
        privileges.push(Privilege::Permission(Permission { namespace, verb, group, resource, name }));
    };
    if let Some(rule) = role.get("aggregationRule").filter(|rule| !rule.is_null()) {
        grant("aggregate", "", &rule.to_string(), None);
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

/// A bound role that is not among the package's objects.
fn bound(binding: &Value, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let namespace = text(binding, "/metadata/namespace");
    let is_own = |object: &Value| {
        group(object) == RBAC
            && text(object, "/kind") == kind
            && text(object, "/metadata/name") == name
            && (kind != "Role" || text(object, "/metadata/namespace") == namespace)
    };
    if !name.is_empty() && !package.objects().any(is_own) {
        privileges.push(Privilege::Role(format!("{kind}/{name}")));
    }
}

fn subjects(chart_object: &ChartObject, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    for subject in list(&chart_object.value, "subjects") {
        let (kind, name, namespace) =
            (text(subject, "/kind"), text(subject, "/name"), text(subject, "/namespace"));
        if kind == "ServiceAccount" && package.has_account(namespace, name, chart_object.hook.as_ref()) {
            continue;
        }
        let name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        privileges.push(Privilege::Subject(format!("{kind}/{name}")));
    }
}

/// The receiver of the API server's requests.
fn client(config: &Value, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    let mut receive = |what: String| privileges.push(Privilege::Webhook { what, scope: String::new() });
    if let Some(url) = config.get("url").and_then(Value::as_str) {
        receive(url.to_owned());
    }
    let namespace = text(config, "/service/namespace");
    if !namespace.is_empty() && !(package.inside)(namespace) {
        receive(format!("{namespace}/{}", text(config, "/service/name")));
    }
}

/// The resources of the requests. The selection of objects counts only for built-in kinds, not for kinds of the chart's
/// own CRDs.
fn rules(of: &Value, name: &str, privileges: &mut Vec<Privilege>) {
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
                privileges
                    .push(Privilege::Webhook { what: format!("{group}/{resource}"), scope: scope.clone() });
            }
        }
    }
}

/// The location of a volume's data, on the host or in shared storage.
fn volume(volume: &Value, privileges: &mut Vec<Privilege>) {
    for (kind, source) in volume.as_object().into_iter().flatten() {
        if NO_SOURCE.contains(&kind.as_str()) || source.is_null() {
            continue;
        }
        let path = text(source, "/path");
        let location = if path.is_empty() || source.get("server").is_some() {
            source.to_string()
        } else {
            path.to_owned()
        };
        privileges.push(Privilege::Host(format!("{kind} {location}")));
    }
}

/// A Secret for which Kubernetes generates the token of a service account.
fn token(chart_object: &ChartObject, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    let secret = &chart_object.value;
    if text(secret, "/type") != "kubernetes.io/service-account-token" {
        return;
    }
    let name = text(secret, "/metadata/annotations/kubernetes.io~1service-account.name");
    if !package.has_account(text(secret, "/metadata/namespace"), name, chart_object.hook.as_ref()) {
        privileges.push(Privilege::ServiceAccount(name.to_owned()));
    }
}

/// Storage drivers read Secrets in the namespaces that a class states.
fn secrets_of_parameters(object: &Value, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    for (key, value) in object.get("parameters").and_then(Value::as_object).into_iter().flatten() {
        let namespace = value.as_str().unwrap_or_default();
        let is_filled_in = namespace == "${pvc.namespace}";
        if key.ends_with("secret-namespace") && !is_filled_in && !(package.inside)(namespace) {
            privileges.push(Privilege::Host(format!("{key} {namespace}")));
        }
    }
}
