//! Detects configurations that would lock out airlock or the cluster. Pure: manifests and labels in, reasons out. If there
//! is a reason, nothing is applied.
//!
//! A lock-out cannot recover by itself: a webhook that must answer before its own pod can start, or a policy that refuses
//! the image of the controller that enforces it.

use std::collections::BTreeMap;

use bundle_signer::ImageName;
use package_api::TrustPolicySpec;
use package_api::name::PACKAGES_NAMESPACE;
use package_api::trust_policy::PolicyMode;
use serde_json::Value;

/// The namespace of the cluster's own components, which everything else needs: DNS, network, proxies.
const SYSTEM: &str = "kube-system";
/// The label with a namespace's name, which the API server sets.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The API groups of airlock's own kinds, which no component of a cluster needs to start.
const OWN_GROUPS: [&str; 2] = [package_api::EKS_GROUP, package_api::AIRLOCK_GROUP];

/// The reason why a webhook configuration would lock out airlock or the cluster.
pub(super) fn of_webhooks(configuration: &Value) -> Option<String> {
    let name = configuration["metadata"]["name"].as_str().unwrap_or_default();
    let webhooks = configuration["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default();
    webhooks.iter().filter(|webhook| stops(webhook)).find_map(|webhook| {
        let hook = webhook["name"].as_str().unwrap_or_default();
        let reached = [PACKAGES_NAMESPACE, SYSTEM].into_iter().find(|namespace| reaches(webhook, namespace))?;
        Some(format!(
            "the webhook `{hook}` of `{name}` fails closed and matches pods in `{reached}`: if airlock is down, it could \
             not be started again"
        ))
    })
}

/// Whether it blocks pods or workloads while its server does not answer, which is Kubernetes' default.
fn stops(webhook: &Value) -> bool {
    let is_about_others = |rule: &Value| {
        let groups = rule["apiGroups"].as_array().map(Vec::as_slice).unwrap_or_default();
        !groups.iter().all(|group| OWN_GROUPS.iter().any(|own| group == own))
    };
    let rules = webhook["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    webhook["failurePolicy"] != "Ignore" && rules.iter().any(is_about_others)
}

/// Whether its selector matches a namespace of this name. Other labels of the namespace are not known, so an
/// exclusion by them does not count.
fn reaches(webhook: &Value, namespace: &str) -> bool {
    let selector = &webhook["namespaceSelector"];
    let label = |key: &str| (key == NAME_LABEL).then_some(namespace);
    let labels = selector["matchLabels"].as_object();
    let by_labels = labels.into_iter().flatten().all(|(key, value)| label(key).is_none_or(|is| value == is));
    let expressions = selector["matchExpressions"].as_array().map(Vec::as_slice).unwrap_or_default();
    by_labels && expressions.iter().all(|expression| expression_takes(expression, namespace))
}

fn expression_takes(expression: &Value, namespace: &str) -> bool {
    if expression["key"] != NAME_LABEL {
        return true;
    }
    let values = expression["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let among = values.iter().any(|value| value == namespace);
    match expression["operator"].as_str() {
        Some("In") => among,
        Some("NotIn") => !among,
        Some("DoesNotExist") => false,
        _ => true,
    }
}

/// What a policy means for airlock's own image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnImage {
    /// The policy does not apply to it.
    Unaffected,
    /// It must satisfy the policy.
    MustSatisfy,
}

/// The labels of airlock's own namespace after an installation: the existing ones and those of the manifest.
pub(super) type Labels = BTreeMap<String, String>;

/// Whether airlock's own image must satisfy a policy: it must if the policy selects airlock's namespace, which has
/// these labels, and matches the image. The error is the reason why the policy would lock out the cluster.
pub(super) fn of_policy(
    name: &str,
    policy: &TrustPolicySpec,
    image: &ImageName,
    labels: &Labels,
) -> Result<OwnImage, String> {
    let chosen = policy.namespaces.as_ref();
    let mut given = chosen.and_then(|choice| choice.names.as_ref()).into_iter().flatten();
    // The webhook checks the same, but only after everything is applied.
    if let Some(exempt) = given.find(|name| [PACKAGES_NAMESPACE, SYSTEM].contains(&name.as_str())) {
        return Err(format!(
            "the policy `{name}` names `{exempt}`, which is always exempt, so that the cluster's own pods and airlock's \
             can start: remove it from `namespaces.names`"
        ));
    }
    if policy.mode != PolicyMode::Enforce {
        return Ok(OwnImage::Unaffected);
    }
    let names = |namespace: &str| {
        let by_label = chosen.and_then(|choice| choice.match_labels.as_ref());
        let by_label = by_label.and_then(|labels| labels.get(NAME_LABEL));
        by_label.is_some_and(|is| is == namespace)
    };
    if names(SYSTEM) {
        return Err(format!(
            "the policy `{name}` selects `{SYSTEM}`, the namespace of the cluster's own pods, which is always exempt: \
             select other namespaces"
        ));
    }
    let about = policy
        .images
        .as_ref()
        .is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, &image.to_string())));
    // A policy for all namespaces exempts airlock's today, but its image must be able to run anywhere. Names cannot
    // select it, as checked above.
    let reached = chosen.is_none_or(|choice| {
        let has = |(key, value): (&String, &String)| {
            let is = if key == NAME_LABEL {
                Some(PACKAGES_NAMESPACE)
            } else {
                labels.get(key).map(String::as_str)
            };
            is == Some(value)
        };
        choice.names.is_none() && choice.match_labels.iter().flatten().all(has)
    });
    Ok(if reached && about { OwnImage::MustSatisfy } else { OwnImage::Unaffected })
}

/// `HOST/PATH`: `*` matches one part, `**` at the end all remaining parts.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut parts, mut names) = (pattern.split('/'), name.split('/'));
    loop {
        match (parts.next(), names.next()) {
            (Some("**"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(part), Some(name)) if part == name => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use package_api::trust_policy::NamespaceChoice;
    use serde_json::json;

    use super::*;

    fn webhook(policy: &str, group: &str, selector: &Value) -> Value {
        json!({ "metadata": { "name": "airlock" }, "webhooks": [{
            "name": "images.airlock.dev", "failurePolicy": policy, "namespaceSelector": selector,
            "rules": [{ "apiGroups": [group], "resources": ["pods"] }],
        }]})
    }

    #[test]
    fn a_webhook_that_matches_its_own_pod_is_a_lock_out() {
        let all = json!({});
        let out = |values: &[&str]| json!({ "matchExpressions": [{ "key": NAME_LABEL, "operator": "NotIn", "values": values }] });
        let reason = of_webhooks(&webhook("Fail", "", &all)).unwrap();
        assert!(reason.contains("images.airlock.dev") && reason.contains("eksa-packages"), "{reason}");
        let reason = of_webhooks(&webhook("Fail", "apps", &out(&["eksa-packages"]))).unwrap();
        assert!(reason.contains("kube-system"), "{reason}");
        for fine in [
            webhook("Fail", "", &out(&["eksa-packages", "kube-system"])),
            webhook("Ignore", "", &all),
            webhook("Fail", "packages.eks.amazonaws.com", &all),
            webhook("Fail", "", &json!({ "matchLabels": { NAME_LABEL: "team" } })),
        ] {
            assert_eq!(of_webhooks(&fine), None, "{fine}");
        }
        // A label that can be removed does not exclude a namespace.
        let label =
            json!({ "matchExpressions": [{ "key": "airlock.dev/exempt", "operator": "DoesNotExist" }] });
        assert!(of_webhooks(&webhook("Fail", "", &label)).is_some());
    }

    #[test]
    fn airlocks_image_must_satisfy_a_policy_that_applies_to_it() {
        let image: ImageName = "registry.site:5000/airlock/airlock".parse().unwrap();
        let policy = |names: Option<&[&str]>, images: Option<&[&str]>| {
            let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
            TrustPolicySpec {
                images: images.map(list),
                namespaces: names
                    .map(|names| NamespaceChoice { names: Some(list(names)), match_labels: None }),
                ..TrustPolicySpec::default()
            }
        };
        let of_policy = |name: &str, policy: &TrustPolicySpec, image: &ImageName| {
            super::of_policy(name, policy, image, &Labels::new())
        };
        let effect = |names, images| of_policy("p", &policy(names, images), &image);
        assert!(effect(Some(&["eksa-packages"]), None).unwrap_err().contains("always exempt"));
        assert_eq!(effect(None, None), Ok(OwnImage::MustSatisfy));
        assert_eq!(effect(None, Some(&["registry.site:5000/**"])), Ok(OwnImage::MustSatisfy));
        assert_eq!(effect(None, Some(&["registry.site:5000/*/airlock"])), Ok(OwnImage::MustSatisfy));
        assert_eq!(
            effect(None, Some(&["registry.site:5000/airlock", "docker.io/**"])),
            Ok(OwnImage::Unaffected)
        );
        assert_eq!(effect(Some(&["team"]), None), Ok(OwnImage::Unaffected));
        assert!(effect(Some(&["kube-system"]), None).unwrap_err().contains("kube-system"));
        let warns = TrustPolicySpec { mode: PolicyMode::Warn, ..policy(Some(&["kube-system"]), None) };
        assert!(of_policy("p", &warns, &image).unwrap_err().contains("`kube-system`"));
        let warns = TrustPolicySpec { mode: PolicyMode::Warn, ..policy(Some(&["team"]), None) };
        assert_eq!(of_policy("p", &warns, &image), Ok(OwnImage::Unaffected));
        let labels = Some([(NAME_LABEL.to_owned(), SYSTEM.to_owned())].into());
        let namespaces = Some(NamespaceChoice { names: None, match_labels: labels });
        let labelled = TrustPolicySpec { namespaces, ..TrustPolicySpec::default() };
        assert!(of_policy("p", &labelled, &image).unwrap_err().contains("kube-system"));
    }
    #[test]
    fn o15_a_policy_by_labels_applies_to_airlock_only_if_its_namespace_has_them() {
        let image: ImageName = "registry.site:5000/airlock/airlock".parse().unwrap();
        let label = |key: &str, value: &str| Labels::from([(key.to_owned(), value.to_owned())]);
        let policy = |labels: Labels| TrustPolicySpec {
            namespaces: Some(NamespaceChoice { names: None, match_labels: Some(labels) }),
            ..TrustPolicySpec::default()
        };
        let prod = policy(label("env", "prod"));
        assert_eq!(of_policy("p", &prod, &image, &Labels::new()), Ok(OwnImage::Unaffected));
        assert_eq!(of_policy("p", &prod, &image, &label("env", "test")), Ok(OwnImage::Unaffected));
        assert_eq!(of_policy("p", &prod, &image, &label("env", "prod")), Ok(OwnImage::MustSatisfy));
        let own = policy(label(NAME_LABEL, PACKAGES_NAMESPACE));
        assert_eq!(of_policy("p", &own, &image, &Labels::new()), Ok(OwnImage::MustSatisfy));
        assert_eq!(of_policy("p", &policy(Labels::new()), &image, &Labels::new()), Ok(OwnImage::MustSatisfy));
    }
}
