//! The webhook for trust policies: what could not be used, what goes back to older keys, and what would lock airlock
//! itself out, is refused before it is in force.

use std::sync::Arc;

use brief::words;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use package_api::TrustPolicy;
use package_api::trust_policy::{PolicyMode, TrustPolicySpec};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use workload_images::images;

use super::configuration::SYSTEM;
use super::packages::typed;
use super::policies::{Compiled, Effect, MOST_GLASS};
use super::review::{Answer, Request};
use super::verify::Judge;
use super::watched::Watched;
use crate::context::Context;

/// Decides on a trust policy.
pub(super) async fn check(context: &Context, watched: &Watched, judge: &Judge, request: &Request) -> Answer {
    let policy: TrustPolicy = match typed(&request.object) {
        Ok(policy) => policy,
        Err(answer) => return answer,
    };
    let old = request.old().and_then(|old| serde_json::from_value::<TrustPolicy>(old.clone()).ok());
    let old = old.map(|old| old.spec);
    if old.as_ref() == Some(&policy.spec) {
        return Answer::default();
    }
    let name = policy.name();
    let newest = watched.newest(name);
    let own = context.settings.namespace.as_str();
    let compiled = Arc::new(Compiled::read(&policy, newest));
    let fault = sequence(&policy.spec, old.as_ref(), newest)
        .or_else(|| compiled.rules.as_ref().err().cloned())
        .or_else(|| namespaces(&policy.spec, own))
        .or_else(|| break_glass(&policy.spec, old.as_ref(), OffsetDateTime::now_utc()));
    let fault = match fault {
        None if policy.spec.mode == PolicyMode::Enforce => {
            locks_out(context, watched, judge, &compiled).await
        }
        fault => fault,
    };
    if let Some(fault) = fault {
        return Answer::denied(400, format!("TrustPolicy {name} is refused: {fault}"));
    }
    let mut answer = Answer::default();
    if let Some(glass) = &policy.spec.break_glass {
        let (user, reason) = (request.user(), glass.reason.as_str());
        if matches!(compiled.effect(OffsetDateTime::now_utc()), Effect::BreaksGlass(..)) {
            tracing::warn!(
                policy = name,
                user,
                reason,
                until = glass.until,
                "break-glass: a policy is to stop nothing"
            );
            answer.warnings.push(format!("until {} the policy stops nothing", glass.until));
            answer.audit.insert("break-glass".to_owned(), format!("until {}: {reason}", glass.until));
        } else {
            answer.warnings.push(over(&glass.until));
        }
    }
    answer
}

fn sequence(spec: &TrustPolicySpec, old: Option<&TrustPolicySpec>, newest: u64) -> Option<String> {
    let before = old.and_then(|old| old.trust.sequence).unwrap_or_default().max(newest);
    let now = spec.trust.sequence.unwrap_or_default();
    (now < before).then(|| {
        format!(
            "it has sequence {now}, but {before} was in force under this name: older keys must not come back. Give it \
             a sequence of at least {before}"
        )
    })
}

fn namespaces(spec: &TrustPolicySpec, own: &str) -> Option<String> {
    let names = spec.namespaces.as_ref()?.names.as_ref()?;
    let exempt = names.iter().find(|name| *name == own || *name == SYSTEM)?;
    Some(format!(
        "namespace `{exempt}` is never judged, because a cluster that refused its own pods there could not be mended; \
         take it from `namespaces.names`"
    ))
}

fn break_glass(spec: &TrustPolicySpec, old: Option<&TrustPolicySpec>, now: OffsetDateTime) -> Option<String> {
    let glass = spec.break_glass.as_ref()?;
    // What has passed may stand there.
    if old.and_then(|old| old.break_glass.as_ref()) == Some(glass) {
        return None;
    }
    let Ok(until) = OffsetDateTime::parse(&glass.until, &Rfc3339) else {
        return Some(format!(
            "`breakGlass.until` is `{}`, which is no time as 2026-01-31T12:00:00Z",
            glass.until
        ));
    };
    if until > now + MOST_GLASS {
        let most = MOST_GLASS.whole_hours();
        return Some(format!(
            "`breakGlass.until` is more than {most} hours ahead; set it again when they are over"
        ));
    }
    let empty = glass.reason.trim().is_empty();
    empty.then(|| "`breakGlass.reason` must say why".to_owned())
}

/// What is said of a time that has passed.
fn over(until: &str) -> String {
    format!(
        "`breakGlass` breaks nothing: {until} is over; name a time within {} hours",
        MOST_GLASS.whole_hours()
    )
}

/// Whether it chooses airlock's own namespace and would refuse airlock's own image. That namespace is not judged today; a
/// change of the webhook configurations away, nothing could judge any more.
async fn locks_out(
    context: &Context,
    watched: &Watched,
    judge: &Judge,
    policy: &Arc<Compiled>,
) -> Option<String> {
    let settings = &context.settings;
    let own = settings.namespace.as_str();
    match watched.labels(own).await {
        Ok(labels) if !policy.is_for(own, &labels) => return None,
        Ok(_) => {}
        Err(reason) => return Some(format!("airlock's own namespace cannot be asked for: {reason}")),
    }
    let pods = Api::<Pod>::namespaced(context.kube.clone(), &settings.namespace);
    let pod = match pods.get_opt(&settings.identity).await {
        Ok(pod) => pod?,
        Err(error) => return Some(format!("airlock's own pod cannot be asked for: {}", words(&error))),
    };
    for used in images("", "Pod", &json!(pod)).unwrap_or_default() {
        if let Some(why) = judge.would_refuse(&used.image, policy).await {
            return Some(format!(
                "it would refuse airlock's own image `{}`: {why}. What to do first: {}; or leave it out by `images`",
                used.image,
                why.advice()
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
    fn a_sequence_never_goes_back_not_even_by_its_absence() {
        assert!(super::sequence(&spec(Some(3)), Some(&spec(Some(3))), 3).is_none());
        assert!(super::sequence(&spec(Some(2)), Some(&spec(Some(3))), 0).is_some());
        assert!(super::sequence(&spec(None), Some(&spec(Some(3))), 0).is_some());
        // Deleted and made again.
        assert!(super::sequence(&spec(Some(2)), None, 3).is_some());
        assert!(super::sequence(&spec(None), None, 0).is_none());
    }

    #[test]
    fn break_glass_has_an_end_within_a_day_and_a_reason() {
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
    fn of_a_time_that_is_over_it_is_said_that_it_breaks_nothing() {
        let said = over("2026-01-31T18:00:00Z");
        assert_eq!(
            said,
            "`breakGlass` breaks nothing: 2026-01-31T18:00:00Z is over; name a time within 24 hours"
        );
    }

    #[test]
    fn the_cluster_s_own_namespaces_are_not_for_policies() {
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
