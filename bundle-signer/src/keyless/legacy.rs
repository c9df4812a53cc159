//! Cosign's first formats with a certificate: a layer of a `.sig` or `.att` image, with the certificate and the log's
//! promise in annotations (cosign `specs/SIGNATURE_SPEC.md`, `pkg/cosign/bundle/rekor.go`).
//!
//! Such a layer has the same content as a sigstore bundle of version 0.1, member for member, so it is converted to one.
//! Version 0.3 would need an inclusion proof, which the layer does not have. The chain annotation is ignored: only the
//! trusted root determines which CAs are trusted.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::{Descriptor, Digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Artifact, Error, Evidence, Identity, MAX_BUNDLE, Result, TrustedRoot, verify_any};
use crate::pem_text;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

const BUNDLE_V01: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";
const IMAGE_TYPE: &str = "cosign container image signature";

/// Whether a layer claims to be a keyless signature of this format.
#[must_use]
pub fn is_keyless(layer: &Descriptor) -> bool {
    [SIMPLE_SIGNING, ENVELOPE].contains(&layer.media_type.as_str())
        && layer.annotations.contains_key(CERTIFICATE)
}

/// Checks that a layer, whose blob is `payload`, is `identity`'s signature for the image `artifact`. The caller must
/// still check the image name in the signed text.
///
/// # Errors
/// When the layer is incomplete, and as [`verify`](super::verify).
pub fn verify_layer(
    layer: &Descriptor,
    payload: &[u8],
    artifact: &Digest,
    identity: &Identity,
    root: &TrustedRoot,
) -> Result<Evidence> {
    verify_layer_any(layer, payload, artifact, &[identity], root).map(|(_, evidence)| evidence)
}

/// Like [`verify_layer`], for several identities: also returns the index of the first one that matches.
///
/// # Errors
/// When the layer is incomplete, and as [`verify_any`].
pub fn verify_layer_any(
    layer: &Descriptor,
    payload: &[u8],
    artifact: &Digest,
    identities: &[&Identity],
    root: &TrustedRoot,
) -> Result<(usize, Evidence)> {
    let bundle = to_bundle(layer, payload)?;
    if layer.media_type.as_str() == ENVELOPE {
        return verify_any(&bundle, Artifact::Digest(artifact), identities, root);
    }
    let (matched, evidence) = verify_any(&bundle, Artifact::Bytes(payload), identities, root)?;
    check_text(payload, artifact)?;
    Ok((matched, evidence.of_image_text(payload.to_vec())))
}

#[derive(Deserialize)]
struct Text {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

fn check_text(payload: &[u8], artifact: &Digest) -> Result<()> {
    let Text { critical } = serde_json::from_slice(payload).map_err(Error::LayerPayload)?;
    if critical.r#type != IMAGE_TYPE {
        return Err(Error::LayerType(critical.r#type));
    }
    let named = critical.image.docker_manifest_digest;
    if named == artifact.to_string() { Ok(()) } else { Err(Error::LayerImage(named)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RekorBundle {
    signed_entry_timestamp: String,
    payload: RekorPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RekorPayload {
    body: String,
    integrated_time: u64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
}

#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

/// Converts the layer to a bundle of version 0.1.
pub(super) fn to_bundle(layer: &Descriptor, payload: &[u8]) -> Result<Vec<u8>> {
    let annotations = &layer.annotations;
    let len = payload.len() + annotations.values().map(String::len).sum::<usize>();
    if len > MAX_BUNDLE {
        return Err(Error::TooLarge(len));
    }
    let (member, content) = match layer.media_type.as_str() {
        SIMPLE_SIGNING => ("messageSignature", message_signature(annotations, payload)?),
        ENVELOPE => ("dsseEnvelope", serde_json::from_slice(payload).map_err(Error::LayerPayload)?),
        other => return Err(Error::LayerMediaType(other.to_owned())),
    };
    let certificate = pem_text::decode(required(annotations, CERTIFICATE)?)
        .map_err(|error| Error::LayerCertificate(Box::new(error)))?;
    if certificate.tag() != "CERTIFICATE" {
        return Err(Error::LayerAnnotation(CERTIFICATE));
    }
    let bundle = json!({
        "mediaType": BUNDLE_V01,
        "verificationMaterial": {
            "x509CertificateChain": {"certificates": [{"rawBytes": STANDARD.encode(certificate.contents())}]},
            "tlogEntries": [log_entry(required(annotations, BUNDLE)?)?],
            "timestampVerificationData": {"rfc3161Timestamps": timestamps(annotations)?},
        },
        member: content,
    });
    Ok(bundle.to_string().into_bytes())
}

fn required<'a>(annotations: &'a BTreeMap<String, String>, name: &'static str) -> Result<&'a str> {
    annotations.get(name).map(String::as_str).filter(|text| !text.is_empty()).ok_or(Error::LayerLacks(name))
}

fn message_signature(annotations: &BTreeMap<String, String>, payload: &[u8]) -> Result<Value> {
    let digest = ring::digest::digest(&ring::digest::SHA256, payload);
    Ok(json!({
        "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(digest)},
        "signature": required(annotations, SIGNATURE)?.trim(),
    }))
}

fn log_entry(text: &str) -> Result<Value> {
    let malformed = || Error::LayerAnnotation(BUNDLE);
    let RekorBundle { signed_entry_timestamp, payload } =
        serde_json::from_str(text).map_err(|_| malformed())?;
    let body = STANDARD.decode(&payload.body).map_err(|_| malformed())?;
    let Body { kind, api_version } = serde_json::from_slice(&body).map_err(|_| malformed())?;
    // These cover the signature and its certificate; `intoto` 0.0.1 does not contain the signature.
    if ![("hashedrekord", "0.0.1"), ("dsse", "0.0.1"), ("intoto", "0.0.2")].contains(&(&kind, &api_version)) {
        return Err(Error::LayerEntry(format!("{kind} {api_version}")));
    }
    Ok(json!({
        "logIndex": payload.log_index.to_string(),
        "logId": {"keyId": STANDARD.encode(from_hex(&payload.log_id).ok_or_else(malformed)?)},
        "kindVersion": {"kind": kind, "version": api_version},
        "integratedTime": payload.integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
        "canonicalizedBody": payload.body,
    }))
}

fn timestamps(annotations: &BTreeMap<String, String>) -> Result<Vec<Value>> {
    let Some(text) = annotations.get(TIMESTAMP) else {
        return Ok(Vec::new());
    };
    let Timestamp { signed } = serde_json::from_str(text).map_err(|_| Error::LayerAnnotation(TIMESTAMP))?;
    Ok(vec![json!({"signedTimestamp": signed})])
}

/// Decodes lower-case hex, as Rekor writes its id; the promise covers that text.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
