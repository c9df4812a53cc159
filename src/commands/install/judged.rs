//! What the cluster has that would lock airlock out: webhooks of others, and policies that refuse airlock's own image.

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
use crate::commands::cluster::reach::{Answer, told};

/// The cluster's policies; webhooks of others that would ask airlock about its own pods are refused here.
pub(super) async fn refuse_others(client: &Client) -> anyhow::Result<Vec<TrustPolicy>> {
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let found =
            api.list(&ListParams::default()).await.map_err(|error| told("listing webhooks", &error))?;
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
        // The definitions come with this installation.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(told("listing policies", &error)),
    }
}

pub(super) fn given(order: &Prepared) -> anyhow::Result<Vec<TrustPolicy>> {
    let policies = order.extra.iter().map(policy).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(policies.into_iter().flatten().collect())
}

/// The labels that airlock's own namespace will have.
pub(super) async fn labels(client: &Client, order: &Prepared) -> anyhow::Result<Labels> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_metadata_opt(PACKAGES_NAMESPACE).await;
    let found = found.map_err(|error| told("reading airlock's namespace", &error))?;
    let mut labels = found.and_then(|found| found.metadata.labels).unwrap_or_default();
    let own = order.manifests.definitions.iter().find(|manifest| manifest["kind"] == "Namespace");
    let own = own.and_then(|own| own.pointer("/metadata/labels")?.as_object());
    for (key, value) in own.into_iter().flatten() {
        labels.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    Ok(labels)
}

/// That every policy that reaches airlock lets its own image run. One that is given takes the place of the
/// cluster's of the same name.
pub(super) async fn judged(
    policies: &[TrustPolicy],
    order: &Prepared,
    place: &EvidenceSource,
    labels: &Labels,
) -> anyhow::Result<()> {
    let newest: BTreeMap<_, _> = policies.iter().map(|policy| (policy.name().to_owned(), policy)).collect();
    for (name, policy) in newest {
        if lockout::of_policy(&name, &policy.spec, &order.name, labels) != Ok(OwnImage::Judged) {
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
        let asked = (&trust, vec![question]);
        let verdict = evidence::judged(place, &order.image.digest, asked, Until::Settled).await?.remove(0);
        if !verdict.decision.allowed {
            let why: Vec<_> = verdict.decision.why_not.iter().map(ToString::to_string).collect();
            return Err(Answer::refused(
                format!(
                    "the policy `{name}` would refuse airlock's own image {}@{}: {}",
                    order.name,
                    order.image.digest,
                    why.join("; ")
                ),
                "nothing was applied; sign the image by a key of the policy: --key",
            ));
        }
    }
    Ok(())
}
