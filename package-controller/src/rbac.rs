//! What the controller may do: the least that it needs for itself. What the charts of the active bundle ask for is
//! [derived](installer::rights::derive) from them.
//!
//! The rules are applied by a person's command and never by the controller, so that a bundle cannot widen them.

use installer::rights::rule;
use k8s_openapi::api::rbac::v1::PolicyRule;
use package_api::{AIRLOCK_GROUP, EKS_GROUP};

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

/// What the controller needs in its own namespace: records of releases and its lease.
#[must_use]
pub fn fixed_in_own_namespace() -> Vec<PolicyRule> {
    vec![
        // Records are called as Helm calls them, by release and revision, and no rule can hold to the beginning of a name.
        rule(&[""], &["secrets"], &[], &["create", "delete", "get", "list", "update"]),
        rule(&["coordination.k8s.io"], &["leases"], &[], &["create", "get", "update"]),
    ]
}

/// What the controller needs where Cluster API leaves the kubeconfigs of other clusters.
#[must_use]
pub fn fixed_in_system_namespace() -> Vec<PolicyRule> {
    vec![rule(&[""], &["secrets"], &[], &["get"])]
}

/// What the webhooks need in whatever cluster: their own configurations, and to ask what a user may do. The
/// installation makes the configurations. By name they may be applied again when somebody deletes them, and no other
/// can be made: a request that creates without a name, as `kubectl create` does, is for all names.
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

/// What the webhooks need in the controller's own namespace: their certificate, the greatest sequences of trust policies
/// that were in force, their own image, which no policy may refuse, and whether their service leads to them.
#[must_use]
pub fn fixed_for_webhooks_in_own_namespace() -> Vec<PolicyRule> {
    vec![
        rule(&[""], &["secrets"], &admission::webhook::SECRETS, &["get", "list", "update", "watch"]),
        // Nobody can be held to a name in what he makes.
        rule(&[""], &["secrets"], &[], &["create"]),
        rule(&[""], &["configmaps"], &[], &["create", "get", "update"]),
        rule(&[""], &["pods"], &[], &["get"]),
        rule(&["discovery.k8s.io"], &["endpointslices"], &[], &["list"]),
    ]
}

#[cfg(test)]
mod tests;
