//! Checks the cluster for objects that would lock out airlock: foreign webhooks, and policies that refuse airlock's
//! own image.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bundle_signer::NameRule;
use bundle_signer::statement::COSIGN_SIGN;
use evidence::{self, EvidenceSource, Question, Until};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use package_api::TrustPolicy;
use package_api::name::PACKAGES_NAMESPACE;
use serde_json::Value;

use super::lockout::{self, Labels, OwnImage};
use super::{Prepared, locked_out, policy};
use crate::commands::cluster::reach::{ClusterError, api_error};

/// The cluster's policies. Foreign webhook configurations that would call airlock about its own pods are refused.
pub(super) async fn refuse_others(client: &Client) -> anyhow::Result<Vec<TrustPolicy>> {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let found =
            api.list(&ListParams::default()).await.map_err(|error| api_error("listing webhooks", &error))?;
        for configuration in found.items {
            let mut value = serde_json::to_value(&configuration)?;
            let own = |webhook: &Value| {
                let service = &webhook["clientConfig"]["service"];
                service["namespace"] == PACKAGES_NAMESPACE && service["name"] == "airlock-webhook"
            };
            if let Some(webhooks) = value["webhooks"].as_array_mut() {
                webhooks.retain(own);
            }
            if let Some(reason) = lockout::of_webhooks(&value) {
                return Err(locked_out(reason));
            }
        }
    }
    let api: Api<TrustPolicy> = Api::all(client.clone());
    match api.list(&ListParams::default()).await {
        Ok(found) => Ok(found.items),
        // This installation creates the CRDs.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(api_error("listing policies", &error)),
    }
}

pub(super) fn policies_from_files(order: &Prepared) -> anyhow::Result<Vec<TrustPolicy>> {
    let policies = order.extra.iter().map(policy).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(policies.into_iter().flatten().collect())
}

/// The labels that airlock's own namespace will have.
pub(super) async fn labels(client: &Client, order: &Prepared) -> anyhow::Result<Labels> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_metadata_opt(PACKAGES_NAMESPACE).await;
    let found = found.map_err(|error| api_error("reading airlock's namespace", &error))?;
    let mut labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
    let own = order.manifests.namespace_and_crds.iter().find(|manifest| manifest["kind"] == "Namespace");
    let own = own.and_then(|own| own.pointer("/metadata/labels")?.as_object());
    for (key, value) in own.into_iter().flatten() {
        labels.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    Ok(labels)
}

/// Checks that every policy that applies to airlock accepts its own image. A policy from a file replaces the
/// cluster's policy of the same name.
pub(super) async fn check_policies(
    policies: &[TrustPolicy],
    order: &Prepared,
    destination: &EvidenceSource,
    labels: &Labels,
) -> anyhow::Result<()> {
    let newest: BTreeMap<_, _> = policies.iter().map(|policy| (policy.name().to_owned(), policy)).collect();
    for (name, policy) in newest {
        if lockout::of_policy(&name, &policy.spec, &order.name, labels) != Ok(OwnImage::MustSatisfy) {
            continue;
        }
        let trust = admission::policy::trust_file(&policy.spec)
            .with_context(|| format!("the policy `{name}` cannot be used"))?;
        let question = Question {
            digest: &order.image.digest,
            name: &order.name,
            name_rule: NameRule::Required,
            predicate_type: COSIGN_SIGN,
            gate: bundle_signer::Gate::Pull,
            newest_policy: 0,
        };
        let (digest, asked) = (&order.image.digest, vec![question]);
        let verdict = evidence::judged(destination, digest, &trust, asked, Until::Settled).await?.remove(0);
        if !verdict.decision.allowed {
            let reasons: Vec<_> = verdict.decision.reasons.iter().map(ToString::to_string).collect();
            return Err(ClusterError::refused(
                format!(
                    "the policy `{name}` would refuse airlock's own image {}@{}: {}",
                    order.name,
                    order.image.digest,
                    reasons.join("; ")
                ),
                "nothing was applied; sign the image with a key that the policy accepts: --key FILE",
            ));
        }
    }
    Ok(())
}
