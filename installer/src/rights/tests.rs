//! Charts that need few permissions, and charts that need too many.

use serde_json::json;

use super::*;

fn find<'a>(derived: &'a Derived, resource: &str) -> Vec<&'a PolicyRule> {
    let has = |rule: &&PolicyRule| rule.resources.iter().flatten().any(|known| known == resource);
    derived.rules.iter().filter(has).collect()
}

fn object(group: &str, kind: &str, name: &str) -> Value {
    json!({ "apiVersion": group, "kind": kind, "metadata": { "name": name } })
}

#[test]
fn each_object_gets_a_rule_with_its_kind_and_name_only() {
    let objects = [
        object("v1", "ConfigMap", "a"),
        object("v1", "ConfigMap", "b"),
        object("apps/v1", "Deployment", "a"),
        object("networking.k8s.io/v1", "NetworkPolicy", "n"),
        object("networking.k8s.io/v1", "Ingress", "i"),
        object("v1", "Endpoints", "e"),
    ];
    let derived = derive(&objects);
    assert!(derived.excess.is_empty());
    let maps = find(&derived, "configmaps");
    assert_eq!(maps.len(), 1);
    assert_eq!(maps[0].resource_names.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(maps[0].api_groups.as_deref(), Some(&[String::new()][..]));
    for resource in ["deployments", "networkpolicies", "ingresses", "endpoints"] {
        assert_eq!(find(&derived, resource).len(), 1, "{resource}");
    }
    let wild = |rule: &PolicyRule| {
        rule.verbs.iter().chain(rule.resources.iter().flatten()).any(|text| text == "*")
            || rule.resource_names.as_ref().is_none_or(Vec::is_empty)
    };
    assert!(!derived.rules.iter().any(wild), "{:#?}", derived.rules);
}

#[test]
fn the_plural_of_a_kind_is_taken_from_the_chart_s_crd() {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "oxen.x.io" },
        "spec": { "group": "x.io", "names": { "kind": "Ox", "plural": "oxen" } },
    });
    let objects = [object("x.io/v1", "Ox", "one"), definition];
    let derived = derive(&objects);
    let oxen: Vec<_> = find(&derived, "oxen").into_iter().map(|rule| rule.verbs.join(" ")).collect();
    assert_eq!(oxen, ["create delete get patch", "list"]);
    assert_eq!(find(&derived, "customresourcedefinitions").len(), 1);
}

#[test]
fn a2_crds_for_kubernetes_own_groups_are_ignored() {
    for (group, kind, plural) in [
        ("", "ConfigMap", "secrets"),
        ("rbac.authorization.k8s.io", "Foo", "clusterroles"),
        ("apps", "Foo", "deployments"),
    ] {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "x" },
            "spec": { "group": group, "names": { "kind": kind, "plural": plural } },
        });
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let derived = derive(&[definition, object(&version, kind, "cluster-admin")]);
        assert!(find(&derived, plural).is_empty(), "{group} {kind}");
    }
    // So are objects of another group with the kind CustomResourceDefinition.
    let other = json!({
        "apiVersion": "x.example/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "x" },
        "spec": { "group": "y.example", "names": { "kind": "Foo", "plural": "bars" } },
    });
    assert!(find(&derive(&[other, object("y.example/v1", "Foo", "a")]), "bars").is_empty());
}

#[test]
fn a2_kubernetes_own_roles_are_not_bound_except_for_harmless_ones() {
    let binding = |role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "b" },
            "roleRef": { "kind": "ClusterRole", "name": role },
        })
    };
    for role in [
        "admin",
        "edit",
        "cluster-admin",
        "system:masters",
        "system:controller:clusterrole-aggregation-controller",
        "system:kube-controller-manager",
        "system:node",
        "system:aggregate-to-admin",
    ] {
        assert_eq!(derive([&binding(role)]).excess.len(), 1, "{role}");
    }
    for role in ["view", "system:auth-delegator", "system:discovery"] {
        assert!(derive([&binding(role)]).excess.is_empty(), "{role}");
    }
}

#[test]
fn the_permissions_of_a_chart_s_role_are_included_without_escalation() {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "speaker" },
        "rules": [{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"] }],
    });
    let binding = |name: &str, role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role }, "subjects": [],
        })
    };
    let objects = [role, binding("own", "speaker"), binding("foreign", "system:auth-delegator")];
    let derived = derive(&objects);
    assert!(derived.excess.is_empty());
    assert_eq!(find(&derived, "nodes")[0].verbs, ["list", "watch"]);
    let bound: Vec<_> = derived.rules.iter().filter(|rule| rule.verbs == ["bind"]).collect();
    assert_eq!(bound.len(), 1);
    assert_eq!(bound[0].resource_names.as_deref(), Some(&["system:auth-delegator".to_owned()][..]));
    assert!(!derived.rules.iter().any(|rule| rule.verbs.iter().any(|verb| verb == "escalate")));
}

#[test]
fn unrestricted_permissions_are_reported_and_not_granted() {
    let role = |rule: Value| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "r" }, "rules": [rule] });
    let admin = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "b" },
        "roleRef": { "kind": "ClusterRole", "name": "cluster-admin" },
    });
    let aggregated = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": "r" },
        "aggregationRule": { "clusterRoleSelectors": [] },
    });
    for too_much in [
        role(json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] })),
        role(json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "create"] })),
        role(
            json!({ "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["escalate"] }),
        ),
        role(json!({ "apiGroups": ["*"], "resources": ["clusterroles"], "verbs": ["bind"] })),
        role(json!({ "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"] })),
        role(json!("not a rule")),
        admin,
        aggregated,
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "generateName": "x" } }),
    ] {
        let derived = derive([&too_much]);
        assert_eq!(derived.excess.len(), 1, "{too_much}");
        let wild = derived.rules.iter().flat_map(|rule| rule.verbs.iter());
        assert!(
            !wild.into_iter().any(|verb| ["*", "escalate", "bind", "impersonate"].contains(&verb.as_str()))
        );
    }
}

fn placed(group: &str, kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = object(group, kind, name);
    object["metadata"]["namespace"] = json!(namespace);
    object
}

#[test]
fn o2_rules_for_namespaced_objects_apply_to_their_namespace_only() {
    const RBAC_V1: &str = "rbac.authorization.k8s.io/v1";
    let mut role = placed(RBAC_V1, "Role", "shop", "r");
    role["rules"] = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"] }]);
    let mut binding = placed(RBAC_V1, "RoleBinding", "bank", "b");
    binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" });
    let objects = [
        placed("v1", "Secret", "shop", "s"),
        placed("v1", "ConfigMap", "bank", "c"),
        object("v1", "PersistentVolume", "p"),
        role,
        binding,
    ];
    let derived = derive(&objects);
    let resources = |rules: &[PolicyRule]| -> Vec<String> {
        let mut all: Vec<_> = rules.iter().flat_map(|rule| rule.resources.clone().unwrap()).collect();
        all.sort();
        all
    };
    assert_eq!(resources(&derived.rules), ["persistentvolumes"]);
    assert_eq!(derived.namespaces.keys().collect::<Vec<_>>(), ["bank", "shop"]);
    // The role with this name is in another namespace, so it is not the bound one.
    assert_eq!(resources(&derived.namespaces["bank"]), ["configmaps", "rolebindings", "roles"]);
    assert_eq!(resources(&derived.namespaces["shop"]), ["roles", "secrets", "secrets"]);
    let wide: Vec<_> = derived.wide.iter().map(|wide| format!("{}: {}", wide.object, wide.reason)).collect();
    assert_eq!(wide, ["Role/r: it can read every Secret in `shop`"]);
}

#[test]
fn a2b_permissions_are_derived_for_objects_in_lists() {
    let inner =
        json!({ "apiVersion": "v1", "kind": "List", "items": [placed("v1", "ConfigMap", "shop", "b")] });
    let list =
        json!({ "apiVersion": "v1", "kind": "List", "items": [placed("v1", "Secret", "shop", "a"), inner] });
    let objects = crate::objects::flatten(list).unwrap();
    let derived = derive(&objects);
    assert_eq!(derived.namespaces["shop"].len(), 2);
    assert!(derived.excess.is_empty());
}
