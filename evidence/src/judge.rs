//! Judges evidence by a trust file.

use std::collections::BTreeSet;

use bundle_signer::{
    Attested, Claims, Decision, Error as Signer, Expectation, Format, Gate, ImageName, Limits, LogRule,
    NameRule, TrustFile, Verified, keyless, verify_image,
};
use oci::Digest;
use serde::Serialize;

use super::{Bounds, Candidate, Error, EvidenceSource, Next, Searched, Skipped, in_words, search};

const ALL: [Format; 3] = [Format::SimpleSigning, Format::Envelope, Format::Bundle];

/// A question about an image.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The image.
    pub digest: &'a Digest,
    /// Its name.
    pub name: &'a ImageName,
    /// Whether signatures must contain the name.
    pub name_rule: NameRule,
    /// The required predicate type.
    pub predicate_type: &'a str,
    /// The gate whose rules apply.
    pub gate: Gate,
    /// The highest sequence number of any trust file that was in force.
    pub newest_policy: u64,
}

/// A signature of this image by a trusted key or identity, with the required predicate type.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// The name of the key or identity in the trust file.
    pub key: String,
    /// Its hint.
    pub hint: String,
    /// Its format.
    pub format: &'static str,
    /// Where it was found: a tag, or a referrer's digest.
    pub at: String,
    /// The digest of the payload, envelope or bundle.
    pub evidence: Digest,
    /// The signed annotations.
    pub annotations: serde_json::Value,
    /// For a signature by certificate: the signer, the time, and the proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certified: Option<keyless::Evidence>,
}

/// A signature that does not count.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Its format.
    pub format: &'static str,
    /// Where it was found.
    pub at: String,
    /// The reason as text.
    #[serde(rename = "why")]
    pub reason: String,
    /// The reason as a value, for advice.
    #[serde(skip)]
    pub kind: RefusalReason,
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The trust file does not contain its key. The hint is known if the format has one.
    UnknownKey(Option<String>),
    /// It signs this image under another name.
    OtherName(String),
    /// It contains no name, although one is required.
    Unnamed,
    /// Another reason, as text.
    Other(String),
}

impl RefusalReason {
    fn of(error: &Signer) -> Self {
        match error {
            Signer::NoKeyFits => Self::UnknownKey(None),
            Signer::UntrustedKey(hint) => Self::UnknownKey(Some(hint.clone())),
            Signer::OtherName { found, .. } => Self::OtherName(found.clone()),
            Signer::NameMissing => Self::Unnamed,
            other => Self::Other(in_words(other)),
        }
    }
}

/// The verdict on one question.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The decision by the trust file's rules.
    pub decision: Decision,
    /// Valid signatures; the rules may still require others.
    pub signatures: Vec<Counted>,
    /// Signatures that do not count.
    pub refused: Vec<Refused>,
    /// Candidates that could not be read.
    pub skipped: Vec<Skipped>,
    /// The number of trusted statements about this image with another predicate type.
    pub others: usize,
}

/// The maximum number of reported signatures that count, and of those that do not; more do not help.
const MAX_REPORTED: usize = 64;

/// Judges candidates for one question, one after the other, and keeps only the result.
pub struct Judgement<'a> {
    trust: &'a TrustFile,
    question: Question<'a>,
    claims: Claims,
    /// The signers, formats and sequence numbers that already counted: a repetition changes nothing.
    seen: BTreeSet<(String, &'static str, Option<u64>)>,
    signatures: Vec<Counted>,
    refused: Vec<Refused>,
    others: usize,
    satisfied: bool,
}

impl<'a> Judgement<'a> {
    /// A judgement without any candidates yet.
    #[must_use]
    pub fn new(trust: &'a TrustFile, question: Question<'a>) -> Self {
        let claims = Claims::image(question.digest, question.name, question.predicate_type);
        let claims = claims.after_policy(question.newest_policy);
        let (seen, signatures, refused) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { trust, question, claims, seen, signatures, refused, others: 0, satisfied: false }
    }

    /// Whether the trust file's rules are met.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.satisfied
    }

    /// Judges one candidate.
    pub fn consider(&mut self, found: &Candidate) {
        let question = &self.question;
        let expected = Expectation {
            digest: question.digest,
            name: question.name,
            name_rule: question.name_rule,
            predicate_type: question.predicate_type,
            formats: &ALL,
            keys: self.trust,
            // Roles are part of the decision, which checks them.
            role: &|_| true,
            log: LogRule::Ignored,
            limits: Limits::default(),
        };
        let evidence = found.evidence();
        let (format, at) = (name(evidence.format()), found.at.clone());
        match verify_image(&evidence, &expected) {
            Ok(verified) => self.count(&verified, format, at),
            Err(Signer::PredicateType { .. }) => self.others += 1,
            Err(error) => {
                let (reason, kind) = (in_words(&error), RefusalReason::of(&error));
                let is_known = self.refused.iter().any(|known| known.kind == kind && known.at == at);
                if !is_known && self.refused.len() < MAX_REPORTED {
                    self.refused.push(Refused { format, at, reason, kind });
                }
            }
        }
    }

    fn count(&mut self, verified: &Verified<Attested>, format: &'static str, at: String) {
        let (signer, attested) = (verified.signer(), verified.get());
        let sequence = attested.subject().sequence().unwrap_or_default();
        if self.seen.insert((signer.hint().to_owned(), format, sequence)) {
            self.claims.add(verified);
            self.satisfied = self.trust.decide(self.question.gate, &self.claims).satisfied;
        }
        if self.signatures.len() < MAX_REPORTED {
            self.signatures.push(Counted {
                key: signer.name().to_owned(),
                hint: signer.hint().to_owned(),
                format,
                evidence: attested.evidence().clone(),
                annotations: serde_json::json!(attested.subject().annotations()),
                certified: attested.certified().cloned(),
                at,
            });
        }
    }

    /// The verdict.
    #[must_use]
    pub fn verdict(self, skipped: Vec<Skipped>) -> Verdict {
        let decision = self.trust.decide(self.question.gate, &self.claims);
        let Self { signatures, refused, others, .. } = self;
        Verdict { decision, signatures, refused, skipped, others }
    }
}

/// When a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When every required predicate type is found.
    Settled,
    /// When all candidates are judged, for a report.
    Complete,
}

/// Searches for the signatures and attestations of an image, and judges them for several questions: one verdict for each.
///
/// # Errors
/// When a request failed: always for a report, otherwise only if the other candidates do not suffice.
pub async fn judged(
    source: &EvidenceSource,
    image: &Digest,
    trust: &TrustFile,
    questions: Vec<Question<'_>>,
    until: Until,
) -> Result<Vec<Verdict>, Error> {
    let mut judgements: Vec<_> =
        questions.into_iter().map(|question| Judgement::new(trust, question)).collect();
    let mut visit = |found: &Candidate| {
        for judgement in &mut judgements {
            judgement.consider(found);
        }
        if until == Until::Settled && is_settled(&judgements) { Next::Enough } else { Next::More }
    };
    let Searched { skipped, outage } = search(source, image, &Bounds::default(), &mut visit).await;
    match outage {
        Some(error) if until == Until::Complete || !is_settled(&judgements) => Err(error),
        _ => Ok(judgements.into_iter().map(|judgement| judgement.verdict(skipped.clone())).collect()),
    }
}

/// Whether every required predicate type is satisfied, under any of the names.
fn is_settled(judgements: &[Judgement<'_>]) -> bool {
    judgements.iter().all(|one| {
        let same = |other: &&Judgement<'_>| other.question.predicate_type == one.question.predicate_type;
        judgements.iter().filter(same).any(Judgement::is_satisfied)
    })
}

/// A format's name, as in trust files.
fn name(format: Format) -> &'static str {
    match format {
        Format::SimpleSigning => "simpleSigning",
        Format::Envelope => "envelope",
        Format::Bundle => "bundle",
    }
}
