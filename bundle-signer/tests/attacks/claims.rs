//! Attacks with validly signed statements about something else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::statement::{CYCLONE_DX, SLSA_PROVENANCE, VERIFICATION_SUMMARY};
use bundle_signer::{Claim, Envelope, Error, Evidence, NameRule, Statement, Subject, bundle};
use oci::Digest;
use serde_json::json;

use crate::{Rig, Want};

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
