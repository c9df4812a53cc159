//! What evidence comes to by a trust file.

use std::collections::BTreeSet;

use bundle_signer::{
    Attested, Claims, Decision, Error as Signer, Expectation, Format, Gate, ImageName, Limits, LogRule,
    NameRule, TrustFile, Verified, keyless, verify_image,
};
use oci::Digest;
use serde::Serialize;

use super::{Bounds, Candidate, Error, EvidenceSource, Next, Searched, Skipped, in_words, search};

const ALL: [Format; 3] = [Format::SimpleSigning, Format::Envelope, Format::Bundle];

/// What is to be known.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The image.
    pub digest: &'a Digest,
    /// Its name.
    pub name: &'a ImageName,
    /// Whether the name must be signed.
    pub name_rule: NameRule,
    /// What must be said of it.
    pub predicate_type: &'a str,
    /// Where it is decided.
    pub gate: Gate,
    /// The greatest sequence of a trust file that was in force.
    pub newest_policy: u64,
}

/// A signature by a trusted key or identity, about this image, that says what was asked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// The name of the key or identity in the trust file.
    pub key: String,
    /// Its hint.
    pub hint: String,
    /// How it is written down.
    pub format: &'static str,
    /// Where it was found: a tag, or a referrer's digest.
    pub at: String,
    /// The digest of the payload, envelope or bundle.
    pub evidence: Digest,
    /// What was signed beside it.
    pub annotations: serde_json::Value,
    /// Where it is by certificate: who signed, when, and what proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certified: Option<keyless::Evidence>,
}

/// A signature that does not count.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// How it is written down.
    pub format: &'static str,
    /// Where it was found.
    pub at: String,
    /// Why.
    pub why: String,
    /// The same for programs that advise.
    #[serde(skip)]
    pub fault: RefusalReason,
}

/// What is wrong with a signature that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The trust file does not have its key, whose hint is known where the format tells it.
    UnknownKey(Option<String>),
    /// It is about this image under another name.
    OtherName(String),
    /// It says no name, though one is asked for.
    Unnamed,
    /// Something else, in words.
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

/// What all of it comes to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// By the trust file's rules.
    pub decision: Decision,
    /// Signatures that are good; the rules may still want others.
    pub signatures: Vec<Counted>,
    /// Signatures that are not.
    pub refused: Vec<Refused>,
    /// What could not be read.
    pub skipped: Vec<Skipped>,
    /// How many trusted statements say something else of this image.
    pub others: usize,
}

/// Signatures that do not count, or that count, and are told of; more are of no help.
const MOST_TOLD: usize = 64;

/// The judgement of one question, which hears one thing after the other and keeps only what it comes to.
pub struct Judging<'a> {
    trust: &'a TrustFile,
    question: Question<'a>,
    claims: Claims,
    /// Whose word was taken, and how it was written down: the same once more changes nothing.
    heard: BTreeSet<(String, &'static str, Option<u64>)>,
    signatures: Vec<Counted>,
    refused: Vec<Refused>,
    others: usize,
    satisfied: bool,
}

impl<'a> Judging<'a> {
    /// A judgement that has heard nothing.
    #[must_use]
    pub fn new(trust: &'a TrustFile, question: Question<'a>) -> Self {
        let claims = Claims::image(question.digest, question.name, question.predicate_type);
        let claims = claims.after_policy(question.newest_policy);
        let (heard, signatures, refused) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { trust, question, claims, heard, signatures, refused, others: 0, satisfied: false }
    }

    /// Whether the trust file's rules are met.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.satisfied
    }

    /// Hears something that may be a signature.
    pub fn hear(&mut self, found: &Candidate) {
        let question = &self.question;
        let expected = Expectation {
            digest: question.digest,
            name: question.name,
            name_rule: question.name_rule,
            predicate_type: question.predicate_type,
            formats: &ALL,
            keys: self.trust,
            // Roles are part of the decision, which says whose they are.
            role: &|_| true,
            log: LogRule::NotAsked,
            limits: Limits::default(),
        };
        let evidence = found.evidence();
        let (format, at) = (name(evidence.format()), found.at.clone());
        match verify_image(&evidence, &expected) {
            Ok(verified) => self.count(&verified, format, at),
            Err(Signer::PredicateType { .. }) => self.others += 1,
            Err(error) => {
                let (why, fault) = (in_words(&error), RefusalReason::of(&error));
                let told = self.refused.iter().any(|known| known.fault == fault && known.at == at);
                if !told && self.refused.len() < MOST_TOLD {
                    self.refused.push(Refused { format, at, why, fault });
                }
            }
        }
    }

    fn count(&mut self, verified: &Verified<Attested>, format: &'static str, at: String) {
        let (signer, attested) = (verified.signer(), verified.get());
        let sequence = attested.subject().sequence().unwrap_or_default();
        if self.heard.insert((signer.hint().to_owned(), format, sequence)) {
            self.claims.add(verified);
            self.satisfied = self.trust.decide(self.question.gate, &self.claims).satisfied;
        }
        if self.signatures.len() < MOST_TOLD {
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

    /// What it comes to.
    #[must_use]
    pub fn verdict(self, skipped: Vec<Skipped>) -> Verdict {
        let decision = self.trust.decide(self.question.gate, &self.claims);
        let Self { signatures, refused, others, .. } = self;
        Verdict { decision, signatures, refused, skipped, others }
    }
}

/// How long is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until each kind of statement that is asked for is there.
    Settled,
    /// Until all is heard, for a report.
    Heard,
}

/// Looks for what is said about an image, and judges it by several questions: one verdict for each.
///
/// # Errors
/// When something could not be asked: for a report always, else when what was found does not suffice without it.
pub async fn judged(
    place: &EvidenceSource,
    image: &Digest,
    (trust, questions): (&TrustFile, Vec<Question<'_>>),
    until: Until,
) -> Result<Vec<Verdict>, Error> {
    let mut judging: Vec<_> = questions.into_iter().map(|question| Judging::new(trust, question)).collect();
    let mut hear = |found: &Candidate| {
        for judging in &mut judging {
            judging.hear(found);
        }
        if until == Until::Settled && is_settled(&judging) { Next::Enough } else { Next::More }
    };
    let Searched { skipped, trouble } = search(place, image, &Bounds::default(), &mut hear).await;
    match trouble {
        Some(error) if until == Until::Heard || !is_settled(&judging) => Err(error),
        _ => Ok(judging.into_iter().map(|judging| judging.verdict(skipped.clone())).collect()),
    }
}

/// Whether everything that is asked for is said, under whichever name.
fn is_settled(judging: &[Judging<'_>]) -> bool {
    judging.iter().all(|asked| {
        let same = |other: &&Judging<'_>| other.question.predicate_type == asked.question.predicate_type;
        judging.iter().filter(same).any(Judging::is_satisfied)
    })
}

/// A format's name for programs, as trust files have it.
fn name(format: Format) -> &'static str {
    match format {
        Format::SimpleSigning => "simpleSigning",
        Format::Envelope => "envelope",
        Format::Bundle => "bundle",
    }
}
