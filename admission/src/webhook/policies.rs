//! The cluster's trust policies as they are used: read once when they change, with the sequences that were in force.

use std::collections::BTreeMap;

use brief::words;
use bundle_signer::statement::{COSIGN_SIGN, predicate_type};
use bundle_signer::trust::Pattern;
use bundle_signer::{ImageName, TrustFile};
use oci::Digest;
use package_api::TrustPolicy;
use package_api::trust_policy::{PolicyMode, TagMode, TrustPolicySpec};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::policy;

/// The longest time in which refusals stop nothing.
pub(super) const MOST_GLASS: Duration = Duration::hours(24);

/// A policy that was read.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) spec: TrustPolicySpec,
    /// Over all that a verdict depends on.
    pub(super) digest: Digest,
    /// The greatest sequence that was in force.
    pub(super) newest: u64,
    /// What it says; why it cannot be used, if so: then it refuses all that it may be about.
    pub(super) rules: Result<Rules, String>,
    glass: Option<(OffsetDateTime, String)>,
}

/// What a usable policy says.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) trust: TrustFile,
    /// What must be said, as predicate types.
    pub(super) predicates: Vec<String>,
    images: Option<Vec<Pattern>>,
}

/// What a refusal does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect<'a> {
    Stops,
    Warns,
    IsWritten,
    /// In a time in which refusals stop nothing: why, and until when.
    BreaksGlass(&'a str, OffsetDateTime),
}

impl Rules {
    /// Reads what a policy says.
    pub(super) fn read(spec: &TrustPolicySpec) -> Result<Self, String> {
        // Whoever reads it wrote a policy.
        let trust = policy::trust_file(spec)
            .map_err(|error| words(&error).replace("the trust file", "the policy"))?;
        let asked = spec.require.as_deref().unwrap_or_default();
        let mut predicates = asked
            .iter()
            .map(|rule| {
                predicate_type(&rule.sign).map(str::to_owned).ok_or_else(|| {
                    format!("`require` asks for `{}`, which is nothing that is said of an image", rule.sign)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        if predicates.is_empty() {
            predicates.push(COSIGN_SIGN.to_owned());
        }
        let images = spec.images.as_ref().map(|images| {
            images.iter().map(|text| Pattern::parse(text).map_err(|error| words(&error))).collect()
        });
        Ok(Self { trust, predicates, images: images.transpose()? })
    }

    fn is_about(&self, name: &ImageName) -> bool {
        self.images.as_ref().is_none_or(|images| images.iter().any(|pattern| pattern.matches(name)))
    }
}

impl Compiled {
    /// Reads a policy. `newest` is the greatest sequence that is remembered of its name.
    pub(super) fn read(policy: &TrustPolicy, newest: u64) -> Self {
        let spec = policy.spec.clone();
        let told = policy.status.as_ref().and_then(|status| status.newest_sequence).unwrap_or_default();
        let newest = newest.max(told);
        let decisive = serde_json::json!([spec.trust, spec.require, newest]).to_string();
        let glass = spec.break_glass.as_ref().and_then(|glass| {
            Some((OffsetDateTime::parse(&glass.until, &Rfc3339).ok()?, glass.reason.clone()))
        });
        Self {
            name: policy.name().to_owned(),
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            generation: policy.metadata.generation.unwrap_or_default(),
            digest: Digest::sha256(decisive.as_bytes()),
            rules: Rules::read(&spec),
            newest,
            spec,
            glass,
        }
    }

    /// Whether it is about a namespace.
    pub(super) fn is_for(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let Some(choice) = &self.spec.namespaces else { return true };
        let named = choice.names.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace));
        let labelled = choice
            .match_labels
            .as_ref()
            .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
        named && labelled
    }

    /// Whether it is about an image; one that cannot be read may be about any.
    pub(super) fn is_about(&self, name: &ImageName) -> bool {
        self.rules.as_ref().map_or(true, |rules| rules.is_about(name))
    }

    pub(super) fn pins(&self) -> bool {
        self.spec.tags == TagMode::Pin
    }

    /// What a refusal does at a time.
    pub(super) fn effect(&self, now: OffsetDateTime) -> Effect<'_> {
        match &self.glass {
            // A longer time than admission lets pass was set where nobody asked.
            Some((until, reason)) if now < *until && *until <= now + MOST_GLASS && !reason.is_empty() => {
                return Effect::BreaksGlass(reason, *until);
            }
            _ => {}
        }
        match self.spec.mode {
            PolicyMode::Enforce => Effect::Stops,
            PolicyMode::Warn => Effect::Warns,
            PolicyMode::Audit => Effect::IsWritten,
        }
    }

    /// What it asks for, for people.
    pub(super) fn asks_for(&self) -> String {
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

    fn compiled(change: &dyn Fn(&mut TrustPolicySpec)) -> Compiled {
        let key = PolicyKey { name: "release".to_owned(), public_key: KEY.to_owned(), roles: None };
        let trust = PolicyTrust { keys: vec![key], ..PolicyTrust::default() };
        let mut spec = TrustPolicySpec { trust, ..TrustPolicySpec::default() };
        change(&mut spec);
        Compiled::read(&TrustPolicy::new("p", spec), 0)
    }

    #[test]
    fn a_namespace_is_chosen_by_name_and_labels_together() {
        let none = BTreeMap::new();
        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        assert!(compiled(&|_| {}).is_for("any", &none));
        let choice = |names: Option<&str>, labels: Option<&BTreeMap<String, String>>| {
            let names = names.map(|name| vec![name.to_owned()]);
            let choice = NamespaceChoice { names, match_labels: labels.cloned() };
            compiled(&move |spec| spec.namespaces = Some(choice.clone()))
        };
        assert!(choice(Some("a"), None).is_for("a", &none) && !choice(Some("a"), None).is_for("b", &none));
        assert!(choice(None, Some(&labels)).is_for("x", &labels));
        assert!(!choice(None, Some(&labels)).is_for("x", &none));
        assert!(!choice(Some("a"), Some(&labels)).is_for("b", &labels));
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_about_everything() {
        let name = "r.example/a".parse().unwrap();
        let scoped = |spec: &mut TrustPolicySpec| spec.images = Some(vec!["other.example/**".to_owned()]);
        assert!(!compiled(&scoped).is_about(&name));
        let broken = compiled(&|spec| {
            scoped(spec);
            spec.trust.keys[0].public_key = "none".to_owned();
        });
        // Whoever reads it wrote no trust file.
        assert!(broken.rules.as_ref().unwrap_err().starts_with("the policy's key `release` is refused"));
        assert!(broken.rules.is_err() && broken.is_about(&name));
        assert!(compiled(&|spec| spec.images = Some(vec!["*".to_owned()])).rules.is_err());
    }

    #[test]
    fn glass_is_broken_for_a_day_at_most() {
        let now = OffsetDateTime::now_utc();
        let effect = |until: Duration, reason: &str| {
            let until = (now + until).format(&Rfc3339).unwrap();
            let glass = BreakGlass { until, reason: reason.to_owned() };
            let policy = compiled(&|spec| spec.break_glass = Some(glass.clone()));
            matches!(policy.effect(now), Effect::BreaksGlass(..))
        };
        assert!(effect(Duration::hours(1), "x") && effect(Duration::hours(24), "x"));
        assert!(!effect(Duration::hours(25), "x") && !effect(Duration::hours(-1), "x"));
        assert!(!effect(Duration::hours(1), ""));
    }

    #[test]
    fn whatever_a_verdict_depends_on_changes_the_digest() {
        let digest = |change: &dyn Fn(&mut TrustPolicySpec)| compiled(change).digest;
        let first = digest(&|_| {});
        assert_eq!(first, digest(&|spec| spec.mode = PolicyMode::Warn));
        assert_ne!(first, digest(&|spec| spec.trust.sequence = Some(2)));
        assert_ne!(first, digest(&|spec| spec.trust.keys[0].name = "other".to_owned()));
    }
}
