//! Entries of a transparency log in bundles: `hashedrekord` 0.0.2 (sigstore rekor-tiles
//! `api/proto/rekor/v2/hashedrekord.proto`; protobuf-specs `sigstore_rekor.proto`), over a log of our own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tlog::merkle::{LONGEST, check_inclusion};
use tlog::{Checkpoint, Hash, Note, Proof, VerifierKey};

use crate::{Error, PublicKey, Result, json};

const KIND: &str = "hashedrekord";
const VERSION: &str = "0.0.2";

/// The claim that a signature is in a log. Nothing in it is trusted before [`LogEntry::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    index: u64,
    log_id: [u8; 32],
    kind: String,
    body: Vec<u8>,
    proof: InclusionProof,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct InclusionProof {
    index: u64,
    size: u64,
    root: Hash,
    hashes: Vec<Hash>,
    checkpoint: String,
}

/// A verified log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The entry's index.
    pub index: u64,
    /// The state of the log that contains it.
    pub checkpoint: Checkpoint,
    /// The signed text of that state with all its signatures, to check for witnesses.
    pub note: Note,
}

/// The body of the log entry for a signature: the hash of the signed bytes, the signature and the key, as RFC 8785
/// JSON. Verifiers rebuild this text from the other parts of a bundle, so it has one form. The signed bytes are the PAE
/// of an envelope, or a file.
#[must_use]
pub fn body(signed: &[u8], signature: &[u8], key: &PublicKey) -> Vec<u8> {
    let hash = STANDARD.encode(digest(&SHA256, signed));
    let (signature, key) = (STANDARD.encode(signature), STANDARD.encode(key.to_spki()));
    format!(
        r#"{{"apiVersion":"{VERSION}","kind":"{KIND}","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"SHA2_256","digest":"{hash}"}},"signature":{{"content":"{signature}","verifier":{{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{{"rawBytes":"{key}"}}}}}}}}}}}}"#
    )
    .into_bytes()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    #[serde(default, deserialize_with = "json::int64")]
    log_index: u64,
    log_id: WireLogId,
    kind_version: WireKind,
    // Rekor v1's promise and time depend on a clock that is not trusted here.
    #[serde(rename = "integratedTime")]
    _integrated_time: Option<IgnoredAny>,
    #[serde(rename = "inclusionPromise")]
    _inclusion_promise: Option<IgnoredAny>,
    inclusion_proof: WireProof,
    canonicalized_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireLogId {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKind {
    kind: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireProof {
    #[serde(default, deserialize_with = "json::int64")]
    log_index: u64,
    root_hash: String,
    #[serde(deserialize_with = "json::int64")]
    tree_size: u64,
    #[serde(default)]
    hashes: Vec<String>,
    checkpoint: WireCheckpoint,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCheckpoint {
    envelope: String,
}

impl LogEntry {
    /// Creates the entry for `body` from the proof of a log.
    ///
    /// # Errors
    /// [`Error::Log`] when the proof's checkpoint is malformed.
    pub fn new(body: Vec<u8>, proof: &Proof, log: &VerifierKey) -> Result<Self> {
        let checkpoint = Checkpoint::read(&proof.checkpoint).map_err(Error::Log)?;
        let inclusion = InclusionProof {
            index: proof.index,
            size: checkpoint.size,
            root: checkpoint.root,
            hashes: proof.hashes.clone(),
            checkpoint: proof.checkpoint.to_string(),
        };
        let kind = format!("{KIND} {VERSION}");
        Ok(Self { index: proof.index, log_id: log.key_hash(), kind, body, proof: inclusion })
    }

    /// Parses an item of `tlogEntries`; only its format is checked.
    pub(crate) fn read(value: Value) -> Result<Self> {
        let wire: Wire = serde_json::from_value(value).map_err(Error::LogEntry)?;
        let proof = wire.inclusion_proof;
        if proof.hashes.len() > LONGEST {
            return Err(Error::LogProofLength(proof.hashes.len()));
        }
        let hash = |text: &String| json::base64_array("hashes", text).map(Hash::from_bytes);
        Ok(Self {
            index: wire.log_index,
            log_id: json::base64_array("keyId", &wire.log_id.key_id)?,
            kind: format!("{} {}", wire.kind_version.kind, wire.kind_version.version),
            body: json::base64("canonicalizedBody", &wire.canonicalized_body)?,
            proof: InclusionProof {
                index: proof.log_index,
                size: proof.tree_size,
                root: Hash::from_bytes(json::base64_array("rootHash", &proof.root_hash)?),
                hashes: proof.hashes.iter().map(hash).collect::<Result<_>>()?,
                checkpoint: proof.checkpoint.envelope,
            },
        })
    }

    /// Whether an item of `tlogEntries` claims to be in this log.
    pub(crate) fn claims(value: &Value, log: &VerifierKey) -> bool {
        let id = value.pointer("/logId/keyId").and_then(Value::as_str);
        id.is_some_and(|id| id == STANDARD.encode(log.key_hash()))
    }

    /// Checks that `log` signed a state that contains this entry, and that the entry is `expected`, created by [`body`].
    ///
    /// # Errors
    /// One variant for each failed check.
    pub fn verify(&self, log: &VerifierKey, expected: &[u8]) -> Result<Logged> {
        if self.log_id != log.key_hash() {
            return Err(Error::OtherLog);
        }
        if self.kind != format!("{KIND} {VERSION}") {
            return Err(Error::LogKind(self.kind.clone()));
        }
        if self.body != expected {
            return Err(Error::LogBody);
        }
        let note = Note::parse(self.proof.checkpoint.as_bytes()).map_err(Error::Log)?;
        let checkpoint = Checkpoint::verify(&note, log).map_err(Error::Log)?;
        if (self.proof.size, self.proof.root) != (checkpoint.size, checkpoint.root) {
            return Err(Error::LogRoot);
        }
        if self.index != self.proof.index || self.index >= checkpoint.size {
            return Err(Error::LogIndex { index: self.index, size: checkpoint.size });
        }
        let leaf = Hash::leaf(&self.body);
        check_inclusion(leaf, self.index, checkpoint.size, &self.proof.hashes, checkpoint.root)
            .map_err(Error::Log)?;
        Ok(Logged { index: self.index, checkpoint, note })
    }

    /// The entry's JSON in a bundle.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (log, body) = (STANDARD.encode(self.log_id), STANDARD.encode(&self.body));
        let proof = &self.proof;
        let hashes: Vec<_> = proof.hashes.iter().map(|hash| format!("\"{hash}\"")).collect();
        let (kind, version) = self.kind.split_once(' ').unwrap_or((KIND, VERSION));
        let (kind, version) = (Value::from(kind), Value::from(version));
        format!(
            r#"{{"logIndex":"{}","logId":{{"keyId":"{log}"}},"kindVersion":{{"kind":{kind},"version":{version}}},"inclusionProof":{{"logIndex":"{}","rootHash":"{}","treeSize":"{}","hashes":[{}],"checkpoint":{{"envelope":{}}}}},"canonicalizedBody":"{body}"}}"#,
            self.index,
            proof.index,
            proof.root,
            proof.size,
            hashes.join(","),
            Value::from(proof.checkpoint.as_str()),
        )
    }
}

#[cfg(test)]
mod tests {
    use tlog::SigningKey;
    use tlog::note::KeyKind;

    use super::*;
    use crate::PrivateKey;

    #[test]
    fn the_body_is_canonical_json() {
        let key = PrivateKey::generate().unwrap().public_key().unwrap();
        let body = body(b"signed", b"signature", &key);
        // `serde_json` sorts members and writes no white space, which for ASCII text is RFC 8785.
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(serde_json::to_vec(&value).unwrap(), body);
    }

    #[test]
    fn an_entry_round_trips() {
        let log = SigningKey::new("log.example", KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap();
        let body = b"body".to_vec();
        let root = Hash::leaf(&body);
        let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 1, root };
        let mut note = Note::new(checkpoint.text()).unwrap();
        note.sign(&log);
        let proof = Proof { extra: None, index: 0, hashes: Vec::new(), checkpoint: note };
        let entry = LogEntry::new(body.clone(), &proof, &log.verifier()).unwrap();
        let mut value: Value = serde_json::from_str(&entry.to_json()).unwrap();
        assert_eq!(LogEntry::read(value.clone()).unwrap(), entry);
        // Protobuf writers leave out zero and empty values, and some write numbers.
        for member in ["/inclusionProof/hashes", "/inclusionProof/logIndex", "/logIndex"] {
            let (parent, name) = member.rsplit_once('/').unwrap();
            value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        }
        value["inclusionProof"]["treeSize"] = 1.into();
        let sparse = LogEntry::read(value).unwrap();
        assert_eq!(sparse.verify(&log.verifier(), &body).unwrap().checkpoint, checkpoint);
    }
}
