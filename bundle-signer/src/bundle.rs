//! Sigstore bundle v0.3 with a message signature by key (protobuf-specs `sigstore_bundle.proto`), as
//! `cosign sign-blob --bundle` writes it and `cosign verify-blob --bundle` reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::{Error, PrivateKey, Result};

/// The media type of bundle version 0.3.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// No bundle of a message signature needs more bytes, with log entries and timestamps.
pub const MAX_LEN: usize = 64 * 1024;

const ALGORITHM: &str = "SHA2_256";

/// Signs `bytes`; gives the bundle's JSON, in which only the signature itself differs from run to run.
///
/// # Errors
/// [`Error::Crypto`] when the system gives no random bytes.
pub fn sign_blob(key: &PrivateKey, bytes: &[u8]) -> Result<Vec<u8>> {
    let hint = key.public_key()?.hint();
    let hash = STANDARD.encode(digest(&SHA256, bytes));
    let signature = STANDARD.encode(key.sign(bytes)?);
    let bundle = format!(
        r#"{{"mediaType":"{MEDIA_TYPE}","verificationMaterial":{{"publicKey":{{"hint":"{hint}"}}}},"messageSignature":{{"messageDigest":{{"algorithm":"{ALGORITHM}","digest":"{hash}"}},"signature":"{signature}"}}}}"#
    );
    Ok(bundle.into_bytes())
}

/// What a bundle says, before anything of it is believed.
pub(crate) struct Claims {
    pub(crate) hint: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// Every member that a bundle can have is named, so that an unknown or doubled one is refused, and a bundle of
/// another kind gets the error that says so. Log entries and timestamps, which cosign may add, prove nothing here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    media_type: String,
    verification_material: Material,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Option<KeyHint>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
    #[serde(rename = "tlogEntries")]
    _log_entries: Option<IgnoredAny>,
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

/// Reads a bundle; white space after it is allowed, anything else is not.
pub(crate) fn parse(bytes: &[u8]) -> Result<Claims> {
    if bytes.len() > MAX_LEN {
        return Err(Error::BundleTooLarge(bytes.len()));
    }
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(Error::Bundle)?;
    if bundle.media_type != MEDIA_TYPE {
        return Err(Error::BundleVersion(bundle.media_type));
    }
    let material = bundle.verification_material;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        return Err(Error::BundleCertificate);
    }
    let hint = material.public_key.ok_or(Error::BundleWithoutKey)?.hint;
    let (Some(message), None) = (bundle.message_signature, bundle.dsse_envelope) else {
        return Err(Error::BundleContent);
    };
    if message.message_digest.algorithm != ALGORITHM {
        return Err(Error::DigestAlgorithm(message.message_digest.algorithm));
    }
    // The hint is shown to people before anything is verified: only base64 of a hash may pass.
    decode_hash("hint", &hint)?;
    Ok(Claims {
        hint,
        digest: decode_hash("digest", &message.message_digest.digest)?,
        signature: STANDARD.decode(&message.signature).map_err(|_| Error::Base64("signature"))?,
    })
}

fn decode_hash(name: &'static str, text: &str) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(text).map_err(|_| Error::Base64(name))?;
    if bytes.len() == SHA256_OUTPUT_LEN { Ok(bytes) } else { Err(Error::Base64(name)) }
}

/// The key hint that a bundle gives, for showing; nothing is checked.
///
/// # Errors
/// When the bundle is malformed.
pub fn claimed_hint(bytes: &[u8]) -> Result<String> {
    Ok(parse(bytes)?.hint)
}
