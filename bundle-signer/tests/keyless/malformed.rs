//! Bundles that are malformed, ambiguous or too large, one defect at a time.

use bundle_signer::keyless::{Artifact, Error, Identity, MAX_BUNDLE, verify};
use serde_json::{Value, json};

use crate::fixtures::{BLOB_V1, GITHUB_LOGIN, Instance, STATEMENT_V1, STATEMENT_V2, read, root};

fn refusal(bundle: &[u8]) -> Error {
    BLOB_V1.verify(bundle, &BLOB_V1.identity(), &root(Instance::Public)).unwrap_err()
}

fn changed(change: impl FnOnce(&mut Value)) -> Error {
    BLOB_V1.changed(change).unwrap_err()
}

#[test]
fn other_files_than_bundles_are_refused() {
    for text in ["", "{}", "[]", "null", "{\"mediaType\":1}", "\u{feff}{}", "-----BEGIN CERTIFICATE-----"] {
        assert!(matches!(refusal(text.as_bytes()), Error::Malformed(_)), "{text}");
    }
    assert!(matches!(refusal(&[0xff; 64]), Error::Malformed(_)));
    assert!(matches!(refusal(&vec![b'['; 100_000]), Error::Malformed(_)));
    assert!(matches!(refusal(&vec![b' '; MAX_BUNDLE + 1]), Error::TooLarge(_)));
    let mut tail = read(BLOB_V1.bundle);
    tail.extend(b"{}");
    assert!(matches!(refusal(&tail), Error::Malformed(_)));
}

#[test]
fn bundles_that_sigstores_own_tests_refuse_are_refused() {
    let outcome = |name: &str| {
        let identity = Identity::pattern(".*", GITHUB_LOGIN).unwrap();
        let digest = crate::fixtures::digest(&format!("sha256:{}", "0".repeat(64)));
        verify(&read(name), Artifact::Digest(&digest), &identity, &root(Instance::Public)).unwrap_err()
    };
    assert!(matches!(outcome("bundle_invalid_version.txt.sigstore"), Error::Malformed(_)));
    assert!(matches!(outcome("dsse-2sigs.sigstore.json"), Error::Malformed(_)));
    assert!(matches!(outcome("bundle_no_log_entry.txt.sigstore"), Error::NotLogged));
    assert!(matches!(outcome("github-private-attestation.sigstore.json"), Error::NotLogged));
    assert!(matches!(outcome("managed-key.sigstore.json"), Error::ByKey));
    assert!(matches!(outcome("bundle_v3_no_signed_time.txt.sigstore.json"), Error::Timestamp(_)));
    assert!(matches!(outcome("bundle_no_checkpoint.txt.sigstore"), Error::Structure(_)));
    let error = outcome("bundle_no_cert_v1.txt.sigstore");
    assert!(matches!(error, Error::Structure(_)), "{error:?}");
    // From a private instance, and with an unsupported kind of subject.
    let error = outcome("othername.sigstore.json");
    assert!(matches!(error, Error::LogEntry(_)), "{error:?}");
}

/// The certificate differs from the logged one.
#[test]
fn cve_2022_36056_is_refused() {
    let identity = Identity::exact("william@yossarian.net", GITHUB_LOGIN).unwrap();
    let digest =
        crate::fixtures::digest("sha256:c87b5b213ab08b32970c106d0c7e4423e67f5449c2fd2d1e9b4ea6cc43b6ee7c");
    let bundle = read("bundle_cve_2022_36056.txt.sigstore");
    let error = verify(&bundle, Artifact::Digest(&digest), &identity, &root(Instance::Public)).unwrap_err();
    assert!(matches!(error, Error::LogEntry(_)), "{error:?}");
}

#[test]
fn members_that_contradict_each_other_are_refused() {
    let material = |json: &mut Value, name: &str, value: Value| json["verificationMaterial"][name] = value;
    let key = json!({"hint": "AAAA"});
    assert!(matches!(changed(|json| material(json, "publicKey", key.clone())), Error::Material));
    let chain = json!({"certificates": []});
    assert!(matches!(changed(|json| material(json, "x509CertificateChain", chain)), Error::Material));
    let envelope =
        serde_json::from_slice::<Value>(&read(STATEMENT_V1.bundle)).unwrap()["dsseEnvelope"].clone();
    assert!(matches!(changed(|json| json["dsseEnvelope"] = envelope), Error::Content));
    let no_signature = changed(|json| drop(json.as_object_mut().unwrap().remove("messageSignature")));
    assert!(matches!(no_signature, Error::Content));
    let no_certificate = changed(|json| {
        json["verificationMaterial"].as_object_mut().unwrap().remove("certificate");
    });
    assert!(matches!(no_certificate, Error::Material));
    let no_version = changed(|json| drop(json.as_object_mut().unwrap().remove("mediaType")));
    assert!(matches!(no_version, Error::Malformed(_)));
    assert!(matches!(changed(|json| json["comment"] = json!(1)), Error::Malformed(_)));
    assert!(matches!(changed(|json| material(json, "comment", json!(1))), Error::Malformed(_)));
    let text = String::from_utf8(read(BLOB_V1.bundle)).unwrap();
    let twice = text.replacen("\"mediaType\"", "\"mediaType\":\"x\",\"mediaType\"", 1);
    assert!(matches!(refusal(twice.as_bytes()), Error::Malformed(_)));
    let chain_in_v3 = changed(|json| {
        let material = json["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material.insert("x509CertificateChain".into(), json!({"certificates": [certificate]}));
    });
    assert!(matches!(chain_in_v3, Error::Structure(_)));
}

#[test]
fn an_entry_without_proof_is_refused_beside_one_with() {
    for good in [BLOB_V1, STATEMENT_V1, STATEMENT_V2] {
        let refusal = good
            .changed(|json| {
                let entries = json["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap();
                let mut bare = entries[0].clone();
                bare.as_object_mut().unwrap().retain(|name, _| !name.starts_with("inclusion"));
                entries.push(bare);
            })
            .unwrap_err();
        assert!(matches!(refusal, Error::NotProven(1)), "{refusal:?}");
    }
}

#[test]
fn a_promise_alone_is_not_a_proof_since_version_0_2() {
    let promise_only = changed(|json| {
        json["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap().remove("inclusionProof");
    });
    assert!(matches!(promise_only, Error::Structure(_)), "{promise_only:?}");
}

#[test]
fn exceeded_limits_are_refused() {
    let many = |json: &mut Value, pointer: &str, count: usize| {
        let list = json.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
        let one = list[0].clone();
        list.resize(count, one);
    };
    for (pointer, most) in [
        ("/verificationMaterial/tlogEntries", 32),
        ("/verificationMaterial/timestampVerificationData/rfc3161Timestamps", 32),
        ("/verificationMaterial/tlogEntries/0/inclusionProof/hashes", 64),
    ] {
        let refusal = changed(|json| many(json, pointer, most + 1));
        assert!(matches!(refusal, Error::TooMany { limit, .. } if limit == most), "{refusal:?}");
    }
    let long = changed(|json| {
        let envelope = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";
        let envelope = json.pointer_mut(envelope).unwrap();
        let line = envelope.as_str().unwrap().lines().last().unwrap().to_owned() + "\n";
        *envelope = json!(envelope.as_str().unwrap().to_owned() + &line.repeat(1000));
    });
    assert!(matches!(long, Error::TooMany { .. }));
    // The maximum number of valid entries is accepted.
    let evidence = BLOB_V1.changed(|json| many(json, "/verificationMaterial/tlogEntries", 32)).unwrap();
    assert_eq!(evidence.entries().len(), 32);
}
