//! The webhook configurations, with all defaults explicit, so that they can be compared with those in the cluster.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use package_api::{AIRLOCK_GROUP, EKS_GROUP, VERSION};

/// The name of both configurations.
pub const NAME: &str = "airlock";
/// The API server sets this label itself, and it cannot be changed.
pub(super) const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// The namespace of the cluster's own components. If pods there were rejected, the cluster could not repair itself.
pub(super) const SYSTEM: &str = "kube-system";

/// The API server's timeout. The webhooks' own queries end earlier.
const TIMEOUT: i32 = 8;

/// The URL paths of the webhooks.
pub(super) struct Paths;

impl Paths {
    pub(super) const CONTROLLER: &'static str =
        "/validate-packages-eks-amazonaws-com-v1alpha1-packagebundlecontroller";
    pub(super) const BUNDLE: &'static str = "/validate-packages-eks-amazonaws-com-v1alpha1-packagebundle";
    pub(super) const PACKAGE: &'static str = "/validate-packages-eks-amazonaws-com-v1alpha1-package";
    pub(super) const POLICY: &'static str = "/validate-airlock-dev-v1alpha1-trustpolicy";
    pub(super) const MUTATE: &'static str = "/mutate-images";
    pub(super) const VERIFY: &'static str = "/verify-images";
}

/// The address at which the API server calls the webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// airlock's own namespace. Its pods are not verified: otherwise the webhooks themselves could not start.
    pub namespace: String,
    /// The service in this namespace.
    pub service: String,
    /// A URL without a path, instead of the service.
    pub url: Option<String>,
    /// The CAs of the serving certificate, as PEM; `None` if they are added later.
    pub ca_bundle: Option<String>,
}

/// The webhook configurations: EKS Anywhere's three, the one for trust policies, and the two for images.
#[must_use]
pub fn configurations(
    endpoint: &WebhookEndpoint,
) -> (ValidatingWebhookConfiguration, MutatingWebhookConfiguration) {
    let metadata = ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(BTreeMap::from([("app.kubernetes.io/name".to_owned(), "airlock".to_owned())])),
        ..ObjectMeta::default()
    };
    let validating = [
        ("vpackagebundlecontroller.kb.io", Paths::CONTROLLER, own(EKS_GROUP, "packagebundlecontrollers")),
        ("vpackagebundle.kb.io", Paths::BUNDLE, own(EKS_GROUP, "packagebundles")),
        ("vpackage.kb.io", Paths::PACKAGE, own(EKS_GROUP, "packages")),
        ("trustpolicies.airlock.dev", Paths::POLICY, own(AIRLOCK_GROUP, "trustpolicies")),
    ];
    let mut webhooks: Vec<_> = validating
        .into_iter()
        .map(|(name, path, rule)| validating_webhook(name, endpoint.client(path), vec![rule], everything()))
        .collect();
    let verify = endpoint.client(Paths::VERIFY);
    let namespaces = all_namespaces_except(&endpoint.namespace);
    webhooks.push(validating_webhook("verify-images.airlock.dev", verify, workloads(), namespaces));
    let mutate = MutatingWebhook {
        name: "mutate-images.airlock.dev".to_owned(),
        client_config: endpoint.client(Paths::MUTATE),
        rules: Some(workloads()),
        namespace_selector: Some(all_namespaces_except(&endpoint.namespace)),
        // Images that other webhooks add to a pod are pinned, too.
        reinvocation_policy: Some("IfNeeded".to_owned()),
        object_selector: Some(everything()),
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT),
        admission_review_versions: vec!["v1".to_owned()],
        match_conditions: None,
    };
    (
        ValidatingWebhookConfiguration { metadata: metadata.clone(), webhooks: Some(webhooks) },
        MutatingWebhookConfiguration { metadata, webhooks: Some(vec![mutate]) },
    )
}

/// The configurations without webhooks, as the installation creates them. They have no effect until the controller fills
/// them in. It may change these two and create no others.
#[must_use]
pub fn empty() -> (ValidatingWebhookConfiguration, MutatingWebhookConfiguration) {
    let (validating, mutating) = configurations(&WebhookEndpoint::default());
    (
        ValidatingWebhookConfiguration { webhooks: None, ..validating },
        MutatingWebhookConfiguration { webhooks: None, ..mutating },
    )
}

fn validating_webhook(
    name: &str,
    client_config: WebhookClientConfig,
    rules: Vec<RuleWithOperations>,
    namespaces: LabelSelector,
) -> ValidatingWebhook {
    ValidatingWebhook {
        name: name.to_owned(),
        client_config,
        rules: Some(rules),
        namespace_selector: Some(namespaces),
        object_selector: Some(everything()),
        failure_policy: Some("Fail".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT),
        admission_review_versions: vec!["v1".to_owned()],
        match_conditions: None,
    }
}

impl WebhookEndpoint {
    fn client(&self, path: &str) -> WebhookClientConfig {
        let ca_bundle = self.ca_bundle.as_ref().map(|pem| ByteString(pem.clone().into_bytes()));
        let url = self.url.as_ref().map(|url| format!("{}{path}", url.trim_end_matches('/')));
        let service = url.is_none().then(|| ServiceReference {
            name: self.service.clone(),
            namespace: self.namespace.clone(),
            path: Some(path.to_owned()),
            port: Some(443),
        });
        WebhookClientConfig { ca_bundle, service, url }
    }
}

fn own(group: &str, resource: &str) -> RuleWithOperations {
    rule(group, VERSION, &[resource])
}

/// Pods and all workload kinds, in every version, so that a new version does not bypass the webhooks.
fn workloads() -> Vec<RuleWithOperations> {
    vec![
        rule("", "*", &["pods", "pods/ephemeralcontainers", "podtemplates", "replicationcontrollers"]),
        rule("apps", "*", &["daemonsets", "deployments", "replicasets", "statefulsets"]),
        rule("batch", "*", &["cronjobs", "jobs"]),
    ]
}

fn rule(group: &str, version: &str, resources: &[&str]) -> RuleWithOperations {
    RuleWithOperations {
        api_groups: Some(vec![group.to_owned()]),
        api_versions: Some(vec![version.to_owned()]),
        operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
        resources: Some(resources.iter().map(|&resource| resource.to_owned()).collect()),
        scope: Some("*".to_owned()),
    }
}

fn everything() -> LabelSelector {
    LabelSelector::default()
}

fn all_namespaces_except(own: &str) -> LabelSelector {
    let requirement = LabelSelectorRequirement {
        key: NAMESPACE_LABEL.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![SYSTEM.to_owned(), own.to_owned()]),
    };
    LabelSelector { match_expressions: Some(vec![requirement]), match_labels: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_webhook_fails_closed_and_only_the_image_webhooks_exempt_two_namespaces() {
        let endpoint =
            WebhookEndpoint { namespace: "eksa-packages".to_owned(), ..WebhookEndpoint::default() };
        let (validating, mutating) = configurations(&endpoint);
        let json = serde_json::json!([validating, mutating]).to_string();
        assert_eq!(json.matches("\"failurePolicy\":\"Fail\"").count(), 6);
        assert_eq!(json.matches("\"values\":[\"kube-system\",\"eksa-packages\"]").count(), 2);
        assert!(!json.contains("caBundle"));
    }

    #[test]
    fn a_url_replaces_the_service() {
        let endpoint = WebhookEndpoint {
            url: Some("https://127.0.0.1:9443/".to_owned()),
            ca_bundle: Some("PEM".to_owned()),
            ..WebhookEndpoint::default()
        };
        let client = endpoint.client(Paths::VERIFY);
        assert_eq!(client.url.as_deref(), Some("https://127.0.0.1:9443/verify-images"));
        assert!(client.service.is_none());
        assert_eq!(client.ca_bundle, Some(ByteString(b"PEM".to_vec())));
    }
}
