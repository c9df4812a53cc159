//! Feeds arbitrary bytes to every parser of untrusted bytes: none panics, and changed evidence never counts.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{
    Attested, Envelope, Evidence, Expectation, Format, ImageName, Limits, LogEntry, LogRule, NameRule,
    PrivateKey, Result, Statement, Subject, TrustFile, Verified, attached, bundle, log_entry, referrer,
    simple_signing, verify_image,
};
use oci::{Digest, Manifest};
use proptest::prelude::*;
use tlog::note::KeyKind;
use tlog::{Checkpoint, Hash, Note, Proof, SigningKey, VerifierKey};

struct Rig {
    key: PrivateKey,
    trust: TrustFile,
    payload: Vec<u8>,
    signature: String,
    envelope: Vec<u8>,
    bundle: Vec<u8>,
    logged: serde_json::Value,
    log: VerifierKey,
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap();
    let public = key.public_key().unwrap();
    let payload = simple_signing::Payload::new(image(), &name()).to_bytes().unwrap();
    let signature = STANDARD.encode(key.sign(&payload).unwrap());
    let statement = Statement::signature(Subject::image(&image(), &name())).to_json().unwrap();
    let envelope = Envelope::sign(statement, |bytes| key.sign(bytes)).unwrap();
    let bundle = bundle::attestation(&public, &envelope, &[]);
    let (entry, log) = logged(log_entry::body(&envelope.signed_bytes(), envelope.signature(), &public));
    let logged = serde_json::from_slice(&bundle::attestation(&public, &envelope, &[entry])).unwrap();
    let trust = TrustFile::new(vec![("release".to_owned(), public)]).unwrap();
    Rig { key, trust, payload, signature, envelope: envelope.to_json().into_bytes(), bundle, logged, log }
});

/// An entry of a log with two entries.
fn logged(body: Vec<u8>) -> (LogEntry, VerifierKey) {
    let key = SigningKey::generate().unwrap();
    let key = SigningKey::new("log.example", KeyKind::Ed25519, &key).unwrap();
    let first = Hash::leaf(b"first");
    let root = Hash::node(first, Hash::leaf(&body));
    let mut note = Note::new(Checkpoint { origin: "log.example".to_owned(), size: 2, root }.text()).unwrap();
    note.sign(&key);
    let proof = Proof { extra: None, index: 1, hashes: vec![first], checkpoint: note };
    (LogEntry::new(body, &proof, &key.verifier()).unwrap(), key.verifier())
}

fn image() -> Digest {
    Digest::sha256(b"image")
}

fn name() -> ImageName {
    "registry.example/team/app".parse().unwrap()
}

fn verify(evidence: &Evidence<'_>) -> Result<Verified<Attested>> {
    verify_with(evidence, LogRule::Ignored)
}

fn verify_with(evidence: &Evidence<'_>, log: LogRule<'_>) -> Result<Verified<Attested>> {
    let expected = Expectation {
        digest: &image(),
        name: &name(),
        name_rule: NameRule::Required,
        predicate_type: COSIGN_SIGN,
        formats: &[Format::SimpleSigning, Format::Envelope, Format::Bundle],
        keys: &RIG.trust,
        role: &|_| true,
        log,
        limits: Limits::default(),
    };
    verify_image(evidence, &expected)
}

fn simple<'a>(payload: &'a [u8], signature: &'a str) -> Evidence<'a> {
    Evidence::SimpleSigning { payload, signature }
}

/// Arbitrary JSON, with relevant member names.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(Into::into),
        any::<bool>().prop_map(Into::into),
        "[a-zA-Z0-9+/=:.]{0,80}".prop_map(Into::into),
    ];
    let name = prop_oneof![
        Just("subject"),
        Just("digest"),
        Just("sha256"),
        Just("_type"),
        Just("predicateType"),
        Just("name"),
        Just("annotations"),
        Just("critical"),
        Just("optional"),
        Just("layers"),
        Just("config"),
        Just("payload"),
        Just("signatures"),
        Just("schemaVersion"),
        Just("mediaType"),
        Just("verificationMaterial"),
        Just("publicKey"),
        Just("hint"),
        Just("dsseEnvelope"),
        Just("tlogEntries"),
        Just("payloadType"),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>, signature: String) {
        prop_assert!(verify(&Evidence::Bundle(&bytes)).is_err());
        prop_assert!(verify(&Evidence::Envelope(&bytes)).is_err());
        prop_assert!(verify(&simple(&bytes, &signature)).is_err());
        prop_assert!(verify(&simple(&RIG.payload, &signature)).is_err());
    }

    #[test]
    fn any_json_is_refused_even_when_it_is_signed(value in any_json()) {
        let bytes = value.to_string().into_bytes();
        prop_assert!(verify(&Evidence::Bundle(&bytes)).is_err());
        prop_assert!(verify(&Evidence::Envelope(&bytes)).is_err());
        let signature = STANDARD.encode(RIG.key.sign(&bytes).unwrap());
        prop_assert!(verify(&simple(&bytes, &signature)).is_err());
        let envelope = Envelope::sign(bytes.clone(), |bytes| RIG.key.sign(bytes)).unwrap();
        prop_assert!(verify(&Evidence::Envelope(envelope.to_json().as_bytes())).is_err());
        if let Ok(manifest) = Manifest::parse(bytes.into(), None) {
            let _ = attached::signatures(&manifest, &Limits::default());
            let _ = attached::attestations(&manifest, &Limits::default());
            let _ = referrer::read(&manifest, &image(), &Limits::default());
        }
    }

    #[test]
    fn any_json_in_a_log_entry_is_refused(member in any::<prop::sample::Index>(), value in any_json()) {
        const MEMBERS: [&str; 10] = [
            "", "/logIndex", "/logId", "/kindVersion", "/kindVersion/kind", "/canonicalizedBody",
            "/inclusionProof", "/inclusionProof/rootHash", "/inclusionProof/hashes",
            "/inclusionProof/checkpoint/envelope",
        ];
        let logs = [RIG.log.clone()];
        let check = |bundle: &serde_json::Value| {
            verify_with(&Evidence::Bundle(bundle.to_string().as_bytes()), LogRule::Required(&logs))
        };
        prop_assert!(check(&RIG.logged).is_ok());
        let pointer = format!("/verificationMaterial/tlogEntries/0{}", MEMBERS[member.index(MEMBERS.len())]);
        let mut changed = RIG.logged.clone();
        *changed.pointer_mut(&pointer).unwrap() = value;
        prop_assert!(changed == RIG.logged || check(&changed).is_err());
    }

    #[test]
    fn no_changed_byte_counts(at: prop::sample::Index, value: u8) {
        let change = |whole: &[u8]| {
            let mut bytes = whole.to_vec();
            bytes[at.index(whole.len())] = value;
            (bytes != whole).then_some(bytes)
        };
        let counts = |evidence: &Evidence<'_>| verify(evidence).is_ok();
        if let Some(bytes) = change(&RIG.bundle) {
            prop_assert!(!counts(&Evidence::Bundle(&bytes)));
        }
        if let Some(bytes) = change(&RIG.envelope) {
            prop_assert!(!counts(&Evidence::Envelope(&bytes)));
        }
        if let Some(bytes) = change(&RIG.payload) {
            prop_assert!(!counts(&simple(&bytes, &RIG.signature)));
        }
    }

    #[test]
    fn a_payload_round_trips(key in "\\PC{0,20}", value: String) {
        let payload = simple_signing::Payload::new(image(), &name()).with(&key, &value).to_bytes().unwrap();
        let signature = STANDARD.encode(RIG.key.sign(&payload).unwrap());
        match verify(&simple(&payload, &signature)) {
            Ok(found) => prop_assert_eq!(&found.get().subject().annotations()[&key], value.as_str()),
            Err(_) => prop_assert!(["name", "sequence"].contains(&key.as_str())),
        }
        let text = String::from_utf8(payload).unwrap();
        let escaped = !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']);
        prop_assert!(escaped);
    }
}
