//! The permissions of the controller: the minimum for itself. The permissions for the charts of the active bundle are
//! [derived](installer::rights::derive) from them.
//!
//! The rules are applied by a user's command and never by the controller, so that a bundle cannot extend them.

use installer::rights::rule;
use k8s_openapi::api::rbac::v1::PolicyRule;
use package_api::{AIRLOCK_GROUP, EKS_GROUP};

/// The rules for the controller in every cluster and for every package.
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
        // The reasons why an object is not ready.
        all("", &["events"], &["list"]),
        // The target namespaces of packages. The rules for objects in them are derived from the packages. Existing
        // namespaces are never changed: the permission to patch a namespace includes removing the labels that admission
        // policies select it by.
        all("", &["namespaces"], &["create", "get", "list", "watch"]),
        // The readiness of objects.
        all("", &["persistentvolumeclaims", "pods", "services"], &["get", "list"]),
        all("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], &["get", "list"]),
        all("batch", &["jobs"], &["get", "list"]),
        // A hook may be deleted as soon as it finishes, so its result can only be observed with a watch.
        all("", &["pods"], &["watch"]),
        all("batch", &["jobs"], &["watch"]),
        all("apiextensions.k8s.io", &["customresourcedefinitions"], &["get", "list"]),
    ]
}

/// The rules for the controller in its own namespace: release records and the lease.
#[must_use]
pub fn fixed_in_own_namespace() -> Vec<PolicyRule> {
    vec![
        // Records have Helm's names, with the release and the revision, and rules cannot be restricted to name prefixes.
        rule(&[""], &["secrets"], &[], &["create", "delete", "get", "list", "update"]),
        rule(&["coordination.k8s.io"], &["leases"], &[], &["create", "get", "update"]),
    ]
}

/// The rules for the controller in the namespace where Cluster API stores the kubeconfigs of other clusters.
#[must_use]
pub fn fixed_in_system_namespace() -> Vec<PolicyRule> {
    vec![rule(&[""], &["secrets"], &[], &["get"])]
}

/// The rules for the webhooks in every cluster: their own configurations, and access reviews of users. The installation
/// creates the configurations. The rule with names allows applying them again after a deletion, but not creating others:
/// a create request without a name in the URL, as `kubectl create` sends, requires a rule without names.
#[must_use]
pub fn fixed_for_webhooks() -> Vec<PolicyRule> {
    const GROUP: &str = "admissionregistration.k8s.io";
    let kinds = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];
    let verbs = ["create", "get", "list", "patch", "update", "watch"];
    vec![
        rule(&[GROUP], &kinds, &[admission::webhook::NAME], &verbs),
        rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &[], &["create"]),
    ]
}

/// The rules for the webhooks in the controller's own namespace: the certificate, the greatest sequences of trust
/// policies, their own image, which no policy may reject, and the endpoints of their service.
#[must_use]
pub fn fixed_for_webhooks_in_own_namespace() -> Vec<PolicyRule> {
    vec![
        rule(&[""], &["secrets"], &admission::webhook::SECRETS, &["get", "list", "update", "watch"]),
        // RBAC cannot restrict creation by name.
        rule(&[""], &["secrets"], &[], &["create"]),
        rule(&[""], &["configmaps"], &[], &["create", "get", "update"]),
        rule(&[""], &["pods"], &[], &["get"]),
        rule(&["discovery.k8s.io"], &["endpointslices"], &[], &["list"]),
    ]
}

#[cfg(test)]
mod tests;
