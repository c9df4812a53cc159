//! Compiled trust policies: parsed once when they change, together with the sequences that were in force.

use std::collections::BTreeMap;

use bundle_signer::statement::{COSIGN_SIGN, predicate_type};
use bundle_signer::trust::Pattern;
use bundle_signer::{ImageName, TrustFile};
use error_text::one_line;
use oci::Digest;
use package_api::TrustPolicy;
use package_api::trust_policy::{PolicyMode, TagMode, TrustPolicySpec};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::policy;

/// The longest break-glass period.
pub(super) const MAX_BREAK_GLASS: Duration = Duration::hours(24);

/// A parsed policy.
#[derive(Debug)]
pub(super) struct CompiledPolicy {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) spec: TrustPolicySpec,
    /// The digest of everything that a verdict depends on.
    pub(super) digest: Digest,
    /// The greatest sequence that was in force.
    pub(super) newest: u64,
    /// The rules of the policy, or the reason why it cannot be used. In that case it rejects all images that it may match.
    pub(super) rules: Result<PolicyRules, String>,
    glass: Option<(OffsetDateTime, String)>,
}

/// The rules of a usable policy.
#[derive(Debug)]
pub(super) struct PolicyRules {
    pub(super) trust: TrustFile,
    /// The required predicate types.
    pub(super) predicates: Vec<String>,
    images: Option<Vec<Pattern>>,
}

/// The effect of a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect<'a> {
    Deny,
    Warn,
    Audit,
    /// Break-glass is active: the reason, and the end.
    BreakGlass(&'a str, OffsetDateTime),
}

impl PolicyRules {
    /// Parses the rules of a policy.
    pub(super) fn read(spec: &TrustPolicySpec) -> Result<Self, String> {
        // The user wrote a policy, not a trust file.
        let trust = policy::trust_file(spec)
            .map_err(|error| one_line(&error).replace("the trust file", "the policy"))?;
        let required = spec.require.as_deref().unwrap_or_default();
        let mut predicates = required
            .iter()
            .map(|rule| {
                predicate_type(&rule.sign)
                    .map(str::to_owned)
                    .ok_or_else(|| format!("`require` has the unknown predicate type `{}`", rule.sign))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if predicates.is_empty() {
            predicates.push(COSIGN_SIGN.to_owned());
        }
        let images = spec.images.as_ref().map(|images| {
            images.iter().map(|text| Pattern::parse(text).map_err(|error| one_line(&error))).collect()
        });
        Ok(Self { trust, predicates, images: images.transpose()? })
    }

    fn matches(&self, name: &ImageName) -> bool {
        self.images.as_ref().is_none_or(|images| images.iter().any(|pattern| pattern.matches(name)))
    }
}

impl CompiledPolicy {
    /// Parses a policy. `newest` is the greatest recorded sequence for its name.
    pub(super) fn read(policy: &TrustPolicy, newest: u64) -> Self {
        let spec = policy.spec.clone();
        let reported = policy.status.as_ref().and_then(|status| status.newest_sequence).unwrap_or_default();
        let newest = newest.max(reported);
        let decisive = serde_json::json!([spec.trust, spec.require, newest]).to_string();
        let glass = spec.break_glass.as_ref().and_then(|glass| {
            Some((OffsetDateTime::parse(&glass.until, &Rfc3339).ok()?, glass.reason.clone()))
        });
        Self {
            name: policy.name().to_owned(),
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            generation: policy.metadata.generation.unwrap_or_default(),
            digest: Digest::sha256(decisive.as_bytes()),
            rules: PolicyRules::read(&spec),
            newest,
            spec,
            glass,
        }
    }

    /// Whether the policy matches a namespace.
    pub(super) fn matches_namespace(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let Some(choice) = &self.spec.namespaces else { return true };
        let named = choice.names.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace));
        let labelled = choice
            .match_labels
            .as_ref()
            .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
        named && labelled
    }

    /// Whether the policy matches an image. A policy that cannot be parsed matches any image.
    pub(super) fn matches_image(&self, name: &ImageName) -> bool {
        self.rules.as_ref().map_or(true, |rules| rules.matches(name))
    }

    pub(super) fn pins(&self) -> bool {
        self.spec.tags == TagMode::Pin
    }

    /// The effect of a violation at a given time.
    pub(super) fn effect(&self, now: OffsetDateTime) -> Effect<'_> {
        match &self.glass {
            // A longer period was set while the webhook for policies was not active.
            Some((until, reason))
                if now < *until && *until <= now + MAX_BREAK_GLASS && !reason.is_empty() =>
            {
                return Effect::BreakGlass(reason, *until);
            }
            _ => {}
        }
        match self.spec.mode {
            PolicyMode::Enforce => Effect::Deny,
            PolicyMode::Warn => Effect::Warn,
            PolicyMode::Audit => Effect::Audit,
        }
    }

    /// The requirements of the policy, as text for people.
    pub(super) fn requirements(&self) -> String {
        match self.spec.require.as_deref() {
            None | Some([]) => "a signature by one of its keys".to_owned(),
            Some(rules) => {
                let all: Vec<_> =
                    rules.iter().map(|rule| format!("`{}` by `{}`", rule.sign, rule.by)).collect();
                all.join(" and ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use package_api::trust_policy::{BreakGlass, NamespaceChoice, PolicyKey, PolicyTrust};

    use super::*;
    use crate::policy::KEY;

    fn compiled(change: &dyn Fn(&mut TrustPolicySpec)) -> CompiledPolicy {
        let key = PolicyKey { name: "release".to_owned(), public_key: KEY.to_owned(), roles: None };
        let trust = PolicyTrust { keys: vec![key], ..PolicyTrust::default() };
        let mut spec = TrustPolicySpec { trust, ..TrustPolicySpec::default() };
        change(&mut spec);
        CompiledPolicy::read(&TrustPolicy::new("p", spec), 0)
    }

    #[test]
    fn a_namespace_must_match_the_names_and_the_labels() {
        let none = BTreeMap::new();
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        assert!(compiled(&|_| {}).matches_namespace("any", &none));
        let choice = |names: Option<&str>, labels: Option<&BTreeMap<String, String>>| {
            let names = names.map(|name| vec![name.to_owned()]);
            let choice = NamespaceChoice { names, match_labels: labels.cloned() };
            compiled(&move |spec| spec.namespaces = Some(choice.clone()))
        };
        assert!(
            choice(Some("a"), None).matches_namespace("a", &none)
                && !choice(Some("a"), None).matches_namespace("b", &none)
        );
        assert!(choice(None, Some(&labels)).matches_namespace("x", &labels));
        assert!(!choice(None, Some(&labels)).matches_namespace("x", &none));
        assert!(!choice(Some("a"), Some(&labels)).matches_namespace("b", &labels));
    }

    #[test]
    fn a_policy_that_cannot_be_parsed_matches_everything() {
        let name = "r.example/a".parse().unwrap();
        let scoped = |spec: &mut TrustPolicySpec| spec.images = Some(vec!["other.example/**".to_owned()]);
        assert!(!compiled(&scoped).matches_image(&name));
        let broken = compiled(&|spec| {
            scoped(spec);
            spec.trust.keys[0].public_key = "none".to_owned();
        });
        // The message mentions the policy, not a trust file.
        assert!(broken.rules.as_ref().unwrap_err().starts_with("the key `release` of the policy is invalid"));
        assert!(broken.rules.is_err() && broken.matches_image(&name));
        assert!(compiled(&|spec| spec.images = Some(vec!["*".to_owned()])).rules.is_err());
    }

    #[test]
    fn break_glass_is_active_for_a_day_at_most() {
        let now = OffsetDateTime::now_utc();
        let effect = |until: Duration, reason: &str| {
            let until = (now + until).format(&Rfc3339).unwrap();
            let glass = BreakGlass { until, reason: reason.to_owned() };
            let policy = compiled(&|spec| spec.break_glass = Some(glass.clone()));
            matches!(policy.effect(now), Effect::BreakGlass(..))
        };
        assert!(effect(Duration::hours(1), "x") && effect(Duration::hours(24), "x"));
        assert!(!effect(Duration::hours(25), "x") && !effect(Duration::hours(-1), "x"));
        assert!(!effect(Duration::hours(1), ""));
    }

    #[test]
    fn everything_that_a_verdict_depends_on_changes_the_digest() {
        let digest = |change: &dyn Fn(&mut TrustPolicySpec)| compiled(change).digest;
        let first = digest(&|_| {});
        assert_eq!(first, digest(&|spec| spec.mode = PolicyMode::Warn));
        assert_ne!(first, digest(&|spec| spec.trust.sequence = Some(2)));
        assert_ne!(first, digest(&|spec| spec.trust.keys[0].name = "other".to_owned()));
    }
}
