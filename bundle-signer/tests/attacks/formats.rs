//! Attacks with the format and the encoding of evidence.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use bundle_signer::{Error, Evidence, Format, Limits, Statement};
use serde_json::{Value, json};

use crate::{Rig, Want};

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
