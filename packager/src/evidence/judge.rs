//! What evidence comes to by a trust file.

use bundle_signer::{
    Claims, Decision, Error as Signer, Expectation, Format, Gate, ImageName, Limits, LogRule, NameRule,
    TrustFile, verify_image,
};
use oci::Digest;
use serde::Serialize;

use super::{Collected, Skipped};

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

/// A signature by a trusted key, about this image, that says what was asked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// The key's name in the trust file.
    pub key: String,
    /// The key's hint.
    pub hint: String,
    /// How it is written down.
    pub format: &'static str,
    /// Where it was found: a tag, or a referrer's digest.
    pub at: String,
    /// The digest of the payload, envelope or bundle.
    pub evidence: Digest,
    /// What was signed beside it.
    pub annotations: serde_json::Value,
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
    pub fault: Fault,
}

/// What is wrong with a signature that does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The trust file does not have its key, whose hint is known where the format tells it.
    UnknownKey(Option<String>),
    /// It is about this image under another name.
    OtherName(String),
    /// It says no name, though one is asked for.
    Unnamed,
    /// Something else, in words.
    Other(String),
}

impl Fault {
    fn of(error: &Signer) -> Self {
        match error {
            Signer::NoKeyFits => Self::UnknownKey(None),
            Signer::UntrustedKey(hint) => Self::UnknownKey(Some(hint.clone())),
            Signer::OtherName { found, .. } => Self::OtherName(found.clone()),
            Signer::NameMissing => Self::Unnamed,
            other => Self::Other(other.to_string()),
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

/// Judges what was found.
#[must_use]
pub fn judge(collected: Collected, trust: &TrustFile, question: &Question<'_>) -> Verdict {
    let expected = Expectation {
        digest: question.digest,
        name: question.name,
        name_rule: question.name_rule,
        predicate_type: question.predicate_type,
        formats: &ALL,
        keys: trust,
        // Roles are part of the decision, which says whose they are.
        role: &|_| true,
        log: LogRule::NotAsked,
        limits: Limits::default(),
    };
    let claims = Claims::image(question.digest, question.name, question.predicate_type);
    let mut claims = claims.after_policy(question.newest_policy);
    let (mut signatures, mut refused, mut others) = (Vec::new(), Vec::new(), 0);
    for found in collected.found {
        let evidence = found.evidence();
        let format = name(evidence.format());
        match verify_image(&evidence, &expected) {
            Ok(verified) => {
                claims.add(&verified);
                signatures.push(Counted {
                    key: verified.signer().name().to_owned(),
                    hint: verified.signer().hint().to_owned(),
                    format,
                    evidence: verified.get().evidence().clone(),
                    annotations: serde_json::json!(verified.get().subject().annotations()),
                    at: found.at,
                });
            }
            Err(Signer::PredicateType { .. }) => others += 1,
            Err(error) => refused.push(Refused {
                format,
                why: error.to_string(),
                fault: Fault::of(&error),
                at: found.at,
            }),
        }
    }
    let decision = trust.decide(question.gate, &claims);
    Verdict { decision, signatures, refused, skipped: collected.skipped, others }
}

/// A format's name for programs, as trust files have it.
fn name(format: Format) -> &'static str {
    match format {
        Format::SimpleSigning => "simpleSigning",
        Format::Envelope => "envelope",
        Format::Bundle => "bundle",
    }
}
