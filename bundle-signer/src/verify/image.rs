//! The check of one signature about one image: format, key, bytes, log, image, name, kind of statement, role.
//! What several signatures come to (thresholds, revocation) is decided above, from many [`Attested`] values.

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

/// How a signature is written down.
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

/// What was found about an image. It may come from anyone.
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
    /// A layer of either that has a certificate and a log's promise in its annotations, and its blob.
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

/// Whether a signature must bind the image's name. Any name that is stated must be right in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NameRule {
    /// It must.
    #[default]
    Required,
    /// It may be silent, as what `cosign sign` 3 writes is.
    MayBeSilent,
}

/// Whether a signature must be in a log.
#[derive(Clone, Copy, Debug)]
pub enum LogRule<'a> {
    /// In one of these; entries of others are passed over.
    Required(&'a [VerifierKey]),
    /// Log entries are not looked at.
    NotAsked,
}

/// What a signature must be, to count.
#[derive(Clone, Copy)]
pub struct Expectation<'a> {
    /// The image.
    pub digest: &'a Digest,
    /// Its name.
    pub name: &'a ImageName,
    /// Whether the name must be signed.
    pub name_rule: NameRule,
    /// What must be said of it.
    pub predicate_type: &'a str,
    /// Formats that are taken.
    pub formats: &'a [Format],
    /// Keys and identities that are trusted.
    pub keys: &'a TrustFile,
    /// Whether the signer may say this. It is asked last, of what is proven to be the signer's word.
    pub role: &'a dyn Fn(&Claim<'_>) -> bool,
    /// Logs that are asked.
    pub log: LogRule<'a>,
    /// How much is read.
    pub limits: Limits,
}

/// Somebody's proven word about an image, for deciding whether it is theirs to give.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose key or identity it is.
    pub signer: &'a Holder,
    /// How it was written down.
    pub format: Format,
    /// What is said.
    pub statement: &'a Statement,
    /// About the image, with annotations.
    pub subject: &'a Subject,
    /// The number of the delivery, if said.
    pub sequence: Option<u64>,
    /// The class of the content, if said.
    pub class: Option<&'a str>,
    /// What a log says, if one was asked.
    pub logged: Option<&'a Logged>,
}

/// What was found to be signed about an image.
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
    /// What is said. A simple-signing payload becomes a statement of the type that `cosign sign` 3 writes.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The image as the statement has it.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How it was written down.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The digest of the payload, envelope or bundle.
    #[must_use]
    pub fn evidence(&self) -> &Digest {
        &self.evidence
    }

    /// What a log says of it, if one was asked.
    #[must_use]
    pub fn logged(&self) -> Option<&Logged> {
        self.logged.as_ref()
    }

    /// Who signed and when, where it was by certificate.
    #[must_use]
    pub fn certified(&self) -> Option<&keyless::Evidence> {
        self.certified.as_deref()
    }
}

/// Bytes that somebody who is trusted has signed.
struct Proven<'a> {
    signer: &'a Holder,
    payload: Vec<u8>,
    logged: Option<Logged>,
    certified: Option<Box<keyless::Evidence>>,
}

impl<'a> Proven<'a> {
    fn by_key(key: &'a TrustedKey, payload: Vec<u8>) -> Self {
        Self { signer: key.holder(), payload, logged: None, certified: None }
    }
}

/// Checks one signature about an image. Bytes are parsed as a statement only after their signature was checked.
///
/// # Errors
/// One variant for each way in which evidence does not count; none of them says that the image is unsigned, only
/// that this does not sign it.
pub fn verify_image(evidence: &Evidence<'_>, expected: &Expectation<'_>) -> Result<Verified<Attested>> {
    let format = evidence.format();
    if !expected.formats.contains(&format) {
        return Err(Error::FormatRefused(format));
    }
    let bytes = evidence.bytes();
    if bytes.len() > expected.limits.len {
        return Err(Error::EvidenceTooLarge(bytes.len()));
    }
    let proven = match evidence {
        Evidence::SimpleSigning { payload, signature } => simple_signing(payload, signature, expected)?,
        Evidence::Envelope(bytes) => envelope(bytes, expected)?,
        Evidence::Certified(layer, bytes) => from_layer(layer, bytes, expected)?,
        Evidence::Bundle(bytes) => from_bundle(bytes, expected)?,
    };
    expected.keys.refuse_revoked(proven.signer)?;
    let statement = match format {
        Format::SimpleSigning => Payload::parse(&proven.payload)?.into_statement(),
        Format::Envelope | Format::Bundle => Statement::parse(&proven.payload)?,
    };
    let subject = bind(&statement, expected)?.clone();
    let claim = Claim {
        signer: proven.signer,
        format,
        statement: &statement,
        subject: &subject,
        sequence: subject.sequence()?,
        class: subject.class()?,
        logged: proven.logged.as_ref(),
    };
    if !(expected.role)(&claim) {
        let predicate_type = statement.predicate_type().to_owned();
        return Err(Error::RoleRefused { key: proven.signer.name().to_owned(), predicate_type });
    }
    let evidence = Digest::sha256(bytes);
    let Proven { signer, logged, certified, .. } = proven;
    let value = Attested { statement, subject, format, evidence, logged, certified };
    Ok(Verified { value, signer: Signer::of(signer) })
}

fn simple_signing<'a>(payload: &[u8], signature: &str, expected: &Expectation<'a>) -> Result<Proven<'a>> {
    not_logged(expected)?;
    // Some writers break the lines of the annotation's base64 (sigstore-rs issue 550).
    let signature: String = signature.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let signature = json::base64("signature", &signature)?;
    let mut keys = expected.keys.keys().iter();
    let key = keys.find(|key| key.key().verifies(payload, &signature)).ok_or(Error::NoKeyFits)?;
    Ok(Proven::by_key(key, payload.to_vec()))
}

fn envelope<'a>(bytes: &[u8], expected: &Expectation<'a>) -> Result<Proven<'a>> {
    not_logged(expected)?;
    let envelope = Envelope::parse(bytes, &expected.limits)?;
    let signed = envelope.signed_bytes();
    let mut keys = expected.keys.keys().iter();
    let fits = |key: &&TrustedKey| key.key().verifies(&signed, envelope.signature());
    let key = keys.find(fits).ok_or(Error::NoKeyFits)?;
    check_key_id(&envelope, &key.key().hint())?;
    Ok(Proven::by_key(key, envelope.into_payload()))
}

fn from_bundle<'a>(bytes: &[u8], expected: &Expectation<'a>) -> Result<Proven<'a>> {
    let Attestation { hint, envelope, log_entries } = match bundle::parse_attestation(bytes, &expected.limits)
    {
        Err(Error::BundleCertificate) => {
            return certified(expected, |whose, root| {
                keyless::verify_any(bytes, Artifact::Digest(expected.digest), whose, root)
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
        LogRule::NotAsked => None,
        LogRule::Required(logs) => {
            let body = log_entry::body(&signed, envelope.signature(), key.key());
            Some(find_logged(log_entries, logs, &body)?)
        }
    };
    Ok(Proven { logged, ..Proven::by_key(key, envelope.into_payload()) })
}

/// A layer with a certificate. `cosign sign --key K --certificate C` makes such by a key, so keys are asked first.
fn from_layer<'a>(layer: &Descriptor, bytes: &[u8], expected: &Expectation<'a>) -> Result<Proven<'a>> {
    let by_key = match layer.annotations.get(attached::SIGNATURE) {
        _ if layer.media_type == dsse::MEDIA_TYPE => envelope(bytes, expected),
        Some(signature) => simple_signing(bytes, signature, expected),
        None => Err(Error::NoKeyFits),
    };
    if by_key.is_ok() {
        return by_key;
    }
    certified(expected, |whose, root| keyless::verify_layer_any(layer, bytes, expected.digest, whose, root))
}

/// What an identity signed, by the one verifier of such signatures.
fn certified<'a>(
    expected: &Expectation<'a>,
    verify: impl Fn(&[&keyless::Identity], &keyless::TrustedRoot) -> keyless::Result<(usize, keyless::Evidence)>,
) -> Result<Proven<'a>> {
    // Such a signature is in its own root's logs, not in those of ours.
    not_logged(expected)?;
    let (identity, evidence) = expected.keys.identify(verify)?;
    let payload = evidence.payload().ok_or(Error::BundleWithoutStatement)?.to_vec();
    Ok(Proven { signer: identity.holder(), payload, logged: None, certified: Some(Box::new(evidence)) })
}

/// Every entry that claims to be of an accepted log must hold; those of others may be of any form.
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

/// Only bundles carry what our logs say.
fn not_logged(expected: &Expectation<'_>) -> Result<()> {
    match expected.log {
        LogRule::NotAsked => Ok(()),
        LogRule::Required(_) => Err(Error::NotLogged),
    }
}

/// The key's name in an envelope is not signed, and chooses nothing; it must not contradict, either (protobuf-specs
/// `sigstore_bundle.proto`, `dsse_envelope`).
fn check_key_id(envelope: &Envelope, hint: &str) -> Result<()> {
    match envelope.key_id() {
        Some(id) if id != hint => Err(Error::KeyId(id.to_owned())),
        _ => Ok(()),
    }
}

/// The subject that is the image under its name, in a statement of the right type.
fn bind<'a>(statement: &'a Statement, expected: &Expectation<'_>) -> Result<&'a Subject> {
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
