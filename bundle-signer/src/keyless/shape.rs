//! The shape of a bundle, checked before the library reads it: bounded, unambiguous, every log entry with its proof.
//!
//! The library uses the first of two contradicting members and ignores unknown members; sigstore-go (`protojson`)
//! refuses both, and so does airlock: two verifiers must not read different signatures from one file.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Error, MAX_BUNDLE, Result};

/// As in sigstore-go (`pkg/verify/tlog.go`, `maxAllowedTlogEntries`).
const MAX_ENTRIES: usize = 32;
/// As in sigstore-go (`pkg/verify/tsa.go`, `maxAllowedTimestamps`).
const MAX_TIMESTAMPS: usize = 32;
/// A Fulcio chain has three.
const MAX_CERTIFICATES: usize = 8;
/// A tree of 2^64 leaves needs no more.
const MAX_HASHES: usize = 64;
/// Bytes in a checkpoint: the signature of the log, and of more witnesses than exist.
const MAX_CHECKPOINT: usize = 16 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    #[serde(rename = "mediaType")]
    _media_type: String,
    verification_material: Material,
    message_signature: Option<IgnoredAny>,
    dsse_envelope: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<Chain>,
    public_key: Option<IgnoredAny>,
    #[serde(default)]
    tlog_entries: Vec<Entry>,
    timestamp_verification_data: Option<Timestamps>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    certificates: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Timestamps {
    #[serde(default)]
    rfc3161_timestamps: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(rename = "logIndex")]
    _log_index: Option<IgnoredAny>,
    #[serde(rename = "logId")]
    _log_id: IgnoredAny,
    #[serde(rename = "kindVersion")]
    _kind_version: IgnoredAny,
    #[serde(rename = "integratedTime")]
    _integrated_time: Option<IgnoredAny>,
    inclusion_promise: Option<IgnoredAny>,
    inclusion_proof: Option<Proof>,
    #[serde(rename = "canonicalizedBody")]
    _body: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Proof {
    #[serde(rename = "logIndex")]
    _log_index: Option<IgnoredAny>,
    #[serde(rename = "rootHash")]
    _root_hash: Option<IgnoredAny>,
    #[serde(rename = "treeSize")]
    _tree_size: Option<IgnoredAny>,
    #[serde(default)]
    hashes: Vec<IgnoredAny>,
    #[serde(default)]
    checkpoint: Checkpoint,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    #[serde(default)]
    envelope: String,
}

/// Checks the shape of a bundle with a certificate.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_BUNDLE {
        return Err(Error::TooLarge(bytes.len()));
    }
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(Error::Malformed)?;
    check_material(&bundle.verification_material)?;
    match (bundle.message_signature, bundle.dsse_envelope) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) | (Some(_), Some(_)) => Err(Error::Content),
    }
}

fn check_material(material: &Material) -> Result<()> {
    match (&material.certificate, &material.x509_certificate_chain, &material.public_key) {
        (Some(_), None, None) => {}
        (None, Some(chain), None) => at_most("certificates", chain.certificates.len(), MAX_CERTIFICATES)?,
        (None, None, Some(_)) => return Err(Error::ByKey),
        _ => return Err(Error::Material),
    }
    at_most("log entries", material.tlog_entries.len(), MAX_ENTRIES)?;
    if let Some(timestamps) = &material.timestamp_verification_data {
        at_most("timestamps", timestamps.rfc3161_timestamps.len(), MAX_TIMESTAMPS)?;
    }
    if material.tlog_entries.is_empty() {
        return Err(Error::NotLogged);
    }
    for (number, entry) in material.tlog_entries.iter().enumerate() {
        match &entry.inclusion_proof {
            Some(proof) => {
                at_most("hashes in a proof", proof.hashes.len(), MAX_HASHES)?;
                at_most("bytes in a checkpoint", proof.checkpoint.envelope.len(), MAX_CHECKPOINT)?;
            }
            None if entry.inclusion_promise.is_none() => return Err(Error::NotProven(number)),
            None => {}
        }
    }
    Ok(())
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<()> {
    if found > limit { Err(Error::TooMany { what, found, limit }) } else { Ok(()) }
}
