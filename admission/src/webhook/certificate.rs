//! The serving certificate: generated here, stored in a Secret that all replicas share, and replaced without a moment in
//! which the API server trusts none of the certificates that are served.
//!
//! A CA signs one certificate, and its key is discarded. So each certificate has a new CA, which is published beside the
//! old one before the certificate is served, as in Kyverno: publish, wait, switch, wait, remove.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// When certificates are replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// How long certificates are valid.
    pub(super) validity: Duration,
    /// How long before their expiry they are replaced.
    pub(super) before: Duration,
    /// How long a CA is published before and after its use. API servers watch the configurations, so all of them have
    /// the current one within seconds.
    pub(super) overlap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { validity: Duration::days(365), before: Duration::days(60), overlap: Duration::seconds(10) }
    }
}

/// A certificate with its key, and the CA that signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IssuedCertificate {
    /// PEM.
    #[serde(rename = "authority")]
    pub(super) ca: String,
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
    pair: IssuedCertificate,
    since: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Previous {
    #[serde(rename = "authority")]
    ca: String,
    until: i64,
}

/// The content of the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CertificateState {
    serving: IssuedCertificate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
    /// The last processed request for a new certificate.
    #[serde(default, rename = "asked")]
    rotation: String,
}

/// The state that the next step depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepInput<'a> {
    /// The host names with which the API server calls the webhooks.
    pub(super) names: &'a [String],
    /// The value of the annotation with which an administrator requests a new certificate.
    pub(super) rotation: &'a str,
    /// Whether all configurations contain [`CertificateState::bundle`].
    pub(super) published: bool,
    pub(super) now: OffsetDateTime,
}

/// The next step: write a new state, or wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(Box<CertificateState>),
    Wait(Duration),
}

impl CertificateState {
    /// The first state, with a new certificate.
    pub(super) fn new(input: &StepInput<'_>, timing: &Timing) -> Result<Self, rcgen::Error> {
        let serving = IssuedCertificate::new(input, timing)?;
        Ok(Self { serving, next: None, previous: None, rotation: input.rotation.to_owned() })
    }

    /// The certificate to serve.
    pub(super) fn serving(&self) -> &IssuedCertificate {
        &self.serving
    }

    /// All CAs that must be trusted now, in an order that does not change with a switch.
    pub(super) fn bundle(&self) -> String {
        let mut all = vec![self.serving.ca.as_str()];
        all.extend(self.next.iter().map(|next| next.pair.ca.as_str()));
        all.extend(self.previous.iter().map(|previous| previous.ca.as_str()));
        all.sort_unstable();
        all.concat()
    }

    /// The next step.
    pub(super) fn step(&self, input: &StepInput<'_>, timing: &Timing) -> Result<Step, rcgen::Error> {
        let now = input.now.unix_timestamp();
        let overlap = timing.overlap.whole_seconds();
        let write = |state| Ok(Step::Write(Box::new(state)));
        let wait = |until: i64| Ok(Step::Wait(Duration::seconds((until - now).max(1))));
        if let Some(next) = &self.next {
            let due = next.since.saturating_add(overlap);
            if !input.published || now < due {
                return wait(due);
            }
            let previous = Previous { ca: self.serving.ca.clone(), until: now + overlap };
            let serving = next.pair.clone();
            return write(Self {
                serving,
                next: None,
                previous: Some(previous),
                rotation: self.rotation.clone(),
            });
        }
        if let Some(previous) = &self.previous {
            if now < previous.until {
                return wait(previous.until);
            }
            return write(Self { previous: None, ..self.clone() });
        }
        let due = self.serving.until - timing.before.whole_seconds();
        if now >= due || self.rotation != input.rotation || self.serving.names != input.names {
            let next = Some(Next { pair: IssuedCertificate::new(input, timing)?, since: now });
            return write(Self { next, rotation: input.rotation.to_owned(), ..self.clone() });
        }
        wait(due)
    }
}

impl IssuedCertificate {
    fn new(input: &StepInput<'_>, timing: &Timing) -> Result<Self, rcgen::Error> {
        // The certificate must be valid on machines whose clock is slightly behind.
        let (begin, end) = (input.now - Duration::hours(1), input.now + timing.validity);
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (begin, end);
        // Several CAs are trusted at the same time, so each has a different name.
        let name = format!("airlock webhook CA {}", input.now.unix_timestamp_nanos());
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut leaf = CertificateParams::new(input.names)?;
        leaf.distinguished_name.push(DnType::CommonName, "airlock webhook");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        (leaf.not_before, leaf.not_after) = (begin, end);
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &issuer)?.pem();
        let (ca, key) = (issuer.pem(), key.serialize_pem());
        Ok(Self { ca, certificate, key, names: input.names.to_vec(), until: end.unix_timestamp() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input<'a>(names: &'a [String], rotation: &'a str, published: bool, second: i64) -> StepInput<'a> {
        StepInput { names, rotation, published, now: OffsetDateTime::from_unix_timestamp(second).unwrap() }
    }

    fn written(step: Step) -> CertificateState {
        let Step::Write(state) = step else { panic!("{step:?}") };
        *state
    }

    #[test]
    fn a_ca_is_trusted_before_and_after_its_certificate_is_served() {
        let (names, timing) = (["a.b.svc".to_owned(), "127.0.0.1".to_owned()], Timing::default());
        let at = |rotation: &'static str, published: bool, second: i64| {
            input(&names, rotation, published, 1_800_000_000 + second)
        };
        let first = CertificateState::new(&at("", false, 0), &timing).unwrap();
        assert!(matches!(first.step(&at("", true, 1), &timing).unwrap(), Step::Wait(_)));
        let both = written(first.step(&at("now", true, 1), &timing).unwrap());
        assert_eq!(both.serving(), first.serving());
        assert_eq!(both.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        // Not too early, and never while a configuration lacks the CA.
        assert!(matches!(both.step(&at("now", true, 5), &timing).unwrap(), Step::Wait(_)));
        assert!(matches!(both.step(&at("now", false, 500), &timing).unwrap(), Step::Wait(_)));
        let switched = written(both.step(&at("now", true, 11), &timing).unwrap());
        assert_ne!(switched.serving(), first.serving());
        assert_eq!(switched.bundle(), both.bundle());
        let last = written(switched.step(&at("now", true, 21), &timing).unwrap());
        assert_eq!(last.bundle(), switched.serving().ca);
        assert!(matches!(last.step(&at("now", true, 22), &timing).unwrap(), Step::Wait(_)));
    }

    #[test]
    fn a_new_certificate_is_created_in_time_and_for_other_names() {
        let (names, timing) = (["a".to_owned()], Timing::default());
        let state = CertificateState::new(&input(&names, "", true, 0), &timing).unwrap();
        let (validity, before) = (timing.validity.whole_seconds(), timing.before.whole_seconds());
        let soon = state.step(&input(&names, "", true, validity - before - 1), &timing).unwrap();
        assert_eq!(soon, Step::Wait(Duration::seconds(1)));
        assert!(
            written(state.step(&input(&names, "", true, validity - before), &timing).unwrap()).next.is_some()
        );
        let other = ["b".to_owned()];
        assert!(written(state.step(&input(&other, "", true, 1), &timing).unwrap()).next.is_some());
    }
}
