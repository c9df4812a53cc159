//! The trusted root: the trusted CAs, logs and timestamp authorities (sigstore protobuf-specs,
//! `sigstore_trustroot.proto`).

use std::fmt;

use oci::Digest;
use serde::Serialize;
use sigstore::Verifier;
use sigstore::trust_root::{self, SIGSTORE_PRODUCTION_TRUSTED_ROOT, TransparencyLog};
use sigstore::types::{LogKeyId, TimeRange};

use super::{Error, Result, Time, provider};

/// The largest trusted root that is read: hundreds of services.
pub const MAX_LEN: usize = 1024 * 1024;

/// The versions of the format that are read; the members that matter here are the same in both.
pub(super) const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// The services that keyless signatures are verified against. Created once, used for many signatures.
pub struct TrustedRoot {
    verifier: Verifier,
    root: trust_root::TrustedRoot,
    digest: Digest,
}

/// The role of a service in a trusted root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Issues signing certificates: Fulcio.
    Certificates,
    /// Logs certificates, which proves that they were issued in public.
    CertificateLog,
    /// Logs signatures: Rekor.
    SignatureLog,
    /// Signs the time at which a signature existed, by RFC 3161.
    Timestamps,
}

/// A CA, a log or a timestamp authority of a trusted root, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its role.
    pub role: Role,
    /// Its address, as stated in the root.
    pub address: String,
    /// SHA-256 of its key's SubjectPublicKeyInfo, or of its last certificate.
    pub fingerprint: Digest,
    /// The begin of its validity.
    pub from: Option<Time>,
    /// The end of its validity.
    pub until: Option<Time>,
}

impl TrustedRoot {
    /// The root of sigstore's public instance, as of the time when this program was built.
    ///
    /// # Errors
    /// Never for the built-in file; a test ensures that.
    pub fn embedded() -> Result<Self> {
        Self::from_json(Self::embedded_json().as_bytes())
    }

    /// The built-in file, for display or as a template.
    #[must_use]
    pub fn embedded_json() -> &'static str {
        SIGSTORE_PRODUCTION_TRUSTED_ROOT
    }

    /// Parses a `trusted_root.json`, which replaces the built-in one.
    ///
    /// # Errors
    /// When it is malformed, contains an unsupported key, or lacks a service without which nothing verifies.
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
            (root.certificate_authorities.is_empty(), "certificate authority"),
            (root.ctlogs.is_empty(), "certificate log"),
            (root.tlogs.is_empty(), "signature log"),
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

    /// Every service, in the file's order within its role.
    #[must_use]
    pub fn services(&self) -> Vec<Service> {
        let root = &self.root;
        let certificates = root.certificate_authorities.iter().map(|authority| {
            let last = authority.cert_chain.certificates.last();
            let last = last.map_or(&[][..], |certificate| certificate.raw_bytes.as_bytes());
            service(Role::Certificates, &authority.uri, last, authority.valid_for)
        });
        let certificate_logs = root.ctlogs.iter().map(|log| {
            let key = &log.public_key;
            service(Role::CertificateLog, &log.base_url, key.raw_bytes.as_bytes(), key.valid_for)
        });
        let signature_logs = root.tlogs.iter().map(|log| {
            let key = &log.public_key;
            service(Role::SignatureLog, &log.base_url, key.raw_bytes.as_bytes(), key.valid_for)
        });
        let timestamps = root.timestamp_authorities.iter().map(|authority| {
            let last = authority.cert_chain.certificates.last();
            let last = last.map_or(&[][..], |certificate| certificate.raw_bytes.as_bytes());
            let address = authority.uri.as_deref().unwrap_or_default();
            service(Role::Timestamps, address, last, authority.valid_for)
        });
        certificates.chain(certificate_logs).chain(signature_logs).chain(timestamps).collect()
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The signature log with this id.
    pub(super) fn log(&self, id: &LogKeyId) -> Option<&TransparencyLog> {
        self.root.tlogs.iter().find(|log| log.log_id.key_id == *id)
    }
}

fn service(role: Role, address: &str, key: &[u8], period: Option<TimeRange>) -> Service {
    Service {
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
