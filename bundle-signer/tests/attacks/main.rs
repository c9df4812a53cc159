//! Attacks on the evidence of an image, one test for each attack. Every test starts from valid evidence.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

mod claims;
mod formats;
mod keys;
mod logs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{
    Attested, Claim, Envelope, Error, Evidence, Expectation, Format, ImageName, Limits, LogEntry, LogRule,
    NameRule, PrivateKey, Result, Statement, Subject, TrustFile, Verified, bundle, log_entry, simple_signing,
    verify_image,
};
use oci::Digest;
use serde_json::Value;
use tlog::note::KeyKind;
use tlog::{Checkpoint, Hash, Note, Proof, SigningKey, VerifierKey};

const ALL: [Format; 3] = [Format::SimpleSigning, Format::Envelope, Format::Bundle];

struct Rig {
    key: PrivateKey,
    other: PrivateKey,
    trust: TrustFile,
    image: Digest,
    name: ImageName,
    log: SigningKey,
}

/// The parts of an expectation that tests change.
#[derive(Clone, Copy)]
struct Want<'a> {
    kind: &'a str,
    formats: &'a [Format],
    role: &'a dyn Fn(&Claim<'_>) -> bool,
    rule: NameRule,
    logs: Option<&'a [VerifierKey]>,
    limits: Limits,
}

impl Default for Want<'_> {
    fn default() -> Self {
        Self {
            kind: COSIGN_SIGN,
            formats: &ALL,
            role: &|_| true,
            rule: NameRule::Required,
            logs: None,
            limits: Limits::default(),
        }
    }
}

fn log_key() -> SigningKey {
    SigningKey::new("log.example", KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap()
}

impl Rig {
    fn new() -> Self {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let named = |name: &str, key: &PrivateKey| (name.to_owned(), key.public_key().unwrap());
        let trust = TrustFile::new(vec![named("release", &key), named("scanner", &other)]).unwrap();
        let name = "registry.example/team/app".parse().unwrap();
        Self { key, other, trust, image: Digest::sha256(b"image"), name, log: log_key() }
    }

    fn subject(&self) -> Subject {
        Subject::image(&self.image, &self.name)
    }

    fn envelope(&self, payload: &[u8]) -> Envelope {
        Envelope::sign(payload.to_vec(), |bytes| self.key.sign(bytes)).unwrap()
    }

    /// A bundle with any payload, signed by the trusted key.
    fn bundle_of(&self, payload: &[u8]) -> Value {
        let bundle = bundle::attestation(&self.key.public_key().unwrap(), &self.envelope(payload), &[]);
        serde_json::from_slice(&bundle).unwrap()
    }

    fn bundle(&self) -> Value {
        self.bundle_of(&Statement::signature(self.subject()).to_json().unwrap())
    }

    fn statement(&self) -> Value {
        serde_json::from_slice(&Statement::signature(self.subject()).to_json().unwrap()).unwrap()
    }

    /// A bundle with an entry of a log of eight entries; `change` changes the entry's JSON.
    fn logged(&self, change: impl FnOnce(&mut Value)) -> Value {
        let envelope = self.envelope(&Statement::signature(self.subject()).to_json().unwrap());
        let key = self.key.public_key().unwrap();
        let body = log_entry::body(&envelope.signed_bytes(), envelope.signature(), &key);
        let entry = self.entry(body, &self.log);
        let bundle = bundle::attestation(&key, &envelope, &[entry]);
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
        bundle
    }

    /// The sixth of eight entries.
    fn entry(&self, body: Vec<u8>, log: &SigningKey) -> LogEntry {
        let mut level: Vec<Hash> = (0..8).map(|n: u8| Hash::leaf(&[n])).collect();
        level[5] = Hash::leaf(&body);
        let (mut at, mut hashes) = (5, Vec::new());
        while level.len() > 1 {
            hashes.push(level[at ^ 1]);
            level = level.chunks(2).map(|pair| Hash::node(pair[0], pair[1])).collect();
            at /= 2;
        }
        let mut note = Note::new(Self::checkpoint(8, level[0])).unwrap();
        note.sign(log);
        let proof = Proof { extra: None, index: 5, hashes, checkpoint: note };
        LogEntry::new(body, &proof, &log.verifier()).unwrap()
    }

    fn checkpoint(size: u64, root: Hash) -> String {
        Checkpoint { origin: "log.example".to_owned(), size, root }.text()
    }

    fn verify(&self, evidence: &Evidence<'_>, want: &Want<'_>) -> Result<Verified<Attested>> {
        let expected = Expectation {
            digest: &self.image,
            name: &self.name,
            name_rule: want.rule,
            predicate_type: want.kind,
            formats: want.formats,
            keys: &self.trust,
            role: want.role,
            log: want.logs.map_or(LogRule::Ignored, LogRule::Required),
            limits: want.limits,
        };
        verify_image(evidence, &expected)
    }

    fn refuse(&self, bundle: &Value) -> Error {
        self.refuse_text(&bundle.to_string())
    }

    fn refuse_text(&self, bundle: &str) -> Error {
        self.verify(&Evidence::Bundle(bundle.as_bytes()), &Want::default()).unwrap_err()
    }

    fn check_log(&self, bundle: &Value) -> Result<Verified<Attested>> {
        let logs = [self.log.verifier()];
        let want = Want { logs: Some(&logs), ..Want::default() };
        self.verify(&Evidence::Bundle(bundle.to_string().as_bytes()), &want)
    }

    fn refuse_log(&self, change: impl FnOnce(&mut Value)) -> Error {
        self.check_log(&self.logged(change)).unwrap_err()
    }

    fn simple(&self, payload: &[u8]) -> Result<Verified<Attested>> {
        let signature = STANDARD.encode(self.key.sign(payload).unwrap());
        self.verify(&Evidence::SimpleSigning { payload, signature: &signature }, &Want::default())
    }

    fn payload(&self) -> String {
        let payload = simple_signing::Payload::new(self.image.clone(), &self.name);
        String::from_utf8(payload.to_bytes().unwrap()).unwrap()
    }
}

#[test]
fn evidence_without_an_attack_counts() {
    let rig = Rig::new();
    let bundle = rig.bundle().to_string();
    let verified = rig.verify(&Evidence::Bundle(bundle.as_bytes()), &Want::default()).unwrap();
    assert_eq!((verified.signer().name(), verified.get().format()), ("release", Format::Bundle));
    assert_eq!(*verified.get().evidence(), Digest::sha256(bundle.as_bytes()));
    assert!(verified.get().logged().is_none());
    let envelope = rig.envelope(&Statement::signature(rig.subject()).to_json().unwrap()).to_json();
    rig.verify(&Evidence::Envelope(envelope.as_bytes()), &Want::default()).unwrap();
    assert_eq!(rig.simple(rig.payload().as_bytes()).unwrap().get().format(), Format::SimpleSigning);
    let logged = rig.check_log(&rig.logged(|_| ())).unwrap();
    let logged = logged.get().logged().unwrap();
    assert_eq!((logged.index, logged.checkpoint.size), (5, 8));
}
