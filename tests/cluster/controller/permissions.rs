//! The controller with exactly the permissions that are derived for its packages.

use installer::rights;
use k8s_openapi::api::rbac::v1::PolicyRule;
use package_controller::rbac;
use serde_json::{Value, json};

use super::{MINUTE, Shard, proxy, site};

#[test]
fn the_derived_permissions_suffice_for_their_packages_and_for_nothing_else() {
    let Some(site) = site() else { return };
    let upstream = {
        let mut cluster = site.cluster.lock().unwrap();
        let unprivileged = cluster.unprivileged();
        proxy(&mut cluster, "kubectl-proxy-somebody", &unprivileged)
    };
    let shard = Shard::through(&site, upstream, "rights", "v1-36-2");
    let objects = ["may", "may-old"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } }));
    let derived = rights::derive(&objects);
    assert!(derived.excess.is_empty());
    let own = rbac::fixed_in_own_namespace();
    let everywhere = [rbac::fixed(), derived.rules].concat();
    site.apply(&grant("rights", None, &everywhere));
    site.apply(&grant("rights-own", Some("eksa-packages"), &own));
    site.apply(&grant("rights-own", Some("airlock-rights"), &own));
    let _controller = shard.start();
    shard.package("may", "plain", "1.0.0", "word: x", "");
    shard.installed("may", "1.0.0");
    shard.change("may", &json!({ "packageVersion": "2.0.0" }));
    shard.installed("may", "2.0.0");
    // A package with another name, for which there are no permissions.
    shard.package("may-not", "plain", "1.0.0", "word: x", "");
    let refused = shard.until("may-not", MINUTE, |package| {
        package["status"]["detail"].as_str().is_some_and(|detail| detail.contains("forbidden"))
    });
    assert!(refused["status"]["state"] != "installed");
    assert!(
        refused["status"]["detail"]
            .as_str()
            .unwrap()
            .contains("`airlock package rights --cluster rights --apply`")
    );
    assert!(shard.revisions("may-not").is_empty(), "nothing may be written without permission");
    // After the permissions are granted, the package continues without a change.
    let objects = ["may-not", "may-not-old"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } }));
    site.apply(&grant("rights-later", None, &rights::derive(&objects).rules));
    shard.installed("may-not", "1.0.0");
    shard.delete("may");
    shard.gone("may");
}

/// A role, and its binding to the unprivileged user.
fn grant(name: &str, namespace: Option<&str>, rules: &[PolicyRule]) -> String {
    let (role, binding) =
        if namespace.is_some() { ("Role", "RoleBinding") } else { ("ClusterRole", "ClusterRoleBinding") };
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let version = "rbac.authorization.k8s.io/v1";
    let objects: [Value; 2] = [
        json!({ "apiVersion": version, "kind": role, "metadata": metadata, "rules": rules }),
        json!({
            "apiVersion": version, "kind": binding, "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name },
            "subjects": [{ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "somebody" }],
        }),
    ];
    objects.map(|object| object.to_string()).join("\n---\n")
}
