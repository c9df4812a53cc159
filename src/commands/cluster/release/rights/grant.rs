//! Roles for packages in a cluster: reads the granted ones, and writes new ones. All roles of a cluster's packages
//! have the same name: a `ClusterRole`, and a `Role` in each namespace.

use std::collections::{BTreeMap, BTreeSet};

use installer::rights::Derived;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::commands::cluster::reach::api_error;

/// The name prefix of roles for packages; the cluster's name follows.
pub(in crate::commands) const ROLES: &str = "airlock-packages-";

/// The current permissions of the controller for packages: rules by namespace; the empty name is the whole cluster.
#[derive(Debug, Default)]
pub(super) struct Granted(pub(super) BTreeMap<String, Vec<PolicyRule>>);

impl Granted {
    /// Reads the roles of a cluster's packages.
    pub(super) async fn read(client: &Client, cluster: &str) -> anyhow::Result<Self> {
        let doing = "reading the current permissions";
        let name = role(cluster);
        let mut found = BTreeMap::new();
        let everywhere = Api::<ClusterRole>::all(client.clone()).get_opt(&name).await;
        if let Some(role) = everywhere.map_err(|error| api_error(doing, &error))? {
            found.insert(String::new(), role.rules.unwrap_or_default());
        }
        let ours = ListParams::default().labels("app.kubernetes.io/part-of=airlock");
        let roles = Api::<Role>::all(client.clone()).list(&ours).await;
        for role in roles.map_err(|error| api_error(doing, &error))?.items {
            if role.name_any() == name {
                found.insert(role.namespace().unwrap_or_default(), role.rules.unwrap_or_default());
            }
        }
        Ok(Self(found))
    }
}

/// Adds earlier rules that are not among the new ones. Returns whether there were any.
pub(super) fn add(derived: &mut Derived, before: &Granted) -> bool {
    let mut added = false;
    for (namespace, rules) in &before.0 {
        let into = if namespace.is_empty() {
            &mut derived.rules
        } else {
            derived.namespaces.entry(namespace.clone()).or_default()
        };
        for rule in rules {
            if !into.contains(rule) {
                into.push(rule.clone());
                added = true;
            }
        }
    }
    added
}

/// Roles and their bindings.
pub(super) fn manifests(cluster: &str, derived: &Derived, subject: &Value) -> Vec<Value> {
    let name = role(cluster);
    let everywhere = std::iter::once((None, &derived.rules));
    let inside = derived.namespaces.iter().map(|(namespace, rules)| (Some(namespace), rules));
    everywhere.chain(inside).flat_map(|(namespace, rules)| pair(&name, namespace, rules, subject)).collect()
}

fn pair(name: &str, namespace: Option<&String>, rules: &[PolicyRule], subject: &Value) -> [Value; 2] {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let (kind, scope) = if namespace.is_some() { ("Role", "") } else { ("ClusterRole", "Cluster") };
    let labels = json!({ "app.kubernetes.io/name": "airlock", "app.kubernetes.io/part-of": "airlock" });
    let mut metadata = json!({ "name": name, "labels": labels });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    [
        json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules }),
        json!({
            "apiVersion": version, "kind": format!("{scope}RoleBinding"), "metadata": metadata,
            "roleRef": { "apiGroup": group, "kind": kind, "name": name },
            "subjects": [subject],
        }),
    ]
}

/// Deletes roles in namespaces where packages need no permissions any more: bindings first.
pub(super) async fn remove(
    client: &Client,
    before: &Granted,
    derived: &Derived,
    cluster: &str,
) -> anyhow::Result<()> {
    let (name, doing) = (role(cluster), "removing permissions");
    let stale: BTreeSet<_> = before.0.keys().filter(|namespace| !namespace.is_empty()).collect();
    for namespace in stale.into_iter().filter(|namespace| !derived.namespaces.contains_key(*namespace)) {
        let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
        let roles = Api::<Role>::namespaced(client.clone(), namespace);
        let gone = |result: kube::Result<()>| match result {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            result => result.map_err(|error| api_error(doing, &error)),
        };
        gone(bindings.delete(&name, &DeleteParams::default()).await.map(drop))?;
        gone(roles.delete(&name, &DeleteParams::default()).await.map(drop))?;
    }
    Ok(())
}

fn role(cluster: &str) -> String {
    format!("{ROLES}{cluster}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verb: &str) -> PolicyRule {
        PolicyRule { verbs: vec![verb.to_owned()], ..PolicyRule::default() }
    }

    #[test]
    fn a_role_keeps_rules_of_packages_that_could_not_be_read() {
        let mut derived = Derived { rules: vec![rule("get")], ..Derived::default() };
        let same = Granted([(String::new(), vec![rule("get")])].into());
        assert!(!add(&mut derived, &same) && derived.rules.len() == 1);
        let more =
            Granted([(String::new(), vec![rule("list")]), ("shop".to_owned(), vec![rule("patch")])].into());
        assert!(add(&mut derived, &more));
        assert_eq!(derived.rules, [rule("get"), rule("list")]);
        assert_eq!(derived.namespaces["shop"], [rule("patch")]);
    }

    #[test]
    fn o2_permissions_on_namespaced_objects_are_granted_by_a_role() {
        let namespaces = [("shop".to_owned(), vec![rule("patch")])].into();
        let derived = Derived { namespaces, ..Derived::default() };
        let all = manifests("mgmt", &derived, &json!({ "kind": "User", "name": "a" }));
        let kinds: Vec<_> = all.iter().map(|manifest| manifest["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
        assert_eq!(all[2]["metadata"]["namespace"], "shop");
        assert_eq!(all[3]["roleRef"]["kind"], "Role");
    }
}
