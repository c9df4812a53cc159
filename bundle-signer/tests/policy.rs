//! Attacks on the rules of a trust file, one test for each attack. Every test starts from valid signatures.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

use bundle_signer::statement::{COSIGN_SIGN, SLSA_PROVENANCE};
use bundle_signer::trust::{Reason, Severity, json_schema};
use bundle_signer::{
    Attested, Claims, Decision, Envelope, Error, Evidence, Expectation, Format, Gate, ImageName, Limits,
    LogRule, NameRule, PrivateKey, Statement, Subject, TrustFile, Verified, bundle, sign_blob, verify_blob,
    verify_image,
};
use oci::Digest;
use proptest::prelude::*;

const NAMES: [&str; 4] = ["alice", "bob", "carol", "builder"];
const TWO_OF_THREE: &str = "groups: [{name: board, threshold: 2, keys: [alice, bob, carol]}]
gates: {pull: {require: [{sign: signature, by: board}]}}
";

struct Rig {
    keys: Vec<PrivateKey>,
    /// Accepts anything: it identifies the signer of a signature, without rules.
    open: TrustFile,
    image: Digest,
    name: ImageName,
}

impl Rig {
    fn new() -> Self {
        let keys: Vec<_> = NAMES.iter().map(|_| PrivateKey::generate().unwrap()).collect();
        let named =
            NAMES.iter().zip(&keys).map(|(name, key)| ((*name).to_owned(), key.public_key().unwrap()));
        let open = TrustFile::new(named.collect()).unwrap();
        let name = "registry.example/team/app".parse().unwrap();
        Self { keys, open, image: Digest::sha256(b"image"), name }
    }

    /// A trust file with these keys; `roles` is added to `builder`, `rest` at the end.
    fn trust(&self, roles: &str, rest: &str) -> TrustFile {
        TrustFile::parse(&format!("{}{roles}{rest}", self.open.to_yaml())).unwrap()
    }

    fn key(&self, name: &str) -> &PrivateKey {
        &self.keys[NAMES.iter().position(|known| *known == name).unwrap()]
    }

    fn hint(&self, name: &str) -> String {
        self.key(name).public_key().unwrap().hint()
    }

    fn signed(&self, by: &str, subject: Subject, predicate_type: &str) -> Verified<Attested> {
        let statement = Statement::new(vec![subject], predicate_type, None);
        let key = self.key(by);
        let envelope = Envelope::sign(statement.to_json().unwrap(), |bytes| key.sign(bytes)).unwrap();
        let bytes = bundle::attestation(&key.public_key().unwrap(), &envelope, &[]);
        verify_image(&Evidence::Bundle(&bytes), &self.expected(&self.open, predicate_type)).unwrap()
    }

    fn expected<'a>(&'a self, keys: &'a TrustFile, predicate_type: &'a str) -> Expectation<'a> {
        Expectation {
            digest: &self.image,
            name: &self.name,
            name_rule: NameRule::Required,
            predicate_type,
            formats: &[Format::Bundle],
            keys,
            role: &|_| true,
            log: LogRule::Ignored,
            limits: Limits::default(),
        }
    }

    fn by(&self, names: &[&str]) -> Claims {
        let mut claims = Claims::image(&self.image, &self.name, COSIGN_SIGN);
        for name in names {
            claims.add(&self.signed(name, Subject::image(&self.image, &self.name), COSIGN_SIGN));
        }
        claims
    }
}

fn refused(decision: &Decision, reason: impl Fn(&Reason) -> bool) {
    assert!(!decision.allowed && !decision.satisfied && decision.by.is_empty(), "{decision:?}");
    assert!(decision.reasons.iter().any(reason), "{decision:?}");
}

#[test]
fn a_file_with_only_keys_accepts_any_of_them() {
    let rig = Rig::new();
    for gate in Gate::ALL {
        let decision = rig.open.decide(gate, &rig.by(&["bob"]));
        assert!(decision.allowed && decision.by == ["bob"] && decision.reasons.is_empty(), "{decision:?}");
    }
    refused(&rig.open.decide(Gate::Pull, &rig.by(&[])), |reason| *reason == Reason::Unsigned);
    assert!(rig.open.findings().is_empty());
}

#[test]
fn below_threshold() {
    let rig = Rig::new();
    let trust = rig.trust("", TWO_OF_THREE);
    refused(&trust.decide(Gate::Pull, &rig.by(&["alice"])), |reason| {
        matches!(reason, Reason::BelowThreshold { threshold: 2, found: 1, .. })
    });
    let decision = trust.decide(Gate::Pull, &rig.by(&["alice", "carol"]));
    assert!(decision.allowed && decision.by.len() == 2, "{decision:?}");
    // Another gate has no such rule.
    assert!(trust.decide(Gate::Push, &rig.by(&["alice"])).allowed);
}

#[test]
fn same_signer_twice_for_two_of_three() {
    let rig = Rig::new();
    let trust = rig.trust("", TWO_OF_THREE);
    refused(&trust.decide(Gate::Pull, &rig.by(&["alice", "alice", "alice"])), |reason| {
        matches!(reason, Reason::BelowThreshold { found: 1, .. })
    });
    // Nor with two names: a file with a duplicate key is refused.
    let twice = rig.open.to_yaml().replacen("name: \"bob\"", "name: \"alice2\"", 1);
    let pem = |name: &str| rig.key(name).public_key().unwrap().to_pem().lines().nth(1).unwrap().to_owned();
    let second = |name: &str| rig.key(name).public_key().unwrap().to_pem().lines().nth(2).unwrap().to_owned();
    let twice = twice.replace(&pem("bob"), &pem("alice")).replace(&second("bob"), &second("alice"));
    assert!(matches!(TrustFile::parse(&twice), Err(Error::TrustTwice(_))));
}

#[test]
fn outsider_fills_the_threshold() {
    let rig = Rig::new();
    let trust = rig.trust("", TWO_OF_THREE);
    let decision = trust.decide(Gate::Pull, &rig.by(&["alice", "builder"]));
    refused(&decision, |reason| matches!(reason, Reason::BelowThreshold { found: 1, .. }));
    refused(&decision, |reason| matches!(reason, Reason::NotRequired { key, .. } if key == "builder"));
}

#[test]
fn revoked_key() {
    let rig = Rig::new();
    let text = format!(
        "{TWO_OF_THREE}revocations: [{{hint: '{}', reason: laptop stolen, date: 2026-11-02}}]\n",
        rig.hint("alice")
    );
    let trust = rig.trust("", &text);
    let decision = trust.decide(Gate::Pull, &rig.by(&["alice", "bob"]));
    refused(&decision, |reason| matches!(reason, Reason::Revoked { date, .. } if date == "2026-11-02"));
    refused(&trust.decide(Gate::Push, &rig.by(&["alice"])), |reason| {
        matches!(reason, Reason::Revoked { .. })
    });
    assert!(trust.decide(Gate::Pull, &rig.by(&["bob", "carol"])).allowed);
    // The checks below the rules refuse it as well.
    let drive = sign_blob(rig.key("alice"), b"manifest").unwrap();
    assert!(matches!(verify_blob(&trust, b"manifest".to_vec(), &drive), Err(Error::RevokedKey { .. })));
    let statement = Statement::signature(Subject::image(&rig.image, &rig.name));
    let key = rig.key("alice");
    let envelope = Envelope::sign(statement.to_json().unwrap(), |bytes| key.sign(bytes)).unwrap();
    let bytes = bundle::attestation(&key.public_key().unwrap(), &envelope, &[]);
    let error = verify_image(&Evidence::Bundle(&bytes), &rig.expected(&trust, COSIGN_SIGN));
    assert!(matches!(error, Err(Error::RevokedKey { .. })));
}

/// `builder`'s key as the replacement of `alice`'s key.
fn rotated(rig: &Rig, rest: &str) -> TrustFile {
    let public = |name: &str| rig.key(name).public_key().unwrap();
    let three = NAMES[..3].iter().map(|name| ((*name).to_owned(), public(name))).collect();
    let text = TrustFile::new(three).unwrap().to_yaml() + rest;
    let old = TrustFile::parse(&text).unwrap();
    let new = old.rotated("alice", "alice-2027", public("builder")).unwrap();
    assert_eq!(new.sequence(), old.sequence() + 1);
    assert_eq!(TrustFile::parse(&new.to_yaml()).unwrap(), new);
    new
}

#[test]
fn two_keys_of_one_signer_for_two_of_three() {
    let rig = Rig::new();
    let trust = rotated(&rig, TWO_OF_THREE);
    refused(&trust.decide(Gate::Pull, &rig.by(&["alice", "builder"])), |reason| {
        matches!(reason, Reason::BelowThreshold { found: 1, .. })
    });
    for pair in [["alice", "bob"], ["builder", "bob"]] {
        assert!(trust.decide(Gate::Pull, &rig.by(&pair)).allowed, "{pair:?}");
    }
    // Nor with a group that lists both: they are still one signer.
    let both = trust.to_yaml().replace(r#""alice","bob","carol""#, r#""alice","alice-2027""#);
    assert!(matches!(TrustFile::parse(&both), Err(Error::TrustMember { member: "threshold", .. })));
}

#[test]
fn a_key_that_was_replaced_is_accepted_until_it_is_revoked() {
    let rig = Rig::new();
    let trust = rotated(&rig, "gates: {pull: {require: [{sign: signature, by: alice}]}}\n");
    for name in ["alice", "builder"] {
        assert!(trust.decide(Gate::Pull, &rig.by(&[name])).allowed, "{name}");
    }
    refused(&trust.decide(Gate::Pull, &rig.by(&["bob"])), |reason| {
        matches!(reason, Reason::NotRequired { .. })
    });
    assert!(trust.findings().iter().any(|found| found.text.contains("still accepted")));
    let after = trust.revoked(&rig.hint("alice"), "replaced", "2026-12-01").unwrap();
    assert_eq!((after.sequence(), after.findings().len()), (2, 0));
    refused(&after.decide(Gate::Pull, &rig.by(&["alice"])), |reason| {
        matches!(reason, Reason::Revoked { .. })
    });
    assert!(after.decide(Gate::Pull, &rig.by(&["builder"])).allowed);
    let again = after.revoked(&rig.hint("alice"), "replaced", "2026-12-01");
    assert!(matches!(again, Err(Error::TrustTwice(_))));
    // The thief of a key cannot name a successor for it.
    let thief = after.rotated("alice", "x", PrivateKey::generate().unwrap().public_key().unwrap());
    assert!(matches!(thief, Err(Error::RevokedKey { .. })));
    assert!(trust.revoked("no hint", "r", "2026-12-01").is_err());
    assert!(trust.revoked(&rig.hint("alice"), "r", "yesterday").is_err());
}

#[test]
fn a_key_cannot_replace_an_unknown_key_or_itself() {
    let rig = Rig::new();
    let trust = rotated(&rig, "");
    let public = PrivateKey::generate().unwrap().public_key().unwrap();
    for (old, name) in [("alice", "x"), ("nobody", "x"), ("bob", "carol")] {
        assert!(trust.rotated(old, name, public.clone()).is_err(), "{old} {name}");
    }
    let chain = trust.rotated("alice-2027", "alice-2028", public).unwrap();
    assert!(chain.keys()[4].replaces() == Some("alice-2027"));
    for wrong in ["alice-2028", "alice", "nobody"] {
        let text = chain.to_yaml().replace(r#"replaces: "alice-2027""#, &format!("replaces: {wrong}"));
        assert!(TrustFile::parse(&text).is_err(), "{wrong}");
    }
}

#[test]
fn stale_policy() {
    let rig = Rig::new();
    let trust = rig.trust("", "sequence: 6\n");
    assert!(trust.decide(Gate::Pull, &rig.by(&["bob"]).after_policy(6)).allowed);
    let decision = trust.decide(Gate::Pull, &rig.by(&["bob"]).after_policy(7));
    refused(&decision, |reason| *reason == Reason::StalePolicy { found: 6, newest: 7 });
    // A file without a sequence number is older than any file with one.
    refused(&rig.open.decide(Gate::Pull, &rig.by(&["bob"]).after_policy(1)), |reason| {
        matches!(reason, Reason::StalePolicy { .. })
    });
}

#[test]
fn predicate_confusion() {
    let rig = Rig::new();
    let mut claims = Claims::image(&rig.image, &rig.name, COSIGN_SIGN);
    claims.add(&rig.signed("alice", Subject::image(&rig.image, &rig.name), SLSA_PROVENANCE));
    refused(&rig.open.decide(Gate::Pull, &claims), |reason| matches!(reason, Reason::OtherContent { .. }));
}

#[test]
fn signature_of_another_image() {
    let rig = Rig::new();
    let mut claims = Claims::image(&Digest::sha256(b"other"), &rig.name, COSIGN_SIGN);
    claims.add(&rig.signed("alice", Subject::image(&rig.image, &rig.name), COSIGN_SIGN));
    refused(&rig.open.decide(Gate::Pull, &claims), |reason| matches!(reason, Reason::OtherContent { .. }));
}

#[test]
fn role_not_given() {
    let rig = Rig::new();
    let subject = || Subject::image(&rig.image, &rig.name);
    let decide = |roles: &str, subject: Subject, kind: &str| {
        let trust = rig.trust(&format!("    roles: {roles}\n"), "");
        let mut claims = Claims::image(&rig.image, &rig.name, kind);
        claims.add(&rig.signed("builder", subject, kind));
        trust.decide(Gate::Pull, &claims)
    };
    let good = "[{sign: [slsaprovenance1], repositories: ['registry.example/team/*'], formats: [bundle]}]";
    assert!(decide(good, subject(), SLSA_PROVENANCE).allowed);
    let sequence = "[{sign: [signature], sequence: {from: 5, to: 9}}]";
    assert!(decide(sequence, subject().with_sequence(9), COSIGN_SIGN).allowed);
    for (roles, subject, kind) in [
        ("[]", subject(), COSIGN_SIGN),
        (good, subject(), COSIGN_SIGN),
        ("[{sign: [signature], repositories: ['registry.example/other/*']}]", subject(), COSIGN_SIGN),
        ("[{sign: [signature], formats: [simpleSigning]}]", subject(), COSIGN_SIGN),
        ("[{sign: [driveManifest]}]", subject(), COSIGN_SIGN),
        (sequence, subject().with_sequence(4), COSIGN_SIGN),
        (sequence, subject().with_sequence(10), COSIGN_SIGN),
        (sequence, subject(), COSIGN_SIGN),
    ] {
        refused(&decide(roles, subject, kind), |reason| matches!(reason, Reason::NoRole { .. }));
    }
}

#[test]
fn image_key_signs_a_drive() {
    let rig = Rig::new();
    let drive = |roles: &str| {
        let trust = rig.trust(&format!("    roles: {roles}\n"), "");
        let signature = sign_blob(rig.key("builder"), b"manifest").unwrap();
        let verified = verify_blob(&trust, b"manifest".to_vec(), &signature).unwrap();
        trust.decide(Gate::Import, &Claims::drive(&verified, None))
    };
    assert!(drive("[{sign: [driveManifest]}]").allowed);
    refused(&drive("[{sign: [signature]}]"), |reason| matches!(reason, Reason::NoRole { .. }));
}

#[test]
fn a_warning_gate_allows_and_reports() {
    let rig = Rig::new();
    let trust = rig.trust("", "gates: {pull: {mode: warn}}\n");
    let decision = trust.decide(Gate::Pull, &rig.by(&[]));
    assert!(decision.allowed && !decision.satisfied && decision.reasons == [Reason::Unsigned]);
    assert!(!trust.decide(Gate::Push, &rig.by(&[])).allowed);
}

#[test]
fn unknown_names_and_values_are_refused() {
    let rig = Rig::new();
    for rest in [
        "extra: 1\n",
        "gates: {admission: {}}\n",
        "gates: {pull: {mode: off}}\n",
        "gates: {pull: {require: [{sign: signature, by: nobody}]}}\n",
        "gates: {pull: {require: [{sign: everything, by: alice}]}}\n",
        "gates: {pull: {require: [{sign: signature, by: alice}, {sign: signature, by: bob}]}}\n",
        "groups: [{name: g, threshold: 0, keys: [alice]}]\n",
        "groups: [{name: g, threshold: 2, keys: [alice]}]\n",
        "groups: [{name: g, threshold: 2, keys: [alice, alice]}]\n",
        "groups: [{name: alice, threshold: 1, keys: [bob]}]\n",
        "groups: [{name: g, threshold: 1, keys: [dave]}]\n",
        "revocations: [{hint: x, reason: y, date: 2026-01-01}]\n",
        "    roles: [{sign: []}]\n",
        "    roles: [{sign: [signature], platforms: [linux/amd64]}]\n",
        "    roles: [{sign: [signature], formats: [pgp]}]\n",
        "    roles: [{sign: [signature], sequence: {from: 2, to: 1}}]\n",
        "    roles: [{sign: [signature], repositories: ['*']}]\n",
    ] {
        let text = format!("{}{rest}", rig.open.to_yaml());
        assert!(TrustFile::parse(&text).is_err(), "{rest}");
    }
    let revoked = format!("revocations: [{{hint: '{}', reason: r, date: 2026-02-30}}]\n", rig.hint("bob"));
    assert!(TrustFile::parse(&format!("{}{revoked}", rig.open.to_yaml())).is_err());
}

#[test]
fn a_whole_file_round_trips_and_matches_its_schema() {
    let rig = Rig::new();
    let rest = format!(
        "{TWO_OF_THREE}sequence: 3\nrevocations: [{{hint: '{}', reason: lost, date: 2026-01-31}}]\n",
        rig.hint("carol")
    );
    let roles = "    roles: [{sign: [spdx, 'https://x.example/y'], repositories: ['r.example/**'], formats: [bundle, envelope], sequence: {from: 1}}]\n";
    let trust = rig.trust(roles, &rest);
    assert_eq!(TrustFile::parse(&trust.to_yaml()).unwrap(), trust);
    let schema = json_schema();
    for member in ["apiVersion", "kind", "sequence", "keys", "groups", "revocations", "gates"] {
        assert!(schema["properties"][member].is_object(), "{member}");
    }
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn contradictions_are_found() {
    let rig = Rig::new();
    let contradictions = |roles: &str, rest: &str| {
        let found = rig.trust(roles, rest).findings();
        found.iter().filter(|finding| finding.severity == Severity::Contradiction).count()
    };
    assert_eq!(contradictions("", TWO_OF_THREE), 0);
    let revoked = |names: &[&str]| {
        let line = |name: &&str| format!("{{hint: '{}', reason: r, date: 2026-01-31}}", rig.hint(name));
        format!("revocations: [{}]\n", names.iter().map(line).collect::<Vec<_>>().join(", "))
    };
    // Both the group and the gate that requires it.
    assert_eq!(contradictions("", &format!("{TWO_OF_THREE}{}", revoked(&["alice", "bob"]))), 2);
    assert_eq!(contradictions("", &revoked(&NAMES)), 1);
    let provenance = "gates: {pull: {require: [{sign: slsaprovenance1, by: builder}]}}\n";
    assert_eq!(contradictions("    roles: [{sign: [signature]}]\n", provenance), 1);
    let drive = "groups: [{name: g, threshold: 2, keys: [alice, bob]}]\ngates: {import: {require: [{sign: driveManifest, by: g}]}}\n";
    assert_eq!(contradictions("", drive), 1);
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = TrustFile::parse(&text);
    }

    #[test]
    fn no_changed_rule_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let head = Rig::new().trust("    roles: [{sign: [signature]}]\n", TWO_OF_THREE).to_yaml();
        let mut bytes = head.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(trust) = TrustFile::parse(&text)
        {
            let _ = trust.findings();
        }
    }
}
