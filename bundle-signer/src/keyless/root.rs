//! The trusted root: whose certificates, logs and timestamps count (sigstore protobuf-specs,
//! `sigstore_trustroot.proto`).

use std::fmt;

use oci::Digest;
use serde::Serialize;
use sigstore::Verifier;
use sigstore::trust_root::{self, SIGSTORE_PRODUCTION_TRUSTED_ROOT, TransparencyLog};
use sigstore::types::{LogKeyId, TimeRange};

use super::{Error, Result, Time, provider};

/// The largest trusted root that is read: hundreds of authorities.
pub const MAX_LEN: usize = 1024 * 1024;

/// The versions of the format that are read; the members that matter here are the same in both.
pub(super) const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// The authorities that keyless signatures are verified against. Made once, used for many signatures.
pub struct TrustedRoot {
    verifier: Verifier,
    root: trust_root::TrustedRoot,
    digest: Digest,
}

/// What an authority of a trusted root does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Issues signing certificates: Fulcio.
    Certificates,
    /// Logs certificates, which proves that they were issued in public.
    CertificateLog,
    /// Logs signatures: Rekor.
    SignatureLog,
    /// Says when a signature was there, by RFC 3161.
    Timestamps,
}

/// One authority of a trusted root, for showing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authority {
    /// What it does.
    pub role: Role,
    /// Where it is, by its own word.
    pub address: String,
    /// SHA-256 of its key's SubjectPublicKeyInfo, or of its last certificate.
    pub fingerprint: Digest,
    /// Since when it counts.
    pub from: Option<Time>,
    /// Until when it counted.
    pub until: Option<Time>,
}

impl TrustedRoot {
    /// The root of sigstore's public instance, as it was when this program was built.
    ///
    /// # Errors
    /// Never for the file that is built in; a test holds that.
    pub fn embedded() -> Result<Self> {
        Self::from_json(Self::embedded_json().as_bytes())
    }

    /// The file that is built in, to look at or to start one's own from.
    #[must_use]
    pub fn embedded_json() -> &'static str {
        SIGSTORE_PRODUCTION_TRUSTED_ROOT
    }

    /// Reads a `trusted_root.json`, which takes the place of the one that is built in.
    ///
    /// # Errors
    /// When it is malformed, holds a key that is not supported, or lacks a kind of authority without which
    /// nothing verifies.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        provider::install();
        if bytes.len() > MAX_LEN {
            return Err(Error::RootTooLarge(bytes.len()));
        }
        let root: trust_root::TrustedRoot = serde_json::from_slice(bytes).map_err(Error::Root)?;
        if !MEDIA_TYPES.contains(&root.media_type.as_str()) {
            return Err(Error::RootVersion(root.media_type));
        }
        let needed = [
            (root.certificate_authorities.is_empty(), "authority for certificates"),
            (root.ctlogs.is_empty(), "log of certificates"),
            (root.tlogs.is_empty(), "log of signatures"),
        ];
        if let Some((_, what)) = needed.into_iter().find(|(absent, _)| *absent) {
            return Err(Error::RootLacks(what));
        }
        let verifier = Verifier::new(&root).map_err(|error| Error::RootMaterial(Box::new(error)))?;
        Ok(Self { verifier, root, digest: Digest::sha256(bytes) })
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Every authority, in the file's order within its role.
    #[must_use]
    pub fn authorities(&self) -> Vec<Authority> {
        let root = &self.root;
        let certificates = root.certificate_authorities.iter().map(|authority| {
            let last = authority.cert_chain.certificates.last();
            let last = last.map_or(&[][..], |certificate| certificate.raw_bytes.as_bytes());
            show(Role::Certificates, &authority.uri, last, authority.valid_for)
        });
        let certificate_logs = root.ctlogs.iter().map(|log| {
            let key = &log.public_key;
            show(Role::CertificateLog, &log.base_url, key.raw_bytes.as_bytes(), key.valid_for)
        });
        let signature_logs = root.tlogs.iter().map(|log| {
            let key = &log.public_key;
            show(Role::SignatureLog, &log.base_url, key.raw_bytes.as_bytes(), key.valid_for)
        });
        let timestamps = root.timestamp_authorities.iter().map(|authority| {
            let last = authority.cert_chain.certificates.last();
            let last = last.map_or(&[][..], |certificate| certificate.raw_bytes.as_bytes());
            let address = authority.uri.as_deref().unwrap_or_default();
            show(Role::Timestamps, address, last, authority.valid_for)
        });
        certificates.chain(certificate_logs).chain(signature_logs).chain(timestamps).collect()
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The log of signatures with this id.
    pub(super) fn log(&self, id: &LogKeyId) -> Option<&TransparencyLog> {
        self.root.tlogs.iter().find(|log| log.log_id.key_id == *id)
    }
}

fn show(role: Role, address: &str, key: &[u8], period: Option<TimeRange>) -> Authority {
    Authority {
        role,
        address: address.to_owned(),
        fingerprint: Digest::sha256(key),
        from: period.map(|period| Time::new(period.start)),
        until: period.and_then(|period| period.end).map(Time::new),
    }
}

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustedRoot({})", self.digest)
    }
}
