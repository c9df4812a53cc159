//! The verification of one signature about one image: format, key, bytes, log, image, name, kind of statement, role.
//! Callers decide on several signatures (thresholds, revocation), from many [`Attested`] values.

use std::fmt;

use oci::{Descriptor, Digest};
use serde_json::Value;
use tlog::VerifierKey;

use super::{Signer, Verified};
use crate::bundle::{self, Attestation};
use crate::keyless::{self, Artifact};
use crate::simple_signing::Payload;
use crate::trust::Holder;
use crate::{
    Envelope, Error, ImageName, Limits, LogEntry, Logged, Result, Statement, Subject, TrustFile, TrustedKey,
    attached, dsse, json, log_entry,
};

/// The format of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Cosign's first format, under the tag `.sig`.
    SimpleSigning,
    /// A bare envelope, under the tag `.att`.
    Envelope,
    /// A sigstore bundle v0.3.
    Bundle,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SimpleSigning => "a simple-signing payload",
            Self::Envelope => "a bare envelope",
            Self::Bundle => "a sigstore bundle",
        })
    }
}

/// Evidence about an image, from an untrusted source.
#[derive(Clone, Copy, Debug)]
pub enum Evidence<'a> {
    /// A layer of a `.sig` manifest: the blob, and the base64 from its annotation.
    SimpleSigning {
        /// The payload's exact bytes.
        payload: &'a [u8],
        /// The signature over them in base64.
        signature: &'a str,
    },
    /// A layer of an `.att` manifest.
    Envelope(&'a [u8]),
    /// A layer of either manifest with a certificate and a log's promise in its annotations, and its blob.
    Certified(&'a Descriptor, &'a [u8]),
    /// A bundle.
    Bundle(&'a [u8]),
}

impl<'a> Evidence<'a> {
    /// Its format.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::Envelope(_) => Format::Envelope,
            Self::Certified(layer, _) if layer.media_type == dsse::MEDIA_TYPE => Format::Envelope,
            Self::SimpleSigning { .. } | Self::Certified(..) => Format::SimpleSigning,
            Self::Bundle(_) => Format::Bundle,
        }
    }

    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::SimpleSigning { payload, .. } => payload,
            Self::Envelope(bytes) | Self::Certified(_, bytes) | Self::Bundle(bytes) => bytes,
        }
    }
}

/// Whether a signature must contain the image's name. A stated name must be right in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NameRule {
    /// The name is required.
    #[default]
    Required,
    /// The name may be missing, as in signatures of `cosign sign` 3.
    Optional,
}

/// Whether a signature must be in a log.
#[derive(Clone, Copy, Debug)]
pub enum LogRule<'a> {
    /// In one of these; entries of other logs are ignored.
    Required(&'a [VerifierKey]),
    /// Log entries are ignored.
    Ignored,
}

/// The requirements for a signature.
#[derive(Clone, Copy)]
pub struct Expectation<'a> {
    /// The image.
    pub digest: &'a Digest,
    /// Its name.
    pub name: &'a ImageName,
    /// Whether the name must be signed.
    pub name_rule: NameRule,
    /// The required type of the statement.
    pub predicate_type: &'a str,
    /// The accepted formats.
    pub formats: &'a [Format],
    /// The trusted keys and identities.
    pub keys: &'a TrustFile,
    /// Whether the signer may sign this. It is called last, with verified claims.
    pub role: &'a dyn Fn(&Claim<'_>) -> bool,
    /// The required logs.
    pub log: LogRule<'a>,
    /// The limits on the evidence.
    pub limits: Limits,
}

/// A verified claim about an image, to decide whether the signer may make it.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The key or identity of the signer.
    pub signer: &'a Holder,
    /// The format of the signature.
    pub format: Format,
    /// The signed statement.
    pub statement: &'a Statement,
    /// The image in the statement, with annotations.
    pub subject: &'a Subject,
    /// The delivery's sequence number, if stated.
    pub sequence: Option<u64>,
    /// The class of the content, if stated.
    pub class: Option<&'a str>,
    /// The verified log entry, if a log is required.
    pub logged: Option<&'a Logged>,
}

/// A verified statement about an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Attested {
    statement: Statement,
    subject: Subject,
    format: Format,
    evidence: Digest,
    logged: Option<Logged>,
    certified: Option<Box<keyless::Evidence>>,
}

impl Attested {
    /// The statement. A simple-signing payload is converted to a statement of the type that `cosign sign` 3 writes.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The image in the statement.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The format of the signature.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The digest of the payload, envelope or bundle.
    #[must_use]
    pub fn evidence(&self) -> &Digest {
        &self.evidence
    }

    /// The verified log entry, if a log is required.
    #[must_use]
    pub fn logged(&self) -> Option<&Logged> {
        self.logged.as_ref()
    }

    /// The signer and the time of signing, for a signature by certificate.
    #[must_use]
    pub fn certified(&self) -> Option<&keyless::Evidence> {
        self.certified.as_deref()
    }
}

/// A payload with a verified signature by a trusted signer.
struct SignedPayload<'a> {
    signer: &'a Holder,
    payload: Vec<u8>,
    logged: Option<Logged>,
    certified: Option<Box<keyless::Evidence>>,
}

impl<'a> SignedPayload<'a> {
    fn by_key(key: &'a TrustedKey, payload: Vec<u8>) -> Self {
        Self { signer: key.holder(), payload, logged: None, certified: None }
    }
}

/// Verifies one signature about an image. Bytes are parsed as a statement only after their signature was verified.
///
/// # Errors
/// One variant for each failed check. An error means only that this evidence does not count, not that the image is
/// unsigned.
pub fn verify_image(evidence: &Evidence<'_>, expected: &Expectation<'_>) -> Result<Verified<Attested>> {
    let format = evidence.format();
    if !expected.formats.contains(&format) {
        return Err(Error::FormatRefused(format));
    }
    let bytes = evidence.bytes();
    if bytes.len() > expected.limits.len {
        return Err(Error::EvidenceTooLarge(bytes.len()));
    }
    let signed = match evidence {
        Evidence::SimpleSigning { payload, signature } => simple_signing(payload, signature, expected)?,
        Evidence::Envelope(bytes) => envelope(bytes, expected)?,
        Evidence::Certified(layer, bytes) => from_layer(layer, bytes, expected)?,
        Evidence::Bundle(bytes) => from_bundle(bytes, expected)?,
    };
    expected.keys.refuse_revoked(signed.signer)?;
    let statement = match format {
        Format::SimpleSigning => Payload::parse(&signed.payload)?.into_statement(),
        Format::Envelope | Format::Bundle => Statement::parse(&signed.payload)?,
    };
    let subject = find_subject(&statement, expected)?.clone();
    let claim = Claim {
        signer: signed.signer,
        format,
        statement: &statement,
        subject: &subject,
        sequence: subject.sequence()?,
        class: subject.class()?,
        logged: signed.logged.as_ref(),
    };
    if !(expected.role)(&claim) {
        let predicate_type = statement.predicate_type().to_owned();
        return Err(Error::RoleRefused { key: signed.signer.name().to_owned(), predicate_type });
    }
    let evidence = Digest::sha256(bytes);
    let SignedPayload { signer, logged, certified, .. } = signed;
    let value = Attested { statement, subject, format, evidence, logged, certified };
    Ok(Verified { value, signer: Signer::of(signer) })
}

fn simple_signing<'a>(
    payload: &[u8],
    signature: &str,
    expected: &Expectation<'a>,
) -> Result<SignedPayload<'a>> {
    check_no_log_required(expected)?;
    // Some writers wrap the base64 in the annotation (sigstore-rs issue 550).
    let signature: String = signature.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let signature = json::base64("signature", &signature)?;
    let mut keys = expected.keys.keys().iter();
    let key = keys.find(|key| key.key().verifies(payload, &signature)).ok_or(Error::NoKeyFits)?;
    Ok(SignedPayload::by_key(key, payload.to_vec()))
}

fn envelope<'a>(bytes: &[u8], expected: &Expectation<'a>) -> Result<SignedPayload<'a>> {
    check_no_log_required(expected)?;
    let envelope = Envelope::parse(bytes, &expected.limits)?;
    let signed = envelope.signed_bytes();
    let mut keys = expected.keys.keys().iter();
    let fits = |key: &&TrustedKey| key.key().verifies(&signed, envelope.signature());
    let key = keys.find(fits).ok_or(Error::NoKeyFits)?;
    check_key_id(&envelope, &key.key().hint())?;
    Ok(SignedPayload::by_key(key, envelope.into_payload()))
}

fn from_bundle<'a>(bytes: &[u8], expected: &Expectation<'a>) -> Result<SignedPayload<'a>> {
    let Attestation { hint, envelope, log_entries } = match bundle::parse_attestation(bytes, &expected.limits)
    {
        Err(Error::BundleCertificate) => {
            return certified(expected, |identities, root| {
                keyless::verify_any(bytes, Artifact::Digest(expected.digest), identities, root)
            });
        }
        read => read?,
    };
    let key = expected.keys.find(&hint).ok_or_else(|| Error::UntrustedKey(hint.clone()))?;
    check_key_id(&envelope, &hint)?;
    let signed = envelope.signed_bytes();
    if !key.key().verifies(&signed, envelope.signature()) {
        return Err(Error::BadSignature(key.name().to_owned()));
    }
    let logged = match expected.log {
        LogRule::Ignored => None,
        LogRule::Required(logs) => {
            let body = log_entry::body(&signed, envelope.signature(), key.key());
            Some(find_logged(log_entries, logs, &body)?)
        }
    };
    Ok(SignedPayload { logged, ..SignedPayload::by_key(key, envelope.into_payload()) })
}

/// A layer with a certificate. `cosign sign --key K --certificate C` creates such layers with a key, so keys are tried
/// first.
fn from_layer<'a>(layer: &Descriptor, bytes: &[u8], expected: &Expectation<'a>) -> Result<SignedPayload<'a>> {
    let by_key = match layer.annotations.get(attached::SIGNATURE) {
        _ if layer.media_type == dsse::MEDIA_TYPE => envelope(bytes, expected),
        Some(signature) => simple_signing(bytes, signature, expected),
        None => Err(Error::NoKeyFits),
    };
    if by_key.is_ok() {
        return by_key;
    }
    certified(expected, |identities, root| {
        keyless::verify_layer_any(layer, bytes, expected.digest, identities, root)
    })
}

/// Verifies a signature by certificate.
fn certified<'a>(
    expected: &Expectation<'a>,
    verify: impl Fn(&[&keyless::Identity], &keyless::TrustedRoot) -> keyless::Result<(usize, keyless::Evidence)>,
) -> Result<SignedPayload<'a>> {
    // Such a signature is in the logs of its root, not in our logs.
    check_no_log_required(expected)?;
    let (identity, evidence) = expected.keys.identify(verify)?;
    let payload = evidence.payload().ok_or(Error::BundleWithoutStatement)?.to_vec();
    Ok(SignedPayload {
        signer: identity.holder(),
        payload,
        logged: None,
        certified: Some(Box::new(evidence)),
    })
}

/// Every entry that claims to be in an accepted log must be valid; entries of other logs may have any form.
fn find_logged(entries: Vec<Value>, logs: &[VerifierKey], body: &[u8]) -> Result<Logged> {
    if entries.is_empty() {
        return Err(Error::NotLogged);
    }
    let mut logged = None;
    for entry in entries {
        if let Some(log) = logs.iter().find(|log| LogEntry::claims(&entry, log)) {
            logged = Some(LogEntry::read(entry)?.verify(log, body)?);
        }
    }
    logged.ok_or(Error::OtherLog)
}

/// Only bundles contain entries of our logs, so other formats are refused if a log is required.
fn check_no_log_required(expected: &Expectation<'_>) -> Result<()> {
    match expected.log {
        LogRule::Ignored => Ok(()),
        LogRule::Required(_) => Err(Error::NotLogged),
    }
}

/// The key id in an envelope is not signed and does not select the key, but it must not contradict (protobuf-specs
/// `sigstore_bundle.proto`, `dsse_envelope`).
fn check_key_id(envelope: &Envelope, hint: &str) -> Result<()> {
    match envelope.key_id() {
        Some(id) if id != hint => Err(Error::KeyId(id.to_owned())),
        _ => Ok(()),
    }
}

/// Finds the subject that is the image under its name, in a statement of the right type.
fn find_subject<'a>(statement: &'a Statement, expected: &Expectation<'_>) -> Result<&'a Subject> {
    if statement.predicate_type() != expected.predicate_type {
        let found = statement.predicate_type().to_owned();
        return Err(Error::PredicateType { found, expected: expected.predicate_type.to_owned() });
    }
    let mut refused = None;
    for subject in statement.subjects().iter().filter(|subject| subject.is(expected.digest)) {
        match check_name(subject, expected) {
            Ok(()) => return Ok(subject),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| other_image(statement, expected.digest)))
}

fn other_image(statement: &Statement, expected: &Digest) -> Error {
    let algorithm = expected.algorithm();
    let found = statement.subjects().iter().find_map(|subject| subject.digest(algorithm));
    let found = found.map_or_else(|| format!("nothing by {algorithm}"), |hex| format!("{algorithm}:{hex}"));
    Error::OtherImage { found, expected: expected.to_string() }
}

fn check_name(subject: &Subject, expected: &Expectation<'_>) -> Result<()> {
    let names = subject.names()?;
    if names.is_empty() && expected.name_rule == NameRule::Required {
        return Err(Error::NameMissing);
    }
    for name in names {
        if !name.parse::<ImageName>().is_ok_and(|name| name == *expected.name) {
            return Err(Error::OtherName { found: name.to_owned(), expected: expected.name.to_string() });
        }
    }
    Ok(())
}
