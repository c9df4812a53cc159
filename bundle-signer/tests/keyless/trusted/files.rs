//! Trust files with identities, and what they require.

use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{Error, Evidence, PrivateKey, TrustFile};
use oci::Descriptor;
use serde_json::{Value, json};

use super::{NAME, Rig, WORKFLOW, exact, pattern};
use crate::fixtures::GITHUB_ACTIONS;

#[test]
fn r7_roles_groups_thresholds_and_revocations_apply_as_for_keys() {
    let rig = Rig::new();
    let (alice, bob) = ("alice@example.com", "bob@example.com");
    let pair = json!({ "groups": [{ "name": "pair", "threshold": 2, "keys": ["alice", "bob"] }],
        "gates": { "pull": { "require": [{ "sign": "signature", "by": "pair" }] } } });
    let trust = rig.trust(&[("alice", exact(alice)), ("bob", exact(bob))], &pair).unwrap();
    assert!(rig.decide(&trust, &[rig.by(alice), rig.by(bob)]).satisfied);
    assert!(!rig.decide(&trust, &[rig.by(alice), rig.by(alice)]).satisfied);
    // One person is one signer, even if two entries match.
    let team =
        json!({ "certificateIdentityRegexp": r".*@example\.com", "certificateOidcIssuer": GITHUB_ACTIONS });
    let both = rig.trust(&[("bob", team.clone()), ("alice", exact(alice))], &pair).unwrap();
    assert!(!rig.decide(&both, &[rig.by(alice), rig.by(alice)]).satisfied);
    assert!(rig.decide(&both, &[rig.by(alice), rig.by(bob)]).satisfied);
    assert!(
        both.findings().iter().any(|found| found.text.contains("`bob` also matches the signer of `alice`"))
    );
    // Two persons who match the same entry are also one signer.
    assert!(!rig.decide(&both, &[rig.by(bob), rig.by("carol@example.com")]).satisfied);

    // A key and an identity make a pair.
    let key = PrivateKey::generate().unwrap().public_key().unwrap().to_pem();
    let mixed = json!({ "keys": [{ "name": "bob", "publicKey": key }], "groups": pair["groups"],
        "gates": pair["gates"] });
    let mixed = rig.trust(&[("alice", exact(alice))], &mixed).unwrap();
    assert!(!rig.decide(&mixed, &[rig.by(alice)]).satisfied);

    let hint = trust.identities()[0].hint().to_owned();
    let revoked = trust.revoked(&hint, "account stolen", "2026-01-02").unwrap();
    assert_eq!(TrustFile::parse(&revoked.to_yaml()).unwrap(), revoked);
    assert!(
        matches!(rig.verify(&revoked, &rig.by(alice)), Err(Error::RevokedKey { key, .. }) if key == "alice")
    );
    rig.verify(&revoked, &rig.by(bob)).unwrap();
    assert!(revoked.findings().iter().any(|found| found.text.contains("only 1 are not revoked")));

    let mut who = exact(WORKFLOW);
    who["roles"] = json!([{ "sign": ["signature"], "repositories": ["registry.example/other/**"] }]);
    let elsewhere = rig.trust(&[("release", who.clone())], &json!({})).unwrap();
    let decision = rig.decide(&elsewhere, &[rig.bundle()]);
    assert!(decision.reasons[0].to_string().contains("may not sign this"), "{decision:?}");
    who["roles"] = json!([{ "sign": ["signature"], "formats": ["simpleSigning"] }]);
    let other = rig.trust(&[("release", who)], &json!({})).unwrap();
    assert!(!rig.decide(&other, &[rig.bundle()]).satisfied);
}

#[test]
fn r7_a_trust_file_with_identities_round_trips_and_half_an_identity_is_refused() {
    let rig = Rig::new();
    let mut replacing = pattern(r"https://github\.com/team/.*");
    replacing["replaces"] = json!("release");
    let trust = rig.trust(&[("release", exact(WORKFLOW)), ("next", replacing)], &json!({})).unwrap();
    let text = trust.to_yaml();
    assert_eq!(TrustFile::parse(&text).unwrap(), trust, "{text}");
    let pretty: Value = serde_json::from_str(&rig.authority.root()).unwrap();
    for root in [format!("{pretty:#}\n"), format!("{pretty:#}"), format!(" {pretty}\n\n")] {
        let mut who = exact(WORKFLOW);
        who["trustedRoot"] = json!(root);
        let trust = rig.trust(&[("release", who)], &json!({})).unwrap();
        assert_eq!(TrustFile::parse(&trust.to_yaml()).unwrap(), trust, "{}", trust.to_yaml());
    }
    let refused = |who: Value| rig.trust(&[("release", who)], &json!({})).unwrap_err();
    let without = |member: &str| {
        let mut who = exact(WORKFLOW);
        who.as_object_mut().unwrap().remove(member);
        refused(who)
    };
    assert!(matches!(without("certificateIdentity"), Error::TrustIdentityText { .. }));
    assert!(matches!(without("certificateOidcIssuer"), Error::TrustIdentityText { .. }));
    let with = |member: &str, value: Value| {
        let mut who = exact(WORKFLOW);
        who[member] = value;
        refused(who)
    };
    assert!(matches!(with("certificateIdentityRegexp", json!(".*")), Error::TrustIdentityText { .. }));
    assert!(matches!(with("certificateIdentity", json!("")), Error::TrustIdentity { .. }));
    assert!(matches!(with("trustedRoot", json!("{}")), Error::TrustIdentity { .. }));
    assert!(matches!(with("trustedRoot", json!("root.json")), Error::TrustRootFile { .. }));
    assert!(matches!(with("roles", json!([])), Error::TrustMember { .. }));
    for what in ["driveManifest", "packageBundle", "bundles", "release", "anything"] {
        let error = with("roles", json!([{ "sign": [what] }]));
        assert!(error.to_string().contains("signed by keys"), "{what}: {error}");
    }
    assert!(matches!(with("certificateIdentityRegexpp", json!("x")), Error::Trust(_)));
    let twice = rig.trust(&[("a", exact(WORKFLOW)), ("b", exact(WORKFLOW))], &json!({}));
    assert!(matches!(twice, Err(Error::TrustTwice(_))));
    let bad = json!({ "certificateIdentityRegexp": "(", "certificateOidcIssuer": GITHUB_ACTIONS });
    assert!(matches!(rig.trust(&[("a", bad)], &json!({})), Err(Error::TrustIdentity { .. })));
}

#[test]
fn r7_a_root_may_be_given_by_a_path_relative_to_the_file() {
    let rig = Rig::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.json"), rig.authority.root()).unwrap();
    let mut identity = exact(WORKFLOW);
    identity["name"] = json!("release");
    identity["trustedRoot"] = json!("root.json");
    identity["roles"] = json!([{ "sign": ["signature"] }]);
    let text = json!({ "apiVersion": "airlock.dev/v1alpha1", "kind": "Trust", "identities": [identity] })
        .to_string();
    let trust = TrustFile::parse_in(&text, folder.path()).unwrap();
    rig.verify(&trust, &rig.bundle()).unwrap();
    assert!(matches!(TrustFile::parse(&text), Err(Error::TrustRootFile { .. })));
    let elsewhere = TrustFile::parse_in(&text, &folder.path().join("none"));
    assert!(matches!(elsewhere, Err(Error::TrustRootFile { .. })));
    // Serialized, it is self-contained.
    assert_eq!(TrustFile::parse(&trust.to_yaml()).unwrap(), trust);
}

#[test]
fn r7_patterns_that_match_more_than_they_seem_to_are_reported() {
    let rig = Rig::new();
    let issuers = json!({ "certificateIdentity": WORKFLOW, "certificateOidcIssuerRegexp": ".*" });
    let trust = rig.trust(
        &[("all", pattern(".*")), ("loose", pattern("https://github.com/team/.*")), ("any", issuers)],
        &json!({}),
    );
    let findings: Vec<String> = trust.unwrap().findings().into_iter().map(|found| found.text).collect();
    let has = |part: &str| assert!(findings.iter().any(|text| text.contains(part)), "{part}: {findings:#?}");
    has("`all` accepts any subject");
    has("`any` accepts any issuer");
    has("`b.c`");
    let strict = rig.trust(&[("strict", pattern(r"https://github\.com/team/.*"))], &json!({})).unwrap();
    assert_eq!(strict.findings(), []);
}

#[test]
fn r7_a_certificate_without_an_identity_for_it_is_named_and_a_drive_requires_a_key() {
    let rig = Rig::new();
    let key = PrivateKey::generate().unwrap().public_key().unwrap();
    let keys = TrustFile::new(vec![("release".to_owned(), key)]).unwrap();
    assert!(matches!(rig.verify(&keys, &rig.bundle()), Err(Error::BundleCertificate)));
    let (layer, payload) = rig.authority.sign_layer(rig.signer(), &rig.image, NAME);
    let layer: Descriptor = serde_json::from_value(layer).unwrap();
    let refused = rig.verify_as(&keys, &Evidence::Certified(&layer, &payload), COSIGN_SIGN);
    assert!(matches!(refused, Err(Error::BundleCertificate)));
    let drive =
        bundle_signer::verify_blob(&rig.own(), b"manifest".to_vec(), rig.bundle().to_string().as_bytes());
    assert!(matches!(drive, Err(Error::DriveCertificate)));
}
