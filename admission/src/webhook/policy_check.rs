//! The webhook for trust policies: rejects policies that cannot be used, that return to older keys, or that would reject
//! airlock's own image.

use std::sync::Arc;

use error_text::one_line;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use package_api::TrustPolicy;
use package_api::trust_policy::{PolicyMode, TrustPolicySpec};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use workload_images::images;

use super::cluster_state::ClusterState;
use super::configuration::SYSTEM;
use super::packages::typed;
use super::policies::{CompiledPolicy, Effect, MAX_BREAK_GLASS};
use super::review::{AdmissionResponse, Request};
use super::verify::ImageVerifier;
use crate::context::Context;

/// Decides on a trust policy.
pub(super) async fn check(
    context: &Context,
    cluster: &ClusterState,
    verifier: &ImageVerifier,
    request: &Request,
) -> AdmissionResponse {
    let policy: TrustPolicy = match typed(&request.object) {
        Ok(policy) => policy,
        Err(response) => return response,
    };
    let old = request.old().and_then(|old| serde_json::from_value::<TrustPolicy>(old.clone()).ok());
    let old = old.map(|old| old.spec);
    if old.as_ref() == Some(&policy.spec) {
        return AdmissionResponse::default();
    }
    let name = policy.name();
    let newest = cluster.newest(name);
    let own = context.settings.namespace.as_str();
    let compiled = Arc::new(CompiledPolicy::read(&policy, newest));
    let fault = sequence(&policy.spec, old.as_ref(), newest)
        .or_else(|| compiled.rules.as_ref().err().cloned())
        .or_else(|| namespaces(&policy.spec, own))
        .or_else(|| break_glass(&policy.spec, old.as_ref(), OffsetDateTime::now_utc()));
    let fault = match fault {
        None if policy.spec.mode == PolicyMode::Enforce => {
            locks_out(context, cluster, verifier, &compiled).await
        }
        fault => fault,
    };
    if let Some(fault) = fault {
        return AdmissionResponse::denied(400, format!("TrustPolicy {name} is rejected: {fault}"));
    }
    let mut response = AdmissionResponse::default();
    if let Some(glass) = &policy.spec.break_glass {
        let (user, reason) = (request.user(), glass.reason.as_str());
        if matches!(compiled.effect(OffsetDateTime::now_utc()), Effect::BreakGlass(..)) {
            tracing::warn!(
                policy = name,
                user,
                reason,
                until = glass.until,
                "break-glass: a policy is set to block nothing"
            );
            response.warnings.push(format!("the policy blocks nothing until {}", glass.until));
            response.audit.insert("break-glass".to_owned(), format!("until {}: {reason}", glass.until));
        } else {
            response.warnings.push(expired(&glass.until));
        }
    }
    response
}

fn sequence(spec: &TrustPolicySpec, old: Option<&TrustPolicySpec>, newest: u64) -> Option<String> {
    let before = old.and_then(|old| old.trust.sequence).unwrap_or_default().max(newest);
    let now = spec.trust.sequence.unwrap_or_default();
    (now < before).then(|| {
        format!(
            "it has sequence {now}, but {before} was in force under this name, and older keys must not become valid again. \
             Set `trust.sequence` to at least {before}"
        )
    })
}

fn namespaces(spec: &TrustPolicySpec, own: &str) -> Option<String> {
    let names = spec.namespaces.as_ref()?.names.as_ref()?;
    let exempt = names.iter().find(|name| *name == own || *name == SYSTEM)?;
    Some(format!(
        "namespace `{exempt}` is always exempt, because a cluster that rejects its own pods cannot be repaired; \
         remove it from `namespaces.names`"
    ))
}

fn break_glass(spec: &TrustPolicySpec, old: Option<&TrustPolicySpec>, now: OffsetDateTime) -> Option<String> {
    let glass = spec.break_glass.as_ref()?;
    // An expired time may stay in the policy.
    if old.and_then(|old| old.break_glass.as_ref()) == Some(glass) {
        return None;
    }
    let Ok(until) = OffsetDateTime::parse(&glass.until, &Rfc3339) else {
        return Some(format!(
            "`breakGlass.until` is `{}`, expected a time such as 2026-01-31T12:00:00Z",
            glass.until
        ));
    };
    if until > now + MAX_BREAK_GLASS {
        let limit = MAX_BREAK_GLASS.whole_hours();
        return Some(format!(
            "`breakGlass.until` is more than {limit} hours ahead; set an earlier time, and extend it later if necessary"
        ));
    }
    let empty = glass.reason.trim().is_empty();
    empty.then(|| "`breakGlass.reason` must not be empty".to_owned())
}

/// The warning for an expired time.
fn expired(until: &str) -> String {
    format!(
        "`breakGlass` has no effect: {until} is in the past; set a time within the next {} hours",
        MAX_BREAK_GLASS.whole_hours()
    )
}

/// Whether the policy matches airlock's own namespace and would reject airlock's own image. That namespace is exempt, but
/// with other webhook configurations the webhooks themselves could not start.
async fn locks_out(
    context: &Context,
    cluster: &ClusterState,
    verifier: &ImageVerifier,
    policy: &Arc<CompiledPolicy>,
) -> Option<String> {
    let settings = &context.settings;
    let own = settings.namespace.as_str();
    match cluster.labels(own).await {
        Ok(labels) if !policy.matches_namespace(own, &labels) => return None,
        Ok(_) => {}
        Err(reason) => return Some(format!("cannot get airlock's own namespace: {reason}")),
    }
    let pods = Api::<Pod>::namespaced(context.kube.clone(), &settings.namespace);
    let pod = match pods.get_opt(&settings.identity).await {
        Ok(pod) => pod?,
        Err(error) => return Some(format!("cannot get airlock's own pod: {}", one_line(&error))),
    };
    for used in images("", "Pod", &json!(pod)).unwrap_or_default() {
        if let Some(reason) = verifier.would_reject(&used.image, policy).await {
            return Some(format!(
                "it would reject airlock's own image `{}`: {reason}. What to do first: {}; or exclude it with `images`",
                used.image,
                reason.advice()
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use package_api::trust_policy::{BreakGlass, NamespaceChoice, PolicyTrust};
    use time::Duration;

    use super::*;

    fn spec(sequence: Option<u64>) -> TrustPolicySpec {
        TrustPolicySpec {
            trust: PolicyTrust { sequence, ..PolicyTrust::default() },
            ..TrustPolicySpec::default()
        }
    }

    #[test]
    fn a_sequence_never_decreases_not_even_by_omission() {
        assert!(super::sequence(&spec(Some(3)), Some(&spec(Some(3))), 3).is_none());
        assert!(super::sequence(&spec(Some(2)), Some(&spec(Some(3))), 0).is_some());
        assert!(super::sequence(&spec(None), Some(&spec(Some(3))), 0).is_some());
        // The policy was deleted and created again.
        assert!(super::sequence(&spec(Some(2)), None, 3).is_some());
        assert!(super::sequence(&spec(None), None, 0).is_none());
    }

    #[test]
    fn break_glass_needs_an_end_within_a_day_and_a_reason() {
        let now = OffsetDateTime::now_utc();
        let with = |ahead: Duration, reason: &str| {
            let until = (now + ahead).format(&Rfc3339).unwrap();
            let break_glass = Some(BreakGlass { until, reason: reason.to_owned() });
            TrustPolicySpec { break_glass, ..spec(None) }
        };
        let fault = |spec: &TrustPolicySpec, old: Option<&TrustPolicySpec>| break_glass(spec, old, now);
        assert!(fault(&with(Duration::hours(24), "fire"), None).is_none());
        assert!(fault(&with(Duration::hours(25), "fire"), None).unwrap().contains("24 hours"));
        assert!(fault(&with(Duration::hours(1), " "), None).is_some());
        let old = with(Duration::hours(48), "fire");
        assert!(fault(&old, Some(&old)).is_none());
    }

    #[test]
    fn an_expired_time_produces_a_warning() {
        let warning = expired("2026-01-31T18:00:00Z");
        assert_eq!(
            warning,
            "`breakGlass` has no effect: 2026-01-31T18:00:00Z is in the past; set a time within the next 24 hours"
        );
    }

    #[test]
    fn the_cluster_s_own_namespaces_are_exempt() {
        let choice = |name: &str| {
            let names = Some(vec!["web".to_owned(), name.to_owned()]);
            let namespaces = Some(NamespaceChoice { names, match_labels: None });
            TrustPolicySpec { namespaces, ..spec(None) }
        };
        assert!(namespaces(&choice("kube-system"), "eksa-packages").is_some());
        assert!(namespaces(&choice("eksa-packages"), "eksa-packages").is_some());
        assert!(namespaces(&choice("shop"), "eksa-packages").is_none());
    }
}
