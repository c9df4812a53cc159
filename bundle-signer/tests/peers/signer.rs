//! Signs content for stock verifiers: a key, a log, and the files that the verifiers need.

use bundle_signer::statement::SLSA_PROVENANCE;
use bundle_signer::{
    Envelope, ImageName, LogEntry, PrivateKey, PublicKey, Statement, Subject, bundle, log_entry, referrer,
    trusted_root,
};
use oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
use oci::{Descriptor, Digest, Manifest};
use tlog::note::KeyKind;
use tlog::{Folder, Log, Proof, SigningKey};

use crate::rig::Site;

pub(crate) const IMAGE_CONFIG: &[u8] =
    br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
pub(crate) const PREDICATE: &str = r#"{"buildDefinition":{"buildType":"https://example.com/build"},"runDetails":{"builder":{"id":"https://example.com/builder"}}}"#;

pub(crate) fn image() -> Vec<u8> {
    let (digest, size) = (Digest::sha256(IMAGE_CONFIG), IMAGE_CONFIG.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"{OCI_CONFIG}","digest":"{digest}","size":{size}}},"layers":[]}}"#
    )
    .into_bytes()
}

/// A key, a log, and the files that stock verifiers need.
pub(crate) struct Signer {
    pub(crate) key: PrivateKey,
    pub(crate) log: Log,
    pub(crate) site: Site,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let site = Site::new();
        let key = PrivateKey::generate().unwrap();
        site.write("airlock.pub", key.public_key().unwrap().to_pem());
        let log = Self::log(&site, "log");
        site.write("trusted_root.json", trusted_root::write(&[log.verifier()]).unwrap());
        let other = Self::log(&site, "other");
        site.write("other_root.json", trusted_root::write(&[other.verifier()]).unwrap());
        Self { key, log, site }
    }

    pub(crate) fn log(site: &Site, folder: &str) -> Log {
        let key = SigningKey::generate().unwrap();
        let key = SigningKey::new("log.airlock.example", KeyKind::Ed25519, &key).unwrap();
        Log::create(&site.path().join(folder), key).unwrap()
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.key.public_key().unwrap()
    }

    /// Logs a signature among others.
    pub(crate) fn entry(&self, signed: &[u8], signature: &[u8]) -> LogEntry {
        let body = log_entry::body(signed, signature, &self.public());
        let others = |from: u8| (from..from + 9).map(|n| vec![n]).collect();
        self.log.append(others(0)).unwrap();
        let index = self.log.append(vec![body.clone()]).unwrap().start;
        self.log.append(others(9)).unwrap();
        let checkpoint = Folder::checkpoint(self.log.path()).unwrap();
        let size = tlog::Checkpoint::read(&checkpoint).unwrap().size;
        let proof = Proof::of(&Folder::new(self.log.path(), size), checkpoint, index).unwrap();
        LogEntry::new(body, &proof, &self.log.verifier()).unwrap()
    }

    pub(crate) fn envelope(&self, statement: &Statement) -> Envelope {
        Envelope::sign(statement.to_json().unwrap(), |bytes| self.key.sign(bytes)).unwrap()
    }

    pub(crate) fn bundle(&self, statement: &Statement) -> Vec<u8> {
        bundle::attestation(&self.public(), &self.envelope(statement), &[])
    }

    pub(crate) fn logged(&self, statement: &Statement) -> Vec<u8> {
        let envelope = self.envelope(statement);
        let entry = self.entry(&envelope.signed_bytes(), envelope.signature());
        bundle::attestation(&self.public(), &envelope, &[entry])
    }
}

pub(crate) fn subject(name: &ImageName) -> Subject {
    Subject::image(&Digest::sha256(&image()), name).with_sequence(12).with_class("internal")
}

pub(crate) fn provenance(name: &ImageName) -> Statement {
    let predicate = serde_json::from_str(PREDICATE).unwrap();
    Statement::new(vec![subject(name)], SLSA_PROVENANCE, Some(predicate))
}

pub(crate) fn descriptor(image: &[u8]) -> Descriptor {
    Descriptor::new(OCI_MANIFEST.parse().unwrap(), Digest::sha256(image), image.len() as u64)
}

pub(crate) fn refer(bundle: &[u8], kind: &str) -> Manifest {
    referrer::manifest(bundle, &descriptor(&image()), kind, "2026-11-21T08:00:00Z").unwrap()
}
