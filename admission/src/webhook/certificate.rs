//! The serving certificate: made here, kept in a secret that all replicas share, and replaced without a moment in
//! which the API server trusts none of those that are served.
//!
//! An authority signs one certificate and is forgotten: its key is kept nowhere. So a new certificate always comes
//! with a new authority, which is published beside the old one before anything signed by it is served, as Kyverno
//! does: publish, wait, switch, wait, forget.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// When certificates are replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// For how long they are good.
    pub(super) validity: Duration,
    /// How long before their end they are replaced.
    pub(super) before: Duration,
    /// How long an authority is published before it is needed, and after: API servers watch configurations, so that
    /// all of them know within seconds.
    pub(super) overlap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { validity: Duration::days(365), before: Duration::days(60), overlap: Duration::seconds(10) }
    }
}

/// A certificate with its key, and the authority that vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pair {
    /// PEM.
    pub(super) authority: String,
    /// PEM.
    pub(super) certificate: String,
    /// PEM.
    pub(super) key: String,
    names: Vec<String>,
    until: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Next {
    pair: Pair,
    since: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Previous {
    authority: String,
    until: i64,
}

/// What the secret holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    serving: Pair,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
    /// The last request for another certificate that was heeded.
    #[serde(default)]
    asked: String,
}

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The names by which the API server calls.
    pub(super) names: &'a [String],
    /// What an administrator wrote to ask for another certificate.
    pub(super) asked: &'a str,
    /// Whether all configurations hold [`Kept::bundle`].
    pub(super) published: bool,
    pub(super) now: OffsetDateTime,
}

/// What is to be written, or how long to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(Box<Kept>),
    Wait(Duration),
}

impl Kept {
    /// The first ones.
    pub(super) fn new(facts: &Facts<'_>, timing: &Timing) -> Result<Self, rcgen::Error> {
        let serving = Pair::new(facts, timing)?;
        Ok(Self { serving, next: None, previous: None, asked: facts.asked.to_owned() })
    }

    /// What is served.
    pub(super) fn serving(&self) -> &Pair {
        &self.serving
    }

    /// All authorities that must be trusted now, in an order that a switch does not change.
    pub(super) fn bundle(&self) -> String {
        let mut all = vec![self.serving.authority.as_str()];
        all.extend(self.next.iter().map(|next| next.pair.authority.as_str()));
        all.extend(self.previous.iter().map(|previous| previous.authority.as_str()));
        all.sort_unstable();
        all.concat()
    }

    /// The next step.
    pub(super) fn step(&self, facts: &Facts<'_>, timing: &Timing) -> Result<Step, rcgen::Error> {
        let now = facts.now.unix_timestamp();
        let overlap = timing.overlap.whole_seconds();
        let write = |kept| Ok(Step::Write(Box::new(kept)));
        let wait = |until: i64| Ok(Step::Wait(Duration::seconds((until - now).max(1))));
        if let Some(next) = &self.next {
            let due = next.since.saturating_add(overlap);
            if !facts.published || now < due {
                return wait(due);
            }
            let previous = Previous { authority: self.serving.authority.clone(), until: now + overlap };
            let serving = next.pair.clone();
            return write(Self { serving, next: None, previous: Some(previous), asked: self.asked.clone() });
        }
        if let Some(previous) = &self.previous {
            if now < previous.until {
                return wait(previous.until);
            }
            return write(Self { previous: None, ..self.clone() });
        }
        let due = self.serving.until - timing.before.whole_seconds();
        if now >= due || self.asked != facts.asked || self.serving.names != facts.names {
            let next = Some(Next { pair: Pair::new(facts, timing)?, since: now });
            return write(Self { next, asked: facts.asked.to_owned(), ..self.clone() });
        }
        wait(due)
    }
}

impl Pair {
    fn new(facts: &Facts<'_>, timing: &Timing) -> Result<Self, rcgen::Error> {
        // A clock that is a little behind must not refuse it.
        let (begin, end) = (facts.now - Duration::hours(1), facts.now + timing.validity);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (begin, end);
        // Authorities that stand side by side have names of their own.
        let name = format!("airlock webhook authority {}", facts.now.unix_timestamp_nanos());
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut leaf = CertificateParams::new(facts.names)?;
        leaf.distinguished_name.push(DnType::CommonName, "airlock webhook");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        (leaf.not_before, leaf.not_after) = (begin, end);
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &issuer)?.pem();
        let (authority, key) = (issuer.pem(), key.serialize_pem());
        Ok(Self { authority, certificate, key, names: facts.names.to_vec(), until: end.unix_timestamp() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(names: &'a [String], asked: &'a str, published: bool, second: i64) -> Facts<'a> {
        Facts { names, asked, published, now: OffsetDateTime::from_unix_timestamp(second).unwrap() }
    }

    fn written(step: Step) -> Kept {
        let Step::Write(kept) = step else { panic!("{step:?}") };
        *kept
    }

    #[test]
    fn an_authority_is_trusted_before_and_after_what_it_signs_is_served() {
        let (names, timing) = (["a.b.svc".to_owned(), "127.0.0.1".to_owned()], Timing::default());
        let at = |asked: &'static str, published: bool, second: i64| {
            facts(&names, asked, published, 1_800_000_000 + second)
        };
        let first = Kept::new(&at("", false, 0), &timing).unwrap();
        assert!(matches!(first.step(&at("", true, 1), &timing).unwrap(), Step::Wait(_)));
        let both = written(first.step(&at("now", true, 1), &timing).unwrap());
        assert_eq!(both.serving(), first.serving());
        assert_eq!(both.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        // Not too early, and never while a configuration lacks it.
        assert!(matches!(both.step(&at("now", true, 5), &timing).unwrap(), Step::Wait(_)));
        assert!(matches!(both.step(&at("now", false, 500), &timing).unwrap(), Step::Wait(_)));
        let switched = written(both.step(&at("now", true, 11), &timing).unwrap());
        assert_ne!(switched.serving(), first.serving());
        assert_eq!(switched.bundle(), both.bundle());
        let last = written(switched.step(&at("now", true, 21), &timing).unwrap());
        assert_eq!(last.bundle(), switched.serving().authority);
        assert!(matches!(last.step(&at("now", true, 22), &timing).unwrap(), Step::Wait(_)));
    }

    #[test]
    fn another_is_made_in_time_and_for_other_names() {
        let (names, timing) = (["a".to_owned()], Timing::default());
        let kept = Kept::new(&facts(&names, "", true, 0), &timing).unwrap();
        let (validity, before) = (timing.validity.whole_seconds(), timing.before.whole_seconds());
        let soon = kept.step(&facts(&names, "", true, validity - before - 1), &timing).unwrap();
        assert_eq!(soon, Step::Wait(Duration::seconds(1)));
        assert!(
            written(kept.step(&facts(&names, "", true, validity - before), &timing).unwrap()).next.is_some()
        );
        let other = ["b".to_owned()];
        assert!(written(kept.step(&facts(&other, "", true, 1), &timing).unwrap()).next.is_some());
    }
}
