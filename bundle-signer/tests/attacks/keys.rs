//! Attacks with keys and signatures.

use bundle_signer::{Envelope, Error, Evidence, PrivateKey, Statement, bundle};
use serde_json::{Value, json};

use crate::{Rig, Want};

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
