//! What the controller may do: the least that it needs for itself, and what the charts of the active bundle ask for.
//!
//! EKS Anywhere's controller may do everything. Here the rules are derived from what the packages render to: each
//! object's kind and name, and nothing else. Kubernetes lets nobody grant what he does not hold, so a chart with a
//! role of its own could only be installed by one who holds `escalate` and `bind`; whoever holds these holds everything.
//! So the controller gets neither: it holds what the charts' roles hold, by their own rules. A role that a chart binds
//! but does not bring may be bound by its name only. What cannot be said in that way is told as [`Excess`] and not
//! granted: a person must decide on it.
//!
//! The rules are applied by a person's command and never by the controller, so that a bundle cannot widen them.
//!
//! `manifests -> rules`

mod plural;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::PolicyRule;
use package_api::{AIRLOCK_GROUP, EKS_GROUP};
use serde_json::Value;

use self::plural::plural;

const RBAC: &str = "rbac.authorization.k8s.io";
/// What an object that a chart brings is done to. Applying asks for `patch`, and for `create` where it is missing.
const WRITE: [&str; 4] = ["create", "delete", "get", "patch"];

/// Rules, and what they do not cover.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// What the controller is to be allowed in the whole cluster.
    pub rules: Vec<PolicyRule>,
    /// What charts ask for and is not granted.
    pub excess: Vec<Excess>,
}

/// What a chart asks for and the controller is not to be granted without a person's word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Excess {
    /// The object, as `Kind/name`.
    pub object: String,
    /// What is too much.
    pub reason: String,
}

/// What the controller needs in whatever cluster and for whatever package.
#[must_use]
pub fn fixed() -> Vec<PolicyRule> {
    let all = |group: &str, resources: &[&str], verbs: &[&str]| rule(&[group], resources, &[], verbs);
    vec![
        all(EKS_GROUP, &["packages"], &["create", "get", "list", "patch", "watch"]),
        all(EKS_GROUP, &["packagebundles"], &["create", "get", "list", "watch"]),
        all(EKS_GROUP, &["packagebundlecontrollers"], &["get", "list", "patch", "watch"]),
        all(
            EKS_GROUP,
            &["packages/status", "packagebundles/status", "packagebundlecontrollers/status"],
            &["patch"],
        ),
        all(AIRLOCK_GROUP, &["trustpolicies"], &["get", "list", "watch"]),
        all(AIRLOCK_GROUP, &["trustpolicies/status"], &["patch"]),
        all("events.k8s.io", &["events"], &["create", "patch"]),
        // What tells why an object does not get ready.
        all("", &["events"], &["list"]),
        // Where packages go; objects in them are named by the packages' own rules. What is there is left as it is: who
        // may patch a namespace may take its labels off, and with them what admission holds it to.
        all("", &["namespaces"], &["create", "get", "list", "watch"]),
        // What tells whether an object is ready.
        all("", &["persistentvolumeclaims", "pods", "services"], &["get", "list"]),
        all("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], &["get", "list"]),
        all("batch", &["jobs"], &["get", "list"]),
        // A hook may be deleted as soon as it ended: how it did is told to those who watch.
        all("", &["pods"], &["watch"]),
        all("batch", &["jobs"], &["watch"]),
        all("apiextensions.k8s.io", &["customresourcedefinitions"], &["get", "list"]),
    ]
}

/// What the controller needs in its own namespace: records of releases, its lease and its certificates.
#[must_use]
pub fn fixed_in_own_namespace() -> Vec<PolicyRule> {
    let all = ["create", "delete", "get", "list", "patch", "update", "watch"];
    vec![
        rule(&[""], &["secrets"], &[], &all),
        rule(&["coordination.k8s.io"], &["leases"], &[], &["create", "get", "update"]),
    ]
}

/// What the controller needs where Cluster API leaves the kubeconfigs of other clusters.
#[must_use]
pub fn fixed_in_system_namespace() -> Vec<PolicyRule> {
    vec![rule(&[""], &["secrets"], &[], &["get"])]
}

/// What the webhooks need in whatever cluster: their own configurations, and to ask what a user may do.
#[must_use]
pub fn fixed_for_webhooks() -> Vec<PolicyRule> {
    const GROUP: &str = "admissionregistration.k8s.io";
    let kinds = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    vec![
        // Nobody can be held to a name in what he makes.
        rule(&[GROUP], &kinds, &[], &["create", "get", "list", "watch"]),
        rule(&[GROUP], &kinds, &[crate::webhook::NAME], &["update"]),
        rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &[], &["create"]),
    ]
}

/// What the webhooks need in the controller's own namespace: the greatest sequences of trust policies that were in
/// force, their own image, which no policy may refuse, and whether their service leads to them.
#[must_use]
pub fn fixed_for_webhooks_in_own_namespace() -> Vec<PolicyRule> {
    vec![
        rule(&[""], &["configmaps"], &[], &["create", "get", "update"]),
        rule(&[""], &["pods"], &[], &["get"]),
        rule(&["discovery.k8s.io"], &["endpointslices"], &[], &["list"]),
    ]
}

/// What the objects of rendered manifests need, hooks and definitions among them.
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

/// Rules under way: names by group and resource, and rules that are held because charts grant them.
#[derive(Default)]
struct Gathered {
    names: BTreeMap<(String, String), BTreeSet<String>>,
    held: Vec<PolicyRule>,
    bound: BTreeMap<&'static str, BTreeSet<String>>,
    excess: BTreeSet<Excess>,
}

impl Gathered {
    fn add(&mut self, object: &Value, all: &[&Value], defined: &plural::Defined) {
        let (group, kind) = (group(object), text(object, "/kind"));
        let name = text(object, "/metadata/name");
        if kind.is_empty() {
            return;
        }
        let shown = format!("{kind}/{name}");
        match plural(group, kind, defined) {
            Some(resource) if !name.is_empty() => {
                self.names.entry((group.to_owned(), resource)).or_default().insert(name.to_owned());
            }
            Some(_) => {
                self.exceed(&shown, "it has no name, so that all of its kind would have to be allowed");
            }
            None => self.exceed(&shown, "its kind's plural is not known"),
        }
        if group == RBAC {
            match kind {
                "Role" | "ClusterRole" => self.hold(object, &shown),
                "RoleBinding" | "ClusterRoleBinding" => self.bind(object, all),
                _ => {}
            }
        }
    }

    /// Who makes a role must hold what it grants.
    fn hold(&mut self, role: &Value, shown: &str) {
        if role.pointer("/aggregationRule").is_some_and(|rule| !rule.is_null()) {
            self.exceed(shown, "it gathers other roles, which only who may do everything may make");
        }
        let rules = role.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for value in rules {
            match serde_json::from_value::<PolicyRule>(value.clone()) {
                Ok(granted) if is_boundless(&granted) => {
                    self.exceed(shown, "it may do everything to everything, or grant what it does not hold");
                }
                Ok(granted) => self.held.push(granted),
                Err(_) => self.exceed(shown, "it has a rule that is none"),
            }
        }
    }

    /// A role that comes along is held already; another may be bound by its name.
    fn bind(&mut self, binding: &Value, all: &[&Value]) {
        let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
        let comes_along = |object: &&&Value| {
            group(object) == RBAC && text(object, "/kind") == kind && text(object, "/metadata/name") == name
        };
        if all.iter().any(|object| comes_along(&object)) {
            return;
        }
        let shown = format!("{}/{}", text(binding, "/kind"), text(binding, "/metadata/name"));
        if ["admin", "cluster-admin", "edit"].contains(&name) || name.starts_with("system:masters") {
            return self.exceed(&shown, &format!("it gives somebody the role {name}"));
        }
        let resource = if kind == "Role" { "roles" } else { "clusterroles" };
        self.bound.entry(resource).or_default().insert(name.to_owned());
    }

    fn exceed(&mut self, object: &str, reason: &str) {
        self.excess.insert(Excess { object: object.to_owned(), reason: reason.to_owned() });
    }

    fn into_derived(self) -> Derived {
        let mut rules: Vec<_> = self
            .names
            .iter()
            .map(|((group, resource), names)| {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                rule(&[group], &[resource], &names, &WRITE)
            })
            .collect();
        rules.extend(self.bound.iter().map(|(resource, names)| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            rule(&[RBAC], &[resource], &names, &["bind"])
        }));
        for held in self.held {
            if !rules.contains(&held) {
                rules.push(held);
            }
        }
        Derived { rules, excess: self.excess.into_iter().collect() }
    }
}

/// Whether a rule is as good as all of them.
fn is_boundless(rule: &PolicyRule) -> bool {
    let has = |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|text| text == wanted);
    let any = has(&rule.api_groups, "*") && has(&rule.resources, "*");
    let grants = (has(&rule.api_groups, RBAC) || has(&rule.api_groups, "*"))
        && ["escalate", "bind", "*"].iter().any(|verb| rule.verbs.iter().any(|given| given == verb));
    let poses = rule.verbs.iter().any(|verb| verb == "impersonate");
    (any && rule.verbs.iter().any(|verb| verb == "*")) || grants || poses
}

fn rule(groups: &[&str], resources: &[&str], names: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(owned(groups)),
        resources: Some(owned(resources)),
        resource_names: (!names.is_empty()).then(|| owned(names)),
        verbs: owned(verbs),
        non_resource_urls: None,
    }
}

fn group(object: &Value) -> &str {
    text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group)
}

fn text<'a>(object: &'a Value, at: &str) -> &'a str {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests;
