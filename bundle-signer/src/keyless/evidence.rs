//! The result of the verification of a keyless signature, for policies and for the audit log.

use std::fmt;

use jiff::Timestamp;
use oci::Digest;
use serde::{Serialize, Serializer};
use sigstore::VerificationResult;
use sigstore::crypto::{CertificateInfo, Checkpoint, SubjectAltName, VerificationKey};
use sigstore::trust_root::TransparencyLog;
use sigstore::types::{Bundle, KindVersion, SignatureContent, TransparencyLogEntry};

use super::{Error, Identity, Result, TrustedRoot, identity};

/// A point in time that is signed by a trusted log or timestamp authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

impl Time {
    pub(super) fn new(time: Timestamp) -> Self {
        Self(time)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0.as_second()
    }
}

/// RFC 3339, in UTC.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A valid keyless signature and its proofs. Nothing outside this module creates one.
///
/// All of it was verified: nothing is merely a claim of the bundle.
///
/// ```compile_fail,E0451
/// fn forge(evidence: bundle_signer::keyless::Evidence) -> bundle_signer::keyless::Evidence {
///     bundle_signer::keyless::Evidence { subject: "mallory@example.com".into(), ..evidence }
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn read<T: serde::de::DeserializeOwned>() {}
/// read::<bundle_signer::keyless::Evidence>();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    subject: String,
    subject_kind: SubjectKind,
    issuer: String,
    certificate: Certificate,
    signed: Signed,
    entries: Vec<LogEntry>,
    times: Vec<SigningTime>,
    trusted_root: Digest,
    #[serde(skip)]
    payload: Option<Vec<u8>>,
}

/// The kind of the certificate's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SubjectKind {
    /// A person or an account.
    Email,
    /// A workflow.
    Uri,
}

/// The certificate of the signing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// SHA-256 of its DER.
    pub digest: Digest,
    /// The begin of its validity.
    pub not_before: Time,
    /// The end of its validity.
    pub not_after: Time,
    /// The repository that was built, if a build signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_repository: Option<String>,
    /// The branch or tag that was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_reference: Option<String>,
    /// The commit that was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
}

/// The kind of content that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Signed {
    /// The artifact's own bytes.
    Artifact,
    /// An in-toto statement that names the artifact's digest.
    Statement,
    /// Cosign's first payload about an image, which names the artifact's digest.
    ImageText,
}

/// An entry in a log of signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// The log's generation.
    pub rekor: Rekor,
    /// The log's address, from the trusted root.
    pub log: String,
    /// The log's id: SHA-256, in base64.
    pub log_id: String,
    /// The entry's number in the log.
    pub index: u64,
    /// The entry's kind, such as `hashedrekord`.
    pub kind: &'static str,
    /// The version of the entry's kind.
    pub version: &'static str,
    /// When the log accepted it, signed by the log; Rekor v2 does not state it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrated: Option<Time>,
    /// The proof that it is in the log.
    pub inclusion: Inclusion,
}

/// The generations of Rekor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Rekor {
    /// Signs a promise with a time for each entry.
    V1,
    /// Tiles and checkpoints; the time is signed by an RFC 3161 timestamp authority.
    V2,
}

/// The proof that an entry is in its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Inclusion {
    /// By hashes up to a root that the log signed.
    Proof {
        /// The name in the log's checkpoint.
        origin: String,
        /// The number of entries at that checkpoint.
        tree_size: u64,
        /// The root, in hex.
        root: String,
    },
    /// By the log's promise to include it, the only proof in cosign's first format.
    Promise,
}

/// A time at which the signature existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SigningTime {
    /// The source of the time.
    pub source: TimeSource,
    /// The time.
    pub time: Time,
}

/// The sources of signing times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TimeSource {
    /// A timestamp authority, by RFC 3161.
    Timestamp,
    /// Rekor v1, by the promise for an entry.
    Log,
}

impl Evidence {
    /// The signer, from the certificate.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The kind of the subject.
    #[must_use]
    pub fn subject_kind(&self) -> SubjectKind {
        self.subject_kind
    }

    /// The OIDC issuer that authenticated the subject, from the certificate.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The certificate; it chains to the trusted root, was valid at every signing time, and is in a certificate log.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The kind of content that was signed. The caller must check the rest of a statement, above all its predicate type.
    #[must_use]
    pub fn signed(&self) -> Signed {
        self.signed
    }

    /// The signed statement or image payload; none if the artifact itself was signed.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        self.payload.as_deref()
    }

    /// The log entries; at least one.
    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// The signing times; at least one.
    #[must_use]
    pub fn times(&self) -> &[SigningTime] {
        &self.times
    }

    /// SHA-256 of the trusted root that it was verified against.
    #[must_use]
    pub fn trusted_root(&self) -> &Digest {
        &self.trusted_root
    }

    /// The same evidence, for the image that a signed image payload names.
    pub(super) fn of_image_text(mut self, text: Vec<u8>) -> Self {
        self.signed = Signed::ImageText;
        self.payload = Some(text);
        self
    }

    /// Collects the results of the library, and checks what the library does not: the identity, and that each entry is in
    /// the log that it names, while that log was in use.
    pub(super) fn collect(
        bundle: &Bundle,
        found: &VerificationResult,
        identities: &[&Identity],
        root: &TrustedRoot,
    ) -> Result<(usize, Self)> {
        let all = found.certificate_verified() && found.sct_verified() && found.tlog_verified();
        let (true, Some(info), Some(der)) = (all, found.certificate(), bundle.signing_certificate()) else {
            return Err(Error::Unchecked);
        };
        let (subject_kind, subject) = match found.identity() {
            Some(SubjectAltName::Email(text)) => (SubjectKind::Email, text),
            Some(SubjectAltName::Uri(text)) => (SubjectKind::Uri, text),
            _ => return Err(Error::NoSubject),
        };
        let issuer = found.issuer().ok_or(Error::NoIssuer)?;
        let matched = identity::first_match(subject, issuer, identities)?;
        let times = signing_times(bundle, found)?;
        let entries = &bundle.verification_material.tlog_entries;
        let entries =
            entries.iter().map(|entry| LogEntry::collect(entry, &times, root)).collect::<Result<Vec<_>>>()?;
        let (signed, payload) = match &bundle.content {
            SignatureContent::DsseEnvelope(envelope) => {
                (Signed::Statement, Some(envelope.payload.as_bytes().to_vec()))
            }
            SignatureContent::MessageSignature(_) => (Signed::Artifact, None),
            _ => return Err(Error::Content),
        };
        let evidence = Self {
            subject: subject.clone(),
            subject_kind,
            issuer: issuer.to_owned(),
            certificate: Certificate::collect(der.as_bytes(), info),
            signed,
            entries,
            times,
            trusted_root: root.digest().clone(),
            payload,
        };
        Ok((matched, evidence))
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signed by `{}`, issued by `{}`", self.subject.escape_debug(), self.issuer.escape_debug())?;
        for entry in &self.entries {
            write!(f, ", entry {} of `{}`", entry.index, entry.log)?;
        }
        for SigningTime { source, time } in &self.times {
            let source = match source {
                TimeSource::Timestamp => "a timestamp authority",
                TimeSource::Log => "the log",
            };
            write!(f, ", at {time} by {source}")?;
        }
        Ok(())
    }
}

impl Certificate {
    fn collect(der: &[u8], info: &CertificateInfo) -> Self {
        let claims = &info.ci_claims;
        Self {
            digest: Digest::sha256(der),
            not_before: Time(info.not_before),
            not_after: Time(info.not_after),
            source_repository: claims.source_repository_uri.clone(),
            source_reference: claims.source_repository_ref.clone(),
            source_commit: claims.source_repository_digest.clone(),
        }
    }
}

/// The library returns the times of all timestamps and then those of all promises, in the bundle's order.
fn signing_times(bundle: &Bundle, found: &VerificationResult) -> Result<Vec<SigningTime>> {
    let stamps = bundle.verification_material.timestamp_verification_data.rfc3161_timestamps.len();
    let times = found.verified_timestamps();
    if times.is_empty() || times.len() < stamps {
        return Err(Error::Unchecked);
    }
    let source = |number| if number < stamps { TimeSource::Timestamp } else { TimeSource::Log };
    let times = times.iter().enumerate();
    Ok(times.map(|(number, time)| SigningTime { source: source(number), time: Time(*time) }).collect())
}

impl LogEntry {
    fn collect(entry: &TransparencyLogEntry, times: &[SigningTime], root: &TrustedRoot) -> Result<Self> {
        let log_id = entry.log_id.key_id.to_base64();
        let log = root.log(&entry.log_id.key_id).ok_or_else(|| Error::UnknownLog(log_id.clone()))?;
        if let Some(period) = log.public_key.valid_for
            && let Some(outside) = times.iter().find(|at| !period.contains(at.time.0))
        {
            return Err(Error::LogNotInUse { log: log.base_url.clone(), time: outside.time });
        }
        let rekor = match entry.kind_version {
            KindVersion::HashedRekordV002 => Rekor::V2,
            _ => Rekor::V1,
        };
        let checkpoint = entry.inclusion_proof.as_ref().and_then(|proof| proof.checkpoint.checkpoint());
        let inclusion = match checkpoint {
            Some(checkpoint) => proof_in(log, rekor, checkpoint)?,
            None if rekor == Rekor::V1 && entry.inclusion_promise.is_some() => Inclusion::Promise,
            None => return Err(Error::Unchecked),
        };
        let promised = rekor == Rekor::V1 && entry.inclusion_promise.is_some();
        Ok(Self {
            rekor,
            log: log.base_url.clone(),
            log_id,
            index: entry.log_index.get(),
            kind: entry.kind_version.kind(),
            version: entry.kind_version.version(),
            integrated: entry.integrated_time.filter(|_| promised).map(Time),
            inclusion,
        })
    }
}

/// The library accepts a checkpoint by the key of any trusted log and ignores its name. Here, an entry counts only for
/// the log that it names, and needs the signature of that log. Rekor v2 also signs with its host name as the origin
/// (rekor-tiles, `CLIENTS.md`); v1 with a name that the operator chooses.
fn proof_in(log: &TransparencyLog, rekor: Rekor, checkpoint: &Checkpoint) -> Result<Inclusion> {
    let other = || Error::OtherLog(log.base_url.clone());
    let host = log.base_url.split_once("://").map_or(log.base_url.as_str(), |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let named = match rekor {
        Rekor::V1 => true,
        Rekor::V2 => checkpoint.origin() == host,
    };
    let key = VerificationKey::from_spki(&log.public_key.raw_bytes).map_err(|_| other())?;
    let mut signatures = checkpoint.signatures().iter();
    if !named || !signatures.any(|signed| key.verify(checkpoint.signed_data(), &signed.signature).is_ok()) {
        return Err(other());
    }
    Ok(Inclusion::Proof {
        origin: checkpoint.origin().to_owned(),
        tree_size: checkpoint.tree_size(),
        root: checkpoint.root_hash().to_hex(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A checkpoint of the public Rekor v2 log, from sigstore/sigstore-js, `packages/sign` (Apache-2.0).
    const CHECKPOINT: &str = "log2025-1.rekor.sigstore.dev\n412115\n+8vUkEgBK/ansexBUomzocaWoPEmPIzxJC/y+xNMQN4=\n\n— log2025-1.rekor.sigstore.dev zxGZFahCZ/+MqTjH4rC5MWcdLDWbpetE5l30RZfQc4BQkRjWSoKipEUPjvHENeZDHIlAsuezJcLzUVvItpNjaSRoMAs=\n";

    #[test]
    fn only_the_checkpoint_of_the_named_log_counts() {
        let root = TrustedRoot::embedded().unwrap();
        let log = |id: &str| root.log(&sigstore::types::LogKeyId::from_base64(id).unwrap()).unwrap();
        let v2 = log("zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=");
        let v1 = log("wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0=");
        let proof = |log, rekor, text: &str| proof_in(log, rekor, &Checkpoint::from_text(text).unwrap());
        let expected = Inclusion::Proof {
            origin: "log2025-1.rekor.sigstore.dev".into(),
            tree_size: 412_115,
            root: "fbcbd49048012bf6a7b1ec415289b3a1c696a0f1263c8cf1242ff2fb134c40de".into(),
        };
        assert_eq!(proof(v2, Rekor::V2, CHECKPOINT).unwrap(), expected);
        for (log, text) in [
            (v1, CHECKPOINT.to_owned()),
            (v2, CHECKPOINT.replacen("412115", "412116", 1)),
            (v2, CHECKPOINT.replacen("log2025-1", "log2025-2", 1)),
            (v2, CHECKPOINT.replacen("zxGZFah", "zxGZFbh", 1)),
        ] {
            assert!(matches!(proof(log, Rekor::V2, &text), Err(Error::OtherLog(_))), "{text}");
        }
        assert!(matches!(proof(v1, Rekor::V1, CHECKPOINT), Err(Error::OtherLog(_))));
        let mut renamed = v2.clone();
        renamed.base_url = "https://rekor.example".into();
        assert!(matches!(proof(&renamed, Rekor::V2, CHECKPOINT), Err(Error::OtherLog(_))));
    }
}
