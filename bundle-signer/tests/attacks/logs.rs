//! Attacks with entries of a transparency log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::{Error, log_entry};
use serde_json::{Value, json};
use tlog::Hash;

use crate::{Rig, log_key};

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
