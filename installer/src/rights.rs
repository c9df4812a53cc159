//! The permissions for installing charts.
//!
//! EKS Anywhere's controller has all permissions. Here the rules are derived from the rendered packages: the kind and name
//! of each object, and nothing else. In Kubernetes, no one can grant permissions that they do not have, so installing a
//! chart with a role would require the verbs `escalate` and `bind`, which are equivalent to all permissions. So the
//! controller has neither: it has the permissions in the charts' own roles. A role that a chart binds but does not contain
//! can be bound by its name only. Permissions that cannot be expressed in this way are reported as [`Excess`] and not
//! granted: a person must decide on them.
//!
//! A rule applies to the namespace of its object. Only rules for cluster-scoped objects apply to the whole cluster.
//!
//! `manifests -> rules by namespace`

mod plural;
mod wide;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use self::plural::plural;
pub(crate) use self::plural::{is_built_in, resource_of};
use crate::objects::{group, text};

const RBAC: &str = "rbac.authorization.k8s.io";
/// Kubernetes' own roles that charts may bind, because they cannot change anything. Other ones belong to its controllers,
/// some of which can grant permissions that they do not have.
const HARMLESS: [&str; 6] = [
    "system:auth-delegator",
    "system:basic-user",
    "system:discovery",
    "system:monitoring",
    "system:public-info-viewer",
    "system:service-account-issuer-discovery",
];
/// The verbs for an object of a chart. Applying requires `patch`, and `create` if the object does not exist.
const WRITE: [&str; 4] = ["create", "delete", "get", "patch"];

/// The derived rules, and the permissions that they do not include.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// The rules for the whole cluster: for cluster-scoped objects, and permissions that charts grant in the whole cluster.
    pub rules: Vec<PolicyRule>,
    /// The rules by namespace.
    pub namespaces: BTreeMap<String, Vec<PolicyRule>>,
    /// Permissions that charts need and that are not granted.
    pub excess: Vec<Excess>,
    /// Far-reaching permissions that are granted.
    pub wide: Vec<Excess>,
}

/// A permission that a chart needs, and on which a person must decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excess {
    /// The object, as `Kind/name`.
    pub object: String,
    /// The reason.
    pub reason: String,
}

/// Derives the permissions for the objects of rendered manifests, including hooks and CRDs. The rule for an object with a
/// namespace applies to that namespace only.
#[must_use]
pub fn derive<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Derived {
    let objects: Vec<&Value> = objects.into_iter().collect();
    let defined = plural::defined(&objects);
    let mut collector = RuleCollector::default();
    for object in &objects {
        collector.add(object, &objects, &defined);
    }
    collector.into_derived()
}

/// Collects rules by namespace, where the empty one is the whole cluster: object names by group and resource, and rules
/// that the controller needs because charts grant them.
#[derive(Default)]
struct RuleCollector {
    names: BTreeMap<ResourceKey, BTreeSet<String>>,
    held: BTreeMap<String, Vec<PolicyRule>>,
    bound: BTreeMap<(String, &'static str), BTreeSet<String>>,
    excess: BTreeSet<Excess>,
    wide: BTreeSet<Excess>,
}

/// Namespace, group and resource.
type ResourceKey = (String, String, String);

impl RuleCollector {
    fn add(&mut self, object: &Value, all: &[&Value], defined: &plural::Defined) {
        let (group, kind) = (group(object), text(object, "/kind"));
        let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
        if kind.is_empty() {
            return;
        }
        let shown = format!("{kind}/{name}");
        match plural(group, kind, defined) {
            Some(resource) if !name.is_empty() => {
                let key = (namespace.to_owned(), group.to_owned(), resource);
                self.names.entry(key).or_default().insert(name.to_owned());
            }
            Some(_) => {
                self.exceed(
                    &shown,
                    "it has no name, so permissions for all objects of its kind would be needed",
                );
            }
            None => self.exceed(&shown, "the plural of its kind is not known"),
        }
        let defines = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
        if group == "apiextensions.k8s.io" && !is_built_in(defines.0) && !defines.1.is_empty() {
            // The CRD is deleted only if no other release has objects of the kind.
            let list = rule(&[defines.0], &[defines.1], &[], &["list"]);
            self.held.entry(String::new()).or_default().push(list);
        }
        if group == RBAC {
            match kind {
                "Role" | "ClusterRole" => self.hold(object, namespace, &shown),
                "RoleBinding" | "ClusterRoleBinding" => self.bind(object, namespace, all),
                _ => {}
            }
        }
    }

    /// Creating a role requires the permissions that it grants, in the same namespace.
    fn hold(&mut self, role: &Value, namespace: &str, shown: &str) {
        if role.pointer("/aggregationRule").is_some_and(|rule| !rule.is_null()) {
            self.exceed(shown, "it aggregates other roles, and only a cluster-admin can create such a role");
        }
        let rules = role.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for value in rules {
            match serde_json::from_value::<PolicyRule>(value.clone()) {
                Ok(granted) if is_boundless(&granted) => {
                    self.exceed(shown, "it grants unrestricted permissions, or the permission to escalate");
                }
                Ok(granted) => {
                    for reason in wide::reasons(&granted, namespace) {
                        self.wide.insert(Excess { object: shown.to_owned(), reason });
                    }
                    self.held.entry(namespace.to_owned()).or_default().push(granted);
                }
                Err(_) => self.exceed(shown, "it has an invalid rule"),
            }
        }
    }

    /// The permissions of a role in the chart are already collected. Another role can be bound by its name, in the namespace of
    /// the binding.
    fn bind(&mut self, binding: &Value, namespace: &str, all: &[&Value]) {
        let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        let is_in_chart = |object: &&&Value| {
            let same = text(object, "/kind") == kind && text(object, "/metadata/name") == name;
            let same_namespace = kind != "Role" || text(object, "/metadata/namespace") == namespace;
            group(object) == RBAC && same && same_namespace
        };
        if all.iter().any(|object| is_in_chart(&object)) {
            return;
        }
        let shown = format!("{}/{}", text(binding, "/kind"), text(binding, "/metadata/name"));
        let is_reserved = kind == "ClusterRole" && name.starts_with("system:") && !HARMLESS.contains(&name);
        if is_reserved || ["admin", "cluster-admin", "edit"].contains(&name) {
            return self.exceed(&shown, &format!("it grants the role {name}"));
        }
        let resource = if kind == "Role" { "roles" } else { "clusterroles" };
        self.bound.entry((namespace.to_owned(), resource)).or_default().insert(name.to_owned());
    }

    fn exceed(&mut self, object: &str, reason: &str) {
        self.excess.insert(Excess { object: object.to_owned(), reason: reason.to_owned() });
    }

    fn into_derived(self) -> Derived {
        let mut all: BTreeMap<String, Vec<PolicyRule>> = BTreeMap::new();
        for ((namespace, group, resource), names) in &self.names {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let rule = rule(&[group], &[resource], &names, &WRITE);
            all.entry(namespace.clone()).or_default().push(rule);
        }
        for ((namespace, resource), names) in &self.bound {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let rule = rule(&[RBAC], &[resource], &names, &["bind"]);
            all.entry(namespace.clone()).or_default().push(rule);
        }
        for (namespace, held) in self.held {
            let rules = all.entry(namespace).or_default();
            for held in held {
                if !rules.contains(&held) {
                    rules.push(held);
                }
            }
        }
        let rules = all.remove("").unwrap_or_default();
        let (excess, wide) = (self.excess.into_iter().collect(), self.wide.into_iter().collect());
        Derived { rules, namespaces: all, excess, wide }
    }
}

/// Whether a rule is equivalent to all permissions: with write access to every kind, pods can be run with any service
/// account.
fn is_boundless(rule: &PolicyRule) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|text| text == wanted);
    let any = has(&rule.api_groups, "*") && has(&rule.resources, "*");
    let grants = (has(&rule.api_groups, RBAC) || has(&rule.api_groups, "*"))
        && ["escalate", "bind", "*"].iter().any(|verb| rule.verbs.iter().any(|given| given == verb));
    let impersonates = rule.verbs.iter().any(|verb| verb == "impersonate");
    let writes = |verb: &String| ["*", "create", "patch", "update"].contains(&verb.as_str());
    (any && rule.verbs.iter().any(writes)) || grants || impersonates
}

/// A rule with these verbs on these resources, restricted to objects with these names if there are any.
#[must_use]
pub fn rule(groups: &[&str], resources: &[&str], names: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        resource_names: (!names.is_empty()).then(|| owned(names)),
        verbs: owned(verbs),
        non_resource_urls: None,
    }
}

#[cfg(test)]
mod tests;
