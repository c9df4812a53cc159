//! The order in which kinds are installed and uninstalled.
//!
//! Source: `pkg/release/v1/util/kind_sorter.go`.

use std::cmp::Ordering;

/// The direction of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Dependencies come first.
    Install,
    /// Dependencies come last, and webhooks come before the objects that they validate.
    Uninstall,
}

const INSTALL: &[&str] = &[
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

const UNINSTALL: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "APIService",
    "Ingress",
    "IngressClass",
    "Service",
    "CronJob",
    "Job",
    "StatefulSet",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "ReplicationController",
    "Pod",
    "DaemonSet",
    "RoleBindingList",
    "RoleBinding",
    "RoleList",
    "Role",
    "ClusterRoleBindingList",
    "ClusterRoleBinding",
    "ClusterRoleList",
    "ClusterRole",
    "CustomResourceDefinition",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "ConfigMap",
    "SecretList",
    "Secret",
    "ServiceAccount",
    "PodDisruptionBudget",
    "PodSecurityPolicy",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "Namespace",
    "PriorityClass",
];

impl Order {
    /// Sorts by kind. Items of the same kind keep their order; unknown kinds come last, sorted by name.
    pub(super) fn sort<T>(self, items: &mut [T], kind: impl Fn(&T) -> &str) {
        let kinds = match self {
            Self::Install => INSTALL,
            Self::Uninstall => UNINSTALL,
        };
        let rank = |kind: &str| kinds.iter().position(|known| *known == kind);
        items.sort_by(|a, b| match (rank(kind(a)), rank(kind(b))) {
            (Some(first), Some(second)) => first.cmp(&second),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => kind(a).cmp(kind(b)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_kinds_come_last_by_name_and_equal_ones_keep_their_order() {
        let mut kinds = ["Zebra", "Deployment", "Ant", "Secret", "Namespace", "Secret2", "Secret"];
        Order::Install.sort(&mut kinds, |kind| kind);
        assert_eq!(kinds, ["Namespace", "Secret", "Secret", "Deployment", "Ant", "Secret2", "Zebra"]);
        Order::Uninstall.sort(&mut kinds, |kind| kind);
        assert_eq!(kinds, ["Deployment", "Secret", "Secret", "Namespace", "Ant", "Secret2", "Zebra"]);
    }

    #[test]
    fn both_orders_contain_the_same_kinds() {
        let (mut install, mut uninstall) = (INSTALL.to_vec(), UNINSTALL.to_vec());
        install.sort_unstable();
        uninstall.sort_unstable();
        assert_eq!(install, uninstall);
    }
}
