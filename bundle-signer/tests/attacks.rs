//! Attacks on the evidence of an image, one test for each attack. Every test starts from valid evidence.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use bundle_signer::statement::{COSIGN_SIGN, CYCLONE_DX, SLSA_PROVENANCE, VERIFICATION_SUMMARY};
use bundle_signer::{
    Attested, Claim, Envelope, Error, Evidence, Expectation, Format, ImageName, Limits, LogEntry, LogRule,
    NameRule, PrivateKey, Result, Statement, Subject, TrustFile, Verified, bundle, log_entry, simple_signing,
    verify_image,
};
use oci::Digest;
use serde_json::{Value, json};
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

#[test]
fn predicate_confusion() {
    let rig = Rig::new();
    for kind in [SLSA_PROVENANCE, CYCLONE_DX, VERIFICATION_SUMMARY] {
        let statement = Statement::new(vec![rig.subject()], kind, None).to_json().unwrap();
        let error = rig.refuse(&rig.bundle_of(&statement));
        assert!(matches!(error, Error::PredicateType { .. }), "{error}");
    }
    // Conversely, a signature is not provenance, in any format.
    let want = Want { kind: SLSA_PROVENANCE, ..Want::default() };
    let signature = STANDARD.encode(rig.key.sign(rig.payload().as_bytes()).unwrap());
    let payload = rig.payload();
    let simple = Evidence::SimpleSigning { payload: payload.as_bytes(), signature: &signature };
    let bundle = rig.bundle().to_string();
    for evidence in [simple, Evidence::Bundle(bundle.as_bytes())] {
        assert!(matches!(rig.verify(&evidence, &want), Err(Error::PredicateType { .. })));
    }
}

#[test]
fn a_key_beyond_its_role() {
    let rig = Rig::new();
    let envelope =
        Envelope::sign(Statement::signature(rig.subject()).to_json().unwrap(), |b| rig.other.sign(b))
            .unwrap();
    let bundle = bundle::attestation(&rig.other.public_key().unwrap(), &envelope, &[]);
    let role = |claim: &Claim<'_>| {
        claim.signer.name() == "release" || claim.statement.predicate_type() == SLSA_PROVENANCE
    };
    let want = Want { role: &role, ..Want::default() };
    let error = rig.verify(&Evidence::Bundle(&bundle), &want).unwrap_err();
    assert!(matches!(&error, Error::RoleRefused { key, .. } if key == "scanner"), "{error}");
    rig.verify(&Evidence::Bundle(rig.bundle().to_string().as_bytes()), &want).unwrap();
}

#[test]
fn an_old_delivery_and_a_higher_class() {
    let rig = Rig::new();
    let subject = rig.subject().with_sequence(6).with_class("secret");
    let bundle = rig.bundle_of(&Statement::signature(subject).to_json().unwrap()).to_string();
    let bundle = Evidence::Bundle(bundle.as_bytes());
    let newer = |claim: &Claim<'_>| claim.sequence.is_some_and(|sequence| sequence >= 7);
    let open = |claim: &Claim<'_>| claim.class == Some("open");
    for role in [&newer as &dyn Fn(&Claim<'_>) -> bool, &open] {
        let refused = rig.verify(&bundle, &Want { role, ..Want::default() });
        assert!(matches!(refused, Err(Error::RoleRefused { .. })));
    }
    let forged = rig.subject().with("sequence", "007");
    let error = rig.refuse(&rig.bundle_of(&Statement::signature(forged).to_json().unwrap()));
    assert!(matches!(error, Error::Annotation("sequence")), "{error}");
}

#[test]
fn format_downgrade() {
    let rig = Rig::new();
    let (payload, want) = (rig.payload(), Want { formats: &[Format::Bundle], ..Want::default() });
    let signature = STANDARD.encode(rig.key.sign(payload.as_bytes()).unwrap());
    let simple = Evidence::SimpleSigning { payload: payload.as_bytes(), signature: &signature };
    assert!(matches!(rig.verify(&simple, &want), Err(Error::FormatRefused(Format::SimpleSigning))));
    let envelope = rig.envelope(&Statement::signature(rig.subject()).to_json().unwrap()).to_json();
    let envelope = Evidence::Envelope(envelope.as_bytes());
    assert!(matches!(rig.verify(&envelope, &want), Err(Error::FormatRefused(Format::Envelope))));
    // Nor does a format without log entries count if a log is required.
    let logs = [rig.log.verifier()];
    let want = Want { logs: Some(&logs), ..Want::default() };
    for evidence in [simple, envelope] {
        assert!(matches!(rig.verify(&evidence, &want), Err(Error::NotLogged)));
    }
}

#[test]
fn a_payload_in_the_wrong_format() {
    let rig = Rig::new();
    // A simple-signing payload in an envelope is not a statement, and a statement is not a payload.
    let error = rig.refuse(&rig.bundle_of(rig.payload().as_bytes()));
    assert!(matches!(error, Error::Statement(_)), "{error}");
    let statement = rig.statement().to_string();
    assert!(matches!(rig.simple(statement.as_bytes()), Err(Error::Payload(_))));
    // The signature of a file is not a statement.
    let blob = bundle_signer::sign_blob(&rig.key, &statement.clone().into_bytes()).unwrap();
    let error = rig.refuse_text(std::str::from_utf8(&blob).unwrap());
    assert!(matches!(error, Error::BundleWithoutStatement), "{error}");
    let mut both = rig.bundle();
    both["messageSignature"] = serde_json::from_slice::<Value>(&blob).unwrap()["messageSignature"].take();
    assert!(matches!(rig.refuse(&both), Error::BundleWithoutStatement));
    let mut text = rig.bundle();
    text["dsseEnvelope"]["payloadType"] = "text/plain".into();
    assert!(matches!(rig.refuse(&text), Error::EnvelopeKind(_)));
}

#[test]
fn wrong_hint() {
    let rig = Rig::new();
    let mut bundle = rig.bundle();
    bundle["verificationMaterial"]["publicKey"]["hint"] = rig.other.public_key().unwrap().hint().into();
    assert!(matches!(rig.refuse(&bundle), Error::BadSignature(name) if name == "scanner"));
    let stranger = PrivateKey::generate().unwrap().public_key().unwrap().hint();
    bundle["verificationMaterial"]["publicKey"]["hint"] = stranger.into();
    assert!(matches!(rig.refuse(&bundle), Error::UntrustedKey(_)));
}

#[test]
fn key_material_in_the_evidence() {
    let rig = Rig::new();
    let stranger = PrivateKey::generate().unwrap();
    let envelope =
        Envelope::sign(Statement::signature(rig.subject()).to_json().unwrap(), |b| stranger.sign(b)).unwrap();
    let bundle = bundle::attestation(&stranger.public_key().unwrap(), &envelope, &[]);
    let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
    assert!(matches!(rig.refuse(&bundle), Error::UntrustedKey(_)));
    let pem = stranger.public_key().unwrap().to_pem();
    bundle["verificationMaterial"]["publicKey"]["rawBytes"] = pem.into();
    assert!(matches!(rig.refuse(&bundle), Error::Bundle(_)));
    bundle["verificationMaterial"] = json!({ "certificate": { "rawBytes": "MIIB" } });
    assert!(matches!(rig.refuse(&bundle), Error::BundleCertificate));
    let refused = rig.verify(&Evidence::Envelope(envelope.to_json().as_bytes()), &Want::default());
    assert!(matches!(refused, Err(Error::NoKeyFits)));
}

#[test]
fn no_signature_or_two_in_an_envelope() {
    let rig = Rig::new();
    let mut bundle = rig.bundle();
    let signatures = &mut bundle["dsseEnvelope"]["signatures"];
    let one = signatures[0].clone();
    *signatures = json!([one, one]);
    assert!(matches!(rig.refuse(&bundle), Error::SignatureCount(2)));
    bundle["dsseEnvelope"]["signatures"] = json!([]);
    assert!(matches!(rig.refuse(&bundle), Error::SignatureCount(0)));
}

#[test]
fn key_id_of_another_key() {
    let rig = Rig::new();
    let hint = rig.key.public_key().unwrap().hint();
    let foreign = rig.other.public_key().unwrap().hint();
    let mut bundle = rig.bundle();
    for (id, counts) in [("", true), (&hint, true), (&foreign, false), ("release", false)] {
        bundle["dsseEnvelope"]["signatures"][0]["keyid"] = id.into();
        let envelope = bundle["dsseEnvelope"].to_string();
        let bundle = bundle.to_string();
        for evidence in [Evidence::Bundle(bundle.as_bytes()), Evidence::Envelope(envelope.as_bytes())] {
            match rig.verify(&evidence, &Want::default()) {
                Ok(_) => assert!(counts, "{id}"),
                Err(error) => assert!(!counts && matches!(error, Error::KeyId(_)), "{id}: {error}"),
            }
        }
    }
}

#[test]
fn no_subject_or_null() {
    let rig = Rig::new();
    let mut statement = rig.statement();
    for (subjects, empty) in [(json!([]), true), (json!([null]), false), (json!(null), false)] {
        statement["subject"] = subjects;
        let error = rig.refuse(&rig.bundle_of(statement.to_string().as_bytes()));
        let right =
            if empty { matches!(error, Error::NoSubject) } else { matches!(error, Error::Statement(_)) };
        assert!(right, "{error}");
    }
}

#[test]
fn a_statement_of_an_unknown_version() {
    let rig = Rig::new();
    let mut statement = rig.statement();
    for (kind, known) in [("v0.1", true), ("v1", true), ("v2", false), ("v1 ", false)] {
        statement["_type"] = format!("https://in-toto.io/Statement/{kind}").into();
        let bundle = rig.bundle_of(statement.to_string().as_bytes()).to_string();
        let outcome = rig.verify(&Evidence::Bundle(bundle.as_bytes()), &Want::default());
        assert!(
            if known { outcome.is_ok() } else { matches!(outcome, Err(Error::StatementKind(_))) },
            "{kind}"
        );
    }
}

#[test]
fn name_swap() {
    let rig = Rig::new();
    for name in ["registry.example/team/other", "other.example/team/app", "registry.example/team/app:v1"] {
        let mut statement = rig.statement();
        for member in ["/subject/0/name", "/subject/0/annotations/name"] {
            let mut one = statement.clone();
            *one.pointer_mut(member).unwrap() = name.into();
            let error = rig.refuse(&rig.bundle_of(one.to_string().as_bytes()));
            assert!(matches!(error, Error::OtherName { .. }), "{member} {name}: {error}");
        }
        statement["subject"][0]["name"] = name.into();
        let payload = rig.payload().replace("registry.example/team/app", name);
        assert!(matches!(rig.simple(payload.as_bytes()), Err(Error::OtherName { .. })), "{name}");
    }
    let mut silent = rig.statement();
    silent["subject"][0].as_object_mut().unwrap().retain(|member, _| member == "digest");
    let bundle = rig.bundle_of(silent.to_string().as_bytes());
    assert!(matches!(rig.refuse(&bundle), Error::NameMissing));
    let want = Want { rule: NameRule::Optional, ..Want::default() };
    rig.verify(&Evidence::Bundle(bundle.to_string().as_bytes()), &want).unwrap();
}

#[test]
fn digest_of_another_image() {
    let rig = Rig::new();
    let other = Digest::sha256(b"other");
    let statement = Statement::signature(Subject::image(&other, &rig.name)).to_json().unwrap();
    assert!(matches!(rig.refuse(&rig.bundle_of(&statement)), Error::OtherImage { .. }));
    let payload = rig.payload().replace(rig.image.hex(), other.hex());
    assert!(matches!(rig.simple(payload.as_bytes()), Err(Error::OtherImage { .. })));
    // The right digits with another algorithm, in upper case, or truncated are another digest.
    for digests in [
        json!({ "sha512": rig.image.hex() }),
        json!({ "sha256": rig.image.hex().to_uppercase() }),
        json!({ "sha256": rig.image.hex()[..40] }),
        json!({ "sha256": rig.image.to_string() }),
        json!({}),
    ] {
        let mut statement = rig.statement();
        statement["subject"][0]["digest"] = digests;
        let error = rig.refuse(&rig.bundle_of(statement.to_string().as_bytes()));
        assert!(matches!(error, Error::OtherImage { .. }), "{error}");
    }
    // The name of one subject does not apply to another one.
    let mut two = rig.statement();
    let own = two["subject"][0].clone();
    two["subject"] = json!([own, own]);
    two["subject"][0]["digest"]["sha256"] = other.hex().into();
    two["subject"][1]["name"] = "registry.example/team/other".into();
    let error = rig.refuse(&rig.bundle_of(two.to_string().as_bytes()));
    assert!(matches!(error, Error::OtherName { .. }), "{error}");
}

#[test]
fn duplicate_members() {
    let rig = Rig::new();
    let statement = rig.statement().to_string();
    for (from, to) in [
        (r#""subject":"#, r#""subject":[],"subject":"#),
        (r#"{"sha256":"#, r#"{"sha256":"00","sha256":"#),
        (r#""predicate":{}"#, r#""predicate":{"a":{"b":1,"b":2}}"#),
        (r#""annotations":{"#, r#""annotations":{"name":"x","#),
    ] {
        let twice = statement.replacen(from, to, 1);
        assert_ne!(twice, statement, "{from}");
        let error = rig.refuse(&rig.bundle_of(twice.as_bytes()));
        assert!(matches!(error, Error::Statement(_)), "{to}: {error}");
    }
    let bundle = rig.bundle().to_string();
    for (from, to) in [
        (r#""payload":"#, r#""payload":"e30=","payload":"#),
        (r#""payload":"#, r#""p\u0061yload":"e30=","payload":"#),
        (r#""sig":"#, r#""sig":"AAAA","sig":"#),
        (r#""dsseEnvelope":"#, r#""dsseEnvelope":{},"dsseEnvelope":"#),
    ] {
        let error = rig.refuse_text(&bundle.replacen(from, to, 1));
        assert!(matches!(error, Error::Bundle(_)), "{to}: {error}");
    }
    // Protobuf's alternative spelling of a member would be a duplicate.
    let spelled = bundle.replacen(r#""dsseEnvelope":"#, r#""dsse_envelope":{},"dsseEnvelope":"#, 1);
    assert!(matches!(rig.refuse_text(&spelled), Error::Bundle(_)));
    let payload = rig.payload().replacen(r#""type":"#, r#""type":"x","type":"#, 1);
    assert!(matches!(rig.simple(payload.as_bytes()), Err(Error::Payload(_))));
    let payload = rig.payload().replacen("null", r#"{"a":1,"a":2}"#, 1);
    assert!(matches!(rig.simple(payload.as_bytes()), Err(Error::Payload(_))));
}

#[test]
fn a_payload_of_another_program() {
    let rig = Rig::new();
    let atomic = rig.payload().replace("cosign container image", "atomic container");
    assert!(matches!(rig.simple(atomic.as_bytes()), Err(Error::PayloadKind(_))));
    let more = rig.payload().replace(r#""type""#, r#""expires":1,"type""#);
    assert!(matches!(rig.simple(more.as_bytes()), Err(Error::Payload(_))));
    let (payload, signature) = (rig.payload(), rig.key.sign(rig.payload().as_bytes()).unwrap());
    let changed = format!("{payload}\n");
    let signature = STANDARD.encode(signature);
    let evidence = Evidence::SimpleSigning { payload: changed.as_bytes(), signature: &signature };
    assert!(matches!(rig.verify(&evidence, &Want::default()), Err(Error::NoKeyFits)));
}

#[test]
fn base64_of_another_alphabet_or_without_padding() {
    let rig = Rig::new();
    let payload = rig.payload();
    // Sign until the base64 contains the characters in which the forms differ.
    let signature = loop {
        let signature = rig.key.sign(payload.as_bytes()).unwrap();
        let text = STANDARD.encode(&signature);
        if text.ends_with('=') && text.contains('+') && text.contains('/') {
            break signature;
        }
    };
    let verify = |signature: &str| {
        rig.verify(&Evidence::SimpleSigning { payload: payload.as_bytes(), signature }, &Want::default())
    };
    let whole = STANDARD.encode(&signature);
    verify(&whole).unwrap();
    // Only line breaks are ignored: some writers add them.
    verify(&format!("{}\r\n{}\n", &whole[..40], &whole[40..])).unwrap();
    let spaced = format!("{} {}", &whole[..40], &whole[40..]);
    for text in [URL_SAFE.encode(&signature), STANDARD_NO_PAD.encode(&signature), spaced] {
        assert!(matches!(verify(&text), Err(Error::Base64("signature"))), "{text}");
    }
    for member in ["payload", "sig"] {
        let bundle = rig.bundle();
        let envelope = &bundle["dsseEnvelope"];
        let text = if member == "sig" { &envelope["signatures"][0]["sig"] } else { &envelope["payload"] };
        let bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
        for form in [format!("{}\n", STANDARD.encode(&bytes)), format!("{}=", STANDARD.encode(&bytes))] {
            let mut changed = bundle.clone();
            let text = if member == "sig" {
                changed.pointer_mut("/dsseEnvelope/signatures/0/sig")
            } else {
                changed.pointer_mut("/dsseEnvelope/payload")
            };
            *text.unwrap() = form.as_str().into();
            assert!(matches!(rig.refuse(&changed), Error::Base64(_)), "{member} {form}");
        }
    }
}

#[test]
fn evidence_beyond_the_limits() {
    let rig = Rig::new();
    let mut bundle = rig.bundle();
    bundle["verificationMaterial"]["tlogEntries"] = json!(vec![json!({}); 33]);
    assert!(matches!(rig.refuse(&bundle), Error::TooManyLogEntries(33)));
    bundle["verificationMaterial"]["tlogEntries"] = json!([{ "canonicalizedBody": "A".repeat(8 << 20) }]);
    assert!(matches!(rig.refuse(&bundle), Error::EvidenceTooLarge(_)));
    let mut deep = rig.statement();
    deep["predicate"] = json!({});
    let deep = deep.to_string().replace("{}", &format!("{}{}", "[".repeat(500), "]".repeat(500)));
    assert!(matches!(rig.refuse(&rig.bundle_of(deep.as_bytes())), Error::Statement(_)));
    let want = Want { limits: Limits { len: 100, ..Limits::default() }, ..Want::default() };
    let payload = rig.payload();
    let evidence = Evidence::SimpleSigning { payload: payload.as_bytes(), signature: "" };
    assert!(matches!(rig.verify(&evidence, &want), Err(Error::EvidenceTooLarge(_))));
}

#[test]
fn log_entry_of_another_log() {
    let rig = Rig::new();
    let id = STANDARD.encode(log_key().verifier().key_hash());
    let error = rig.refuse_log(|entry| entry["logId"]["keyId"] = id.as_str().into());
    assert!(matches!(error, Error::OtherLog), "{error}");
    assert!(matches!(rig.check_log(&rig.bundle()), Err(Error::NotLogged)));
    // A log with the same name and another key, which claims to be the accepted one.
    let body = STANDARD.decode(
        rig.logged(|_| ())["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"].as_str().unwrap(),
    );
    let forged = rig.entry(body.unwrap(), &log_key()).to_json();
    let forged: Value = serde_json::from_str(&forged).unwrap();
    let error = rig.refuse_log(|entry| entry["inclusionProof"] = forged["inclusionProof"].clone());
    assert!(matches!(error, Error::Log(tlog::Error::NotSigned(_))), "{error}");
    // Entries of other logs beside the accepted one do no harm, whatever their form.
    let mut bundle = rig.logged(|_| ());
    let entries = bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
    entries.insert(0, json!({ "logIndex": "x", "logId": { "keyId": id } }));
    rig.check_log(&bundle).unwrap();
}

#[test]
fn log_entry_with_a_wrong_body() {
    let rig = Rig::new();
    // An entry for another signature by the same key, with a valid proof.
    let other = log_entry::body(b"other", &rig.key.sign(b"other").unwrap(), &rig.key.public_key().unwrap());
    let other: Value = serde_json::from_str(&rig.entry(other, &rig.log).to_json()).unwrap();
    assert!(matches!(rig.refuse_log(|entry| *entry = other), Error::LogBody));
    let error = rig.refuse_log(|entry| entry["kindVersion"]["version"] = "0.0.1".into());
    assert!(matches!(error, Error::LogKind(_)), "{error}");
    let error = rig.refuse_log(|entry| entry["canonicalizedBody"] = "e30".into());
    assert!(matches!(error, Error::Base64("canonicalizedBody")), "{error}");
}

#[test]
fn log_entry_with_a_wrong_root() {
    let rig = Rig::new();
    let zero = STANDARD.encode([0; 32]);
    let error = rig.refuse_log(|entry| entry["inclusionProof"]["rootHash"] = zero.as_str().into());
    assert!(matches!(error, Error::LogRoot), "{error}");
    let error = rig.refuse_log(|entry| entry["inclusionProof"]["treeSize"] = "9".into());
    assert!(matches!(error, Error::LogRoot), "{error}");
    let error = rig.refuse_log(|entry| entry["inclusionProof"]["hashes"][1] = zero.as_str().into());
    assert!(matches!(error, Error::Log(tlog::Error::Proof(_))), "{error}");
    // A tree of the attacker with the log's signature for another tree.
    let text = Rig::checkpoint(8, Hash::from_bytes([0; 32]));
    let error = rig.refuse_log(|entry| {
        entry["inclusionProof"]["rootHash"] = zero.as_str().into();
        let envelope = entry["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap().to_owned();
        let signature = envelope.split_once("\n\n").unwrap().1;
        entry["inclusionProof"]["checkpoint"]["envelope"] = format!("{text}\n{signature}").into();
    });
    assert!(matches!(error, Error::Log(tlog::Error::WrongSignature(_))), "{error}");
}

#[test]
fn log_entry_beyond_the_size() {
    let rig = Rig::new();
    for index in ["8", "9223372036854775807"] {
        let error = rig.refuse_log(|entry| {
            entry["logIndex"] = index.into();
            entry["inclusionProof"]["logIndex"] = index.into();
        });
        assert!(matches!(error, Error::LogIndex { size: 8, .. }), "{error}");
    }
    let error = rig.refuse_log(|entry| entry["logIndex"] = "4".into());
    assert!(matches!(error, Error::LogIndex { index: 4, .. }), "{error}");
    let error = rig.refuse_log(|entry| {
        entry["logIndex"] = "4".into();
        entry["inclusionProof"]["logIndex"] = "4".into();
    });
    assert!(matches!(error, Error::Log(tlog::Error::Proof(_))), "{error}");
    let zero = STANDARD.encode([0; 32]);
    let error = rig.refuse_log(|entry| entry["inclusionProof"]["hashes"] = json!(vec![zero; 65]));
    assert!(matches!(error, Error::LogProofLength(65)), "{error}");
}

#[test]
fn counts_as_strings_or_numbers() {
    let rig = Rig::new();
    let number = |entry: &mut Value| {
        entry["logIndex"] = 5.into();
        entry["inclusionProof"]["treeSize"] = 8.into();
    };
    rig.check_log(&rig.logged(number)).unwrap();
    for odd in [
        json!("05"),
        json!("+5"),
        json!("5.0"),
        json!(5.0),
        json!(-5),
        json!("5e0"),
        json!(" 5"),
        json!(null),
    ] {
        let error = rig.refuse_log(|entry| entry["logIndex"] = odd.clone());
        assert!(matches!(error, Error::LogEntry(_)), "{odd}: {error}");
    }
}
