//! Objects that values can add to a chart that takes whole objects from them, and the entries that allow them.

use super::*;

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// The entries for the privileges that values add. The chart itself has the objects `by_default`.
fn beyond(by_default: &[Value], with_values: &[Value]) -> Vec<String> {
    let bounds = bounds(&["registry.example/team/app"], "");
    let (ours, theirs) = (chart_objects(by_default), chart_objects(with_values));
    let (ours, theirs) = (bounds.privileges_of("shop", &ours), bounds.privileges_of("shop", &theirs));
    theirs.beyond(&ours).map(|(privilege, _)| privilege.entry()).collect()
}

fn added(object: Value) -> Vec<String> {
    beyond(&[], &[object])
}

fn cluster_role(rules: Value) -> Value {
    let mut role = json!({ "apiVersion": RBAC, "kind": "ClusterRole", "metadata": { "name": "web" } });
    role["rules"] = rules;
    role
}

fn hook(value: Value, events: &[&'static str]) -> ChartObject {
    ChartObject { value, hook: Some(events.iter().copied().collect()) }
}

#[test]
fn a2_cluster_permissions_that_the_chart_s_role_does_not_have_are_rejected() {
    let secrets = |verbs: Value| json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": verbs }]);
    let by_default = [cluster_role(secrets(json!(["get"])))];
    let with = |rules: Value| beyond(&by_default, &[cluster_role(rules)]);
    assert!(with(secrets(json!(["get"]))).is_empty());
    assert!(with(json!([])).is_empty());
    let one =
        json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["a"] }]);
    assert!(with(one.clone()).is_empty(), "less than it has");
    assert!(beyond(&[cluster_role(one.clone())], &by_default) == ["permissions"], "more than it has");
    for rules in [
        secrets(json!(["get", "list"])),
        secrets(json!(["*"])),
        json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["get"] }]),
        json!([{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"] }]),
        json!([{ "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"] }]),
        json!([{ "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["escalate", "bind"] }]),
        json!([{ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }]),
        json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["of-others"] }]),
    ] {
        let found = with(rules.clone());
        assert!(!found.is_empty() && found.iter().all(|entry| entry == "permissions"), "{rules}: {found:?}");
    }
    // A rule that is restricted to the package's own objects does not affect others.
    let own = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["update"], "resourceNames": ["x"] }]);
    let objects = [cluster_role(own.clone()), object("v1", "ConfigMap", "shop")];
    assert!(beyond(&[], &objects).is_empty());
    let objects = [cluster_role(own), object("v1", "Secret", "shop")];
    assert_eq!(
        beyond(&[], &objects),
        ["permissions"],
        "the name alone does not make it the package's object"
    );
}

#[test]
fn a2_a_role_is_unrestricted_only_in_the_package_s_own_namespace() {
    let mut role = object(RBAC, "Role", "shop");
    role["rules"] = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }]);
    assert!(added(role.clone()).is_empty());
    role["metadata"]["namespace"] = json!("kube-system");
    assert_eq!(added(role), ["permissions"]);
}

#[test]
fn a2_aggregated_roles_and_roles_of_others_are_rejected() {
    let mut aggregated = cluster_role(json!([]));
    aggregated["aggregationRule"] = json!({ "clusterRoleSelectors": [{}] });
    assert_eq!(added(aggregated), ["permissions"]);
    let mut part = cluster_role(json!([]));
    part["metadata"]["labels"] = json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true", "app": "a" });
    assert_eq!(added(part), ["label/rbac.authorization.k8s.io/aggregate-to-view"]);
    for (kind, role) in
        [("ClusterRole", "cluster-admin"), ("ClusterRole", "of-another-package"), ("Role", "leader")]
    {
        let mut binding = object(RBAC, "RoleBinding", "shop");
        binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role });
        assert_eq!(added(binding.clone()), [format!("role/{kind}/{role}")]);
        let mut own = object(RBAC, kind, if kind == "Role" { "shop" } else { "" });
        own["metadata"]["name"] = json!(role);
        assert!(beyond(&[], &[binding, own]).is_empty());
    }
}

#[test]
fn a2_a_hook_s_service_account_counts_for_its_hooks_only() {
    let account = object("v1", "ServiceAccount", "shop");
    let mut pod = object("v1", "Pod", "shop");
    pod["spec"] = json!({ "serviceAccountName": "x" });
    let of = |objects: &[ChartObject]| {
        let privileges = bounds(&[], "").privileges_of("shop", objects);
        privileges.beyond(&Privileges::default()).map(|(privilege, _)| privilege.entry()).collect::<Vec<_>>()
    };
    let plain = |value: &Value| ChartObject { value: value.clone(), hook: None };
    assert!(of(&[plain(&account), plain(&pod)]).is_empty());
    assert!(of(&[plain(&account), hook(pod.clone(), &["post-install"])]).is_empty());
    let both = ["pre-install", "pre-upgrade"];
    assert!(of(&[hook(account.clone(), &both), hook(pod.clone(), &both)]).is_empty());
    assert!(of(&[hook(account.clone(), &both), hook(pod.clone(), &["pre-install"])]).is_empty());
    // It does not exist while the pod runs, but a service account of others with this name may.
    for (account_at, pod_at) in [
        (&["test"][..], None),
        (&["pre-install"], None),
        (&["test"], Some(&["pre-install"][..])),
        (&["pre-install"], Some(&both)),
    ] {
        let pod =
            ChartObject { value: pod.clone(), hook: pod_at.map(|events| events.iter().copied().collect()) };
        assert_eq!(of(&[hook(account.clone(), account_at), pod]), ["serviceaccount/x"], "{account_at:?}");
    }
}

#[test]
fn a2_annotations_that_identify_releases_cannot_be_forged() {
    let bounds = bounds(&[], "");
    let annotated = |key: &str, value: &str| {
        let mut object = object("v1", "Secret", "shop");
        object["metadata"]["annotations"] = json!({ key: value });
        object
    };
    for (key, value) in [
        ("airlock.dev/run", "eksa-packages/other.v1.pre-install"),
        ("airlock.dev/release", "eksa-packages/other"),
    ] {
        let object = annotated(key, value);
        assert!(check(&bounds, &object).unwrap_err().contains(key));
        assert!(bounds.check("shop", &[hook(object, &["pre-install"])]).unwrap_err().contains(key));
    }
    let of = |release: &str| [hook(annotated("meta.helm.sh/release-name", release), &["pre-install"])];
    assert!(bounds.check("shop", &of("other")).unwrap_err().contains("meta.helm.sh/release-name"));
    assert!(bounds.check("shop", &of("app")).is_ok());
    // The engine overwrites it in an object of the manifest.
    assert!(check(&bounds, &annotated("meta.helm.sh/release-name", "other")).is_ok());
}

#[test]
fn a2_requests_of_the_api_server_are_not_sent_to_others() {
    let webhook = |selector: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "w" }, "webhooks": [{
                "clientConfig": { "service": { "namespace": "shop", "name": "w" } },
                "namespaceSelector": selector,
                "rules": [{ "apiGroups": [""], "resources": ["pods"] }, { "apiGroups": ["x.example"], "resources": ["things"] }],
            }],
        })
    };
    let narrow = [webhook(json!({ "matchLabels": { "inject": "yes" } }))];
    assert!(beyond(&narrow, &narrow).is_empty());
    assert_eq!(beyond(&narrow, &[webhook(json!({}))]), ["webhook//pods"]);
    let policy = |kind: &str, spec: Value| json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": "p" }, "spec": spec });
    let rules =
        json!({ "matchConstraints": { "resourceRules": [{ "apiGroups": ["*"], "resources": ["*"] }] } });
    let definition = |client: Value| {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "things.x.example" },
            "spec": { "group": "x.example", "conversion": { "strategy": "Webhook", "webhook": { "clientConfig": client } } },
        })
    };
    let service = |namespace: &str| json!({ "service": { "namespace": namespace, "name": "s" } });
    let aggregated = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": "v1.apps.example" },
        "spec": { "service": { "namespace": "other", "name": "s" } },
    });
    for (object, expected) in [
        (policy("MutatingAdmissionPolicy", rules.clone()), vec!["webhook/*/*"]),
        (policy("ValidatingAdmissionPolicy", rules), vec!["webhook/*/*"]),
        (
            policy("MutatingAdmissionPolicyBinding", json!({ "policyName": "of-others" })),
            vec!["webhook/MutatingAdmissionPolicyBinding/of-others"],
        ),
        (
            definition(json!({ "url": "https://evil.example/convert" })),
            vec!["webhook/https://evil.example/convert"],
        ),
        (definition(service("other")), vec!["webhook/other/s"]),
        (definition(service("shop")), vec![]),
        (aggregated, vec!["webhook/apiservice/v1.apps.example", "webhook/other/s"]),
    ] {
        assert_eq!(added(object.clone()), expected, "{object}");
    }
}

#[test]
fn a2_metadata_from_values_that_affects_other_objects_is_rejected() {
    let with = |metadata: Value| {
        let mut object = object("v1", "ConfigMap", "shop");
        object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        object
    };
    assert_eq!(added(with(json!({ "finalizers": ["x.example/never"] }))), ["finalizer/x.example/never"]);
    let owner =
        json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "blockOwnerDeletion": true });
    assert_eq!(added(with(json!({ "ownerReferences": [owner] }))), ["owner"]);
    assert!(
        added(with(json!({ "labels": { "a": "b" }, "annotations": { "helm.sh/resource-policy": "keep" } })))
            .is_empty()
    );
    let namespace = |labels: Value| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop", "labels": labels } });
    let by_default = [namespace(json!({ "env": "prod" }))];
    let with_values = [namespace(json!({ "env": "none" }))];
    assert_eq!(beyond(&by_default, &with_values), ["label/env"]);
    assert!(beyond(&by_default, &by_default).is_empty());
}

#[test]
fn a2_storage_and_networks_of_others_are_rejected() {
    let spec = |api_version: &str, kind: &str, key: &str, value: Value| json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "x" }, key: value });
    for object in [
        spec(
            "v1",
            "PersistentVolume",
            "spec",
            json!({ "csi": { "driver": "d", "volumeHandle": "of-others" } }),
        ),
        spec("v1", "PersistentVolume", "spec", json!({ "nfs": { "server": "s", "path": "/" } })),
        spec("v1", "PersistentVolume", "spec", json!({ "local": { "path": "/" } })),
        spec("v1", "Service", "spec", json!({ "externalIPs": ["10.0.0.1"] })),
        spec(
            "storage.k8s.io/v1",
            "StorageClass",
            "parameters",
            json!({ "csi.storage.k8s.io/provisioner-secret-namespace": "kube-system" }),
        ),
        spec(
            "v1",
            "Pod",
            "spec",
            json!({ "containers": [{ "livenessProbe": { "httpGet": { "host": "169.254.169.254" } } }] }),
        ),
        spec(
            "v1",
            "Pod",
            "spec",
            json!({ "containers": [{ "lifecycle": { "preStop": { "tcpSocket": { "host": "a" } } } }] }),
        ),
    ] {
        assert_eq!(added(object.clone()), ["host"], "{object}");
    }
    let own = json!({ "csi.storage.k8s.io/node-publish-secret-namespace": "${pvc.namespace}" });
    assert!(added(spec("storage.k8s.io/v1", "StorageClass", "parameters", own)).is_empty());
}

#[test]
fn a2_pod_specs_in_custom_resources_are_checked_as_well() {
    let kinds = [
        ("argoproj.io/v1alpha1", "Workflow", "/spec/templates"),
        ("serving.knative.dev/v1", "Service", "/spec/template/spec"),
        ("monitoring.coreos.com/v1", "Prometheus", "/spec"),
        ("apps.other.example/v1", "Deployment", "/spec/template/spec"),
    ];
    for (api_version, kind, at) in kinds {
        for (pod, entry) in [
            (json!({ "hostNetwork": true }), "host"),
            (json!({ "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] }), "host"),
            (json!({ "containers": [{ "securityContext": { "privileged": true } }] }), "host"),
            (json!({ "serviceAccountName": "of-others" }), "serviceaccount/of-others"),
        ] {
            let mut object = object(api_version, kind, "shop");
            let inner = if at.ends_with("templates") { json!([pod]) } else { pod };
            let nested = at
                .rsplit('/')
                .filter(|part| !part.is_empty())
                .fold(inner, |inner, part| json!({ part: inner }));
            object.as_object_mut().unwrap().extend(nested.as_object().unwrap().clone());
            assert_eq!(added(object.clone()), [entry], "{object}");
        }
    }
}

#[test]
fn a2_an_entry_allows_only_the_name_in_it() {
    for entry in
        ["permissions", "owner", "role/ClusterRole/r", "label/env", "finalizer/a.b/c", "image/x.example/y:1"]
    {
        assert!(bounds(&[], &format!("app:{entry}")).allowed.has(entry), "{entry}");
    }
    let bounds = bounds(&[], "app:finalizer/x.example/never");
    let mut object = object("v1", "ConfigMap", "shop");
    object["metadata"]["finalizers"] = json!(["x.example/never"]);
    let wanted = bounds.privileges_of("shop", &chart_objects(&[object.clone()]));
    assert_eq!(bounds.check_privileges(&wanted, &Privileges::default()), Ok(()));
    object["metadata"]["finalizers"] = json!(["x.example/other"]);
    let wanted = bounds.privileges_of("shop", &chart_objects(&[object]));
    let refused = bounds.check_privileges(&wanted, &Privileges::default()).unwrap_err();
    assert!(
        refused.contains("wait for the finalizer `x.example/other`")
            && refused.contains("app:finalizer/x.example/other")
    );
}
