//! Cosign's first formats: a real image signature, and layers built from the content of real bundles.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::keyless::{
    Error, Evidence, Identity, Inclusion, Result, Signed, is_keyless, verify_layer,
};
use oci::{Descriptor, Digest};
use serde_json::{Value, json};

use crate::fixtures::{
    BLOB_V1, GITHUB_ACTIONS, GITHUB_LOGIN, Instance, STATEMENT_V1, STATEMENT_V2, changed_root, digest, read,
    root,
};

const SIGNER: &str = "sozercan@gmail.com";
const IMAGE: &str = "sha256:623621b56649b5e0c2c7cf3ffd987932f8f9a5a01036e00d6f3ae9480087621c";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const BUNDLE: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

fn layer() -> Descriptor {
    serde_json::from_slice(&read("cosign2-image.layer.json")).unwrap()
}

fn signer() -> Identity {
    Identity::exact(SIGNER, GITHUB_LOGIN).unwrap()
}

fn check(layer: &Descriptor, payload: &[u8]) -> Result<Evidence> {
    verify_layer(layer, payload, &digest(IMAGE), &signer(), &root(Instance::Public))
}

fn without(name: &str) -> Result<Evidence> {
    with(|annotations| drop(annotations.remove(name)))
}

fn with(change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<Evidence> {
    let mut layer = layer();
    change(&mut layer.annotations);
    check(&layer, &read("cosign2-image.payload.json"))
}

/// A layer with the content of a Rekor v1 bundle, in cosign's layout.
fn layer_of(bundle: &str, media_type: &str) -> Descriptor {
    let bundle: Value = serde_json::from_slice(&read(bundle)).unwrap();
    let material = &bundle["verificationMaterial"];
    let certificate = STANDARD.decode(material["certificate"]["rawBytes"].as_str().unwrap()).unwrap();
    let entry = &material["tlogEntries"][0];
    let number = |name: &str| entry[name].as_str().unwrap().parse::<u64>().unwrap();
    let log_id = STANDARD.decode(entry["logId"]["keyId"].as_str().unwrap()).unwrap();
    let rekor = json!({
        "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
        "Payload": {
            "body": entry["canonicalizedBody"],
            "integratedTime": number("integratedTime"),
            "logIndex": number("logIndex"),
            "logID": log_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        },
    });
    let mut layer = Descriptor::new(media_type.parse().unwrap(), Digest::sha256(b"not used"), 0);
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap_or_default();
    let encoded = STANDARD.encode(certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
    let annotations = [(SIGNATURE, signature.to_owned()), (CERTIFICATE, pem), (BUNDLE, rekor.to_string())];
    layer.annotations.extend(annotations.map(|(name, value)| (name.to_owned(), value)));
    let stamp = &material["timestampVerificationData"]["rfc3161Timestamps"][0]["signedTimestamp"];
    if let Some(stamp) = stamp.as_str() {
        layer.annotations.insert(TIMESTAMP.into(), json!({"SignedRFC3161Timestamp": stamp}).to_string());
    }
    layer
}

#[test]
fn a_real_image_signature_is_accepted_by_its_promise() {
    assert!(is_keyless(&layer()));
    let evidence = check(&layer(), &read("cosign2-image.payload.json")).unwrap();
    assert_eq!((evidence.subject(), evidence.issuer()), (SIGNER, GITHUB_LOGIN));
    assert_eq!(evidence.signed(), Signed::ImageText);
    assert_eq!(evidence.payload().unwrap(), read("cosign2-image.payload.json"));
    let [entry] = evidence.entries() else { panic!("one entry") };
    assert_eq!(entry.inclusion, Inclusion::Promise);
    assert_eq!((entry.index, entry.integrated.unwrap().unix()), (13_452_680, 1_676_524_985));
}

#[test]
fn an_image_signature_is_refused_for_anything_else() {
    let payload = read("cosign2-image.payload.json");
    let public = root(Instance::Public);
    let other = Digest::sha256(b"other");
    let refusal = verify_layer(&layer(), &payload, &other, &signer(), &public).unwrap_err();
    assert!(matches!(&refusal, Error::LayerImage(named) if named == IMAGE), "{refusal:?}");
    let mallory = Identity::exact("mallory@example.com", GITHUB_LOGIN).unwrap();
    let refusal = verify_layer(&layer(), &payload, &digest(IMAGE), &mallory, &public).unwrap_err();
    assert!(matches!(refusal, Error::Subject { .. }));
    let issuer = Identity::exact(SIGNER, GITHUB_ACTIONS).unwrap();
    let refusal = verify_layer(&layer(), &payload, &digest(IMAGE), &issuer, &public).unwrap_err();
    assert!(matches!(refusal, Error::Issuer { .. }));
    let changed = String::from_utf8(payload.clone()).unwrap().replace("623621b5", "723621b5");
    assert!(matches!(
        check(&layer(), changed.as_bytes()),
        Err(Error::BadSignature(_) | Error::OtherArtifact(_))
    ));
    let staging = root(Instance::Staging);
    assert!(verify_layer(&layer(), &payload, &digest(IMAGE), &signer(), &staging).is_err());
    let without_log =
        changed_root(Instance::Public, |json| drop(json["tlogs"].as_array_mut().unwrap().remove(0)));
    let refusal =
        verify_layer(&layer(), &payload, &digest(IMAGE), &signer(), &without_log.unwrap()).unwrap_err();
    assert!(matches!(refusal, Error::LogEntry(_)), "{refusal:?}");
}

#[test]
fn each_missing_annotation_is_named() {
    for name in [SIGNATURE, CERTIFICATE, BUNDLE] {
        assert!(matches!(without(name), Err(Error::LayerLacks(missing)) if missing == name));
        let empty = with(|annotations| drop(annotations.insert(name.into(), String::new())));
        assert!(matches!(empty, Err(Error::LayerLacks(missing)) if missing == name));
    }
    // Only the trusted root determines which CAs are trusted.
    assert!(without("dev.sigstore.cosign/chain").is_ok());
}

#[test]
fn each_malformed_annotation_is_named() {
    let set = |name: &'static str, value: &'static str| {
        with(|annotations| drop(annotations.insert(name.into(), value.into()))).unwrap_err()
    };
    assert!(matches!(set(CERTIFICATE, "MIIB"), Error::LayerCertificate(_)));
    let key = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n";
    assert!(matches!(set(CERTIFICATE, key), Error::LayerAnnotation(CERTIFICATE)));
    assert!(matches!(set(BUNDLE, "{}"), Error::LayerAnnotation(BUNDLE)));
    assert!(matches!(set(TIMESTAMP, "{}"), Error::LayerAnnotation(TIMESTAMP)));
    assert!(matches!(set(TIMESTAMP, r#"{"SignedRFC3161Timestamp":"AAAA"}"#), Error::Timestamp(_)));
    assert!(set(SIGNATURE, "AAAA").hint().is_some());
    let two = with(|annotations| {
        let certificate = annotations.get_mut(CERTIFICATE).unwrap();
        certificate.push_str(&certificate.clone());
    });
    assert!(matches!(two, Err(Error::LayerCertificate(_))));
    let replace = |from: &'static str, to: &'static str| {
        with(|annotations| {
            let bundle = annotations.get_mut(BUNDLE).unwrap();
            assert!(bundle.contains(from));
            *bundle = bundle.replacen(from, to, 1);
        })
    };
    assert!(matches!(replace("1676524985", "1676524986"), Err(Error::LogEntry(_))));
    assert!(matches!(replace("13452680", "13452681"), Err(Error::LogEntry(_))));
    assert!(matches!(replace("c0d23d6a", "C0d23d6a"), Err(Error::LayerAnnotation(BUNDLE))));
    assert!(matches!(replace("c0d23d6a", "c0d23d6b"), Err(Error::LogEntry(_))));
    assert!(matches!(replace("\"body\":\"", "\"body\":\"!"), Err(Error::LayerAnnotation(BUNDLE))));
    assert!(replace("\"integratedTime\":", "\"integratedTime\":-").is_err());
}

#[test]
fn an_entry_that_does_not_hold_the_signature_is_refused() {
    let body = STANDARD.encode(r#"{"apiVersion":"0.0.1","kind":"intoto","spec":{}}"#);
    let outcome = with(|annotations| {
        let mut bundle: Value = serde_json::from_str(&annotations[BUNDLE]).unwrap();
        bundle["Payload"]["body"] = json!(body);
        annotations.insert(BUNDLE.into(), bundle.to_string());
    });
    assert!(matches!(outcome, Err(Error::LayerEntry(kind)) if kind == "intoto 0.0.1"));
}

#[test]
fn a_layer_with_a_blob_signature_is_refused_as_an_image_signature() {
    let mut layer = layer_of(BLOB_V1.bundle, "application/vnd.dev.cosign.simplesigning.v1+json");
    let blob = read("cosign-v3-blob.txt");
    let outcome = |layer: &Descriptor| {
        verify_layer(layer, &blob, &Digest::sha256(&blob), &BLOB_V1.identity(), &root(Instance::Public))
    };
    // Signature and timestamp are valid, but the signed text is not about an image.
    assert!(matches!(outcome(&layer), Err(Error::LayerPayload(_))));
    layer.media_type = "application/octet-stream".parse().unwrap();
    assert!(matches!(outcome(&layer), Err(Error::LayerMediaType(_))));
    assert!(!is_keyless(&layer));
}

#[test]
fn an_attached_attestation_is_accepted() {
    let layer = layer_of(STATEMENT_V1.bundle, "application/vnd.dsse.envelope.v1+json");
    let bundle: Value = serde_json::from_slice(&read(STATEMENT_V1.bundle)).unwrap();
    let envelope = bundle["dsseEnvelope"].to_string();
    let artifact = Digest::sha256(&read("signed-package-2.1.0-hb0f4dca_0.conda"));
    let (identity, public) = (STATEMENT_V1.identity(), root(Instance::Public));
    assert!(is_keyless(&layer));
    let evidence = verify_layer(&layer, envelope.as_bytes(), &artifact, &identity, &public).unwrap();
    assert_eq!(evidence.signed(), Signed::Statement);
    assert_eq!(evidence.entries()[0].inclusion, Inclusion::Promise);
    let other = verify_layer(&layer, envelope.as_bytes(), &Digest::sha256(b""), &identity, &public);
    assert!(matches!(other, Err(Error::OtherArtifact(_))));
    let swapped: Value = serde_json::from_slice(&read(STATEMENT_V2.bundle)).unwrap();
    let swapped = swapped["dsseEnvelope"].to_string();
    assert!(verify_layer(&layer, swapped.as_bytes(), &artifact, &identity, &public).is_err());
}
