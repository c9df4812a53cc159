//! What who installs charts must be allowed.
//!
//! EKS Anywhere's controller may do everything. Here the rules are derived from what the packages render to: each
//! object's kind and name, and nothing else. Kubernetes lets nobody grant what he does not hold, so a chart with a
//! role of its own could only be installed by one who holds `escalate` and `bind`; whoever holds these holds everything.
//! So the controller gets neither: it holds what the charts' roles hold, by their own rules. A role that a chart binds
//! but does not bring may be bound by its name only. What cannot be said in that way is told as [`Excess`] and not
//! granted: a person must decide on it.
//!
//! A rule is for the namespace of the object that it is about; only what has no namespace is allowed in the whole cluster.
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
/// Kubernetes' own roles that charts bind and that change nothing. Others are its controllers', some of which may grant
/// what they do not hold.
const HARMLESS: [&str; 6] = [
    "system:auth-delegator",
    "system:basic-user",
    "system:discovery",
    "system:monitoring",
    "system:public-info-viewer",
    "system:service-account-issuer-discovery",
];
/// What an object that a chart brings is done to. Applying asks for `patch`, and for `create` where it is missing.
const WRITE: [&str; 4] = ["create", "delete", "get", "patch"];

/// Rules, and what they do not cover.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// What the controller is to be allowed in the whole cluster: for objects without a namespace, and what charts grant
    /// in the whole cluster.
    pub rules: Vec<PolicyRule>,
    /// What it is to be allowed in single namespaces.
    pub namespaces: BTreeMap<String, Vec<PolicyRule>>,
    /// What charts ask for and is not granted.
    pub excess: Vec<Excess>,
    /// What is granted and reaches far.
    pub wide: Vec<Excess>,
}

/// What a chart asks for and the controller is not to be granted without a person's word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excess {
    /// The object, as `Kind/name`.
    pub object: String,
    /// What is too much.
    pub reason: String,
}

/// What the objects of rendered manifests need, hooks and definitions among them. An object that says a namespace is
/// allowed for there and nowhere else.
#[must_use]
pub fn derive<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Derived {
    let objects: Vec<&Value> = objects.into_iter().collect();
    let defined = plural::defined(&objects);
    let mut gathered = Gathered::default();
    for object in &objects {
        gathered.add(object, &objects, &defined);
    }
    gathered.into_derived()
}

/// Rules under way: names by group and resource, and rules that are held because charts grant them; by namespace, of
/// which the empty one is the whole cluster.
#[derive(Default)]
struct Gathered {
    names: BTreeMap<Place, BTreeSet<String>>,
    held: BTreeMap<String, Vec<PolicyRule>>,
    bound: BTreeMap<(String, &'static str), BTreeSet<String>>,
    excess: BTreeSet<Excess>,
    wide: BTreeSet<Excess>,
}

/// Namespace, group and resource.
type Place = (String, String, String);

impl Gathered {
    fn add(&mut self, object: &Value, all: &[&Value], defined: &plural::Defined) {
        let (group, kind) = (group(object), text(object, "/kind"));
        let (name, namespace) = (text(object, "/metadata/name"), text(object, "/metadata/namespace"));
        if kind.is_empty() {
            return;
        }
        let shown = format!("{kind}/{name}");
        match plural(group, kind, defined) {
            Some(resource) if !name.is_empty() => {
                let place = (namespace.to_owned(), group.to_owned(), resource);
                self.names.entry(place).or_default().insert(name.to_owned());
            }
            Some(_) => {
                self.exceed(&shown, "it has no name, so that all of its kind would have to be allowed");
            }
            None => self.exceed(&shown, "its kind's plural is not known"),
        }
        let defines = (text(object, "/spec/group"), text(object, "/spec/names/plural"));
        if group == "apiextensions.k8s.io" && !is_built_in(defines.0) && !defines.1.is_empty() {
            // Whether others have objects of the kind decides whether it goes.
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

    /// Who makes a role must hold what it grants, where it grants it.
    fn hold(&mut self, role: &Value, namespace: &str, shown: &str) {
        if role.pointer("/aggregationRule").is_some_and(|rule| !rule.is_null()) {
            self.exceed(shown, "it gathers other roles, which only who may do everything may make");
        }
        let rules = role.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for value in rules {
            match serde_json::from_value::<PolicyRule>(value.clone()) {
                Ok(granted) if is_boundless(&granted) => {
                    self.exceed(shown, "it may do everything to everything, or grant what it does not hold");
                }
                Ok(granted) => {
                    for reason in wide::reasons(&granted, namespace) {
                        self.wide.insert(Excess { object: shown.to_owned(), reason });
                    }
                    self.held.entry(namespace.to_owned()).or_default().push(granted);
                }
                Err(_) => self.exceed(shown, "it has a rule that is none"),
            }
        }
    }

    /// A role that comes along is held already; another may be bound by its name, where the binding is.
    fn bind(&mut self, binding: &Value, namespace: &str, all: &[&Value]) {
        let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        let comes_along = |object: &&&Value| {
            let same = text(object, "/kind") == kind && text(object, "/metadata/name") == name;
            let there = kind != "Role" || text(object, "/metadata/namespace") == namespace;
            group(object) == RBAC && same && there
        };
        if all.iter().any(|object| comes_along(&object)) {
            return;
        }
        let shown = format!("{}/{}", text(binding, "/kind"), text(binding, "/metadata/name"));
        let is_kept = kind == "ClusterRole" && name.starts_with("system:") && !HARMLESS.contains(&name);
        if is_kept || ["admin", "cluster-admin", "edit"].contains(&name) {
            return self.exceed(&shown, &format!("it gives somebody the role {name}"));
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

/// Whether a rule is as good as all of them: who may write every kind runs pods as whoever he likes.
fn is_boundless(rule: &PolicyRule) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|text| text == wanted);
    let any = has(&rule.api_groups, "*") && has(&rule.resources, "*");
    let grants = (has(&rule.api_groups, RBAC) || has(&rule.api_groups, "*"))
        && ["escalate", "bind", "*"].iter().any(|verb| rule.verbs.iter().any(|given| given == verb));
    let poses = rule.verbs.iter().any(|verb| verb == "impersonate");
    let writes = |verb: &String| ["*", "create", "patch", "update"].contains(&verb.as_str());
    (any && rule.verbs.iter().any(writes)) || grants || poses
}

/// A rule of these verbs on these resources, and only on objects of these names if there are any.
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
