//! Sigstore bundle v0.3, signed by key (protobuf-specs `sigstore_bundle.proto`): with a message signature as
//! `cosign sign-blob --bundle` writes it, or with an envelope as `cosign attest` and `cosign sign` do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::dsse::{self, Envelope};
use crate::{Error, Limits, LogEntry, PrivateKey, PublicKey, Result, json};

/// The media type of bundle version 0.3.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// No bundle of a message signature needs more bytes, with log entries and timestamps.
pub const MAX_LEN: usize = 64 * 1024;

const ALGORITHM: &str = "SHA2_256";

/// Signs `bytes` and returns the bundle's JSON, in which only the signature itself differs from run to run.
///
/// # Errors
/// [`Error::Crypto`] when the system provides no random bytes.
pub fn sign_blob(key: &PrivateKey, bytes: &[u8]) -> Result<Vec<u8>> {
    let signature = key.sign(bytes)?;
    Ok(blob(&key.public_key()?, bytes, &signature, &[]))
}

/// The bundle of an existing signature over a file, with its log entries.
#[must_use]
pub fn blob(key: &PublicKey, bytes: &[u8], signature: &[u8], entries: &[LogEntry]) -> Vec<u8> {
    let (hash, signature) = (STANDARD.encode(digest(&SHA256, bytes)), STANDARD.encode(signature));
    let content = format!(
        r#""messageSignature":{{"messageDigest":{{"algorithm":"{ALGORITHM}","digest":"{hash}"}},"signature":"{signature}"}}"#
    );
    write(key, &content, entries)
}

/// The bundle of a signed statement, with its log entries.
#[must_use]
pub fn attestation(key: &PublicKey, envelope: &Envelope, entries: &[LogEntry]) -> Vec<u8> {
    write(key, &format!(r#""dsseEnvelope":{}"#, envelope.to_json()), entries)
}

fn write(key: &PublicKey, content: &str, entries: &[LogEntry]) -> Vec<u8> {
    let hint = key.hint();
    let entries: Vec<_> = entries.iter().map(LogEntry::to_json).collect();
    let logged = match entries.as_slice() {
        [] => String::new(),
        entries => format!(r#","tlogEntries":[{}]"#, entries.join(",")),
    };
    let material = format!(r#"{{"publicKey":{{"hint":"{hint}"}}{logged}}}"#);
    format!(r#"{{"mediaType":"{MEDIA_TYPE}","verificationMaterial":{material},{content}}}"#).into_bytes()
}

/// The claims of the bundle of a file, not yet verified.
pub(crate) struct Claims {
    pub(crate) hint: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The claims of the bundle of a statement, not yet verified.
pub(crate) struct Attestation {
    pub(crate) hint: String,
    pub(crate) envelope: Envelope,
    /// Parsed only when a log entry is required.
    pub(crate) log_entries: Vec<Value>,
}

/// Lists every member that a bundle can have, so that an unknown or duplicate one is refused, and a bundle of another
/// kind gets a specific error. Timestamps, which cosign may add, prove nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    media_type: String,
    verification_material: Material,
    message_signature: Option<MessageSignature>,
    // Parsed only when a statement is required.
    dsse_envelope: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Option<KeyHint>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
    #[serde(rename = "tlogEntries")]
    log_entries: Option<Vec<Value>>,
    #[serde(rename = "timestampVerificationData")]
    _timestamps: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyHint {
    hint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessageSignature {
    message_digest: MessageDigest,
    signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

/// Reads the bundle of a file; white space after it is allowed, anything else is not.
pub(crate) fn parse(bytes: &[u8]) -> Result<Claims> {
    let (hint, bundle) = read(bytes, &Limits { len: MAX_LEN, ..Limits::default() })?;
    let (Some(message), None) = (bundle.message_signature, bundle.dsse_envelope) else {
        return Err(Error::BundleContent);
    };
    if message.message_digest.algorithm != ALGORITHM {
        return Err(Error::DigestAlgorithm(message.message_digest.algorithm));
    }
    Ok(Claims {
        hint,
        digest: decode_hash("digest", &message.message_digest.digest)?,
        signature: json::base64("signature", &message.signature)?,
    })
}

/// Reads the bundle of a statement.
pub(crate) fn parse_attestation(bytes: &[u8], limits: &Limits) -> Result<Attestation> {
    let (hint, bundle) = read(bytes, limits)?;
    let (Some(envelope), None) = (bundle.dsse_envelope, bundle.message_signature) else {
        return Err(Error::BundleWithoutStatement);
    };
    let log_entries = bundle.verification_material.log_entries.unwrap_or_default();
    let envelope: dsse::Wire = serde_json::from_value(envelope).map_err(Error::Envelope)?;
    Ok(Attestation { hint, envelope: Envelope::from_wire(envelope)?, log_entries })
}

/// Reads the parts that all bundles have in common; returns the hint of the key, too.
fn read(bytes: &[u8], limits: &Limits) -> Result<(String, Bundle)> {
    if bytes.len() > limits.len {
        return Err(Error::BundleTooLarge(bytes.len()));
    }
    let mut bundle: Bundle = json::parse(bytes).map_err(Error::Bundle)?;
    if bundle.media_type != MEDIA_TYPE {
        return Err(Error::BundleVersion(bundle.media_type));
    }
    let material = &mut bundle.verification_material;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        return Err(Error::BundleCertificate);
    }
    let entries = material.log_entries.as_ref().map_or(0, Vec::len);
    if entries > limits.log_entries {
        return Err(Error::TooManyLogEntries(entries));
    }
    let hint = material.public_key.take().ok_or(Error::BundleWithoutKey)?.hint;
    // The hint is displayed before anything is verified: only base64 of a hash may pass.
    decode_hash("hint", &hint)?;
    Ok((hint, bundle))
}

fn decode_hash(name: &'static str, text: &str) -> Result<Vec<u8>> {
    Ok(json::base64_array::<SHA256_OUTPUT_LEN>(name, text)?.to_vec())
}

/// The key hint in a bundle, for display; nothing is verified.
///
/// # Errors
/// When the bundle is malformed.
pub fn claimed_hint(bytes: &[u8]) -> Result<String> {
    Ok(parse(bytes)?.hint)
}
