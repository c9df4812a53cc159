//! Identities in trust files: which signatures count, and which must not count.

mod files;

use bundle_signer::keyless::{Error as Keyless, TrustedRoot};
use bundle_signer::statement::{COSIGN_SIGN, SLSA_PROVENANCE};
use bundle_signer::{
    Attested, Claims, Decision, Error, Evidence, Expectation, Format, Gate, ImageName, Limits, LogRule,
    NameRule, Result, TrustFile, Verified, verify_image,
};
use oci::{Descriptor, Digest};
use serde_json::{Value, json};

use crate::authority::{Authority, Signer, THEN, statement};
use crate::fixtures::{GITHUB_ACTIONS, STATEMENT_V1, read};

const WORKFLOW: &str = "https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1";
const NAME: &str = "registry.example/team/app";
const FORMATS: [Format; 3] = [Format::SimpleSigning, Format::Envelope, Format::Bundle];

struct Rig {
    authority: Authority,
    image: Digest,
}

impl Rig {
    fn new() -> Self {
        Self { authority: Authority::new(), image: Digest::sha256(b"image") }
    }

    /// A trust file with identities, each given by its name and the fields for its signer, and more fields.
    fn trust(&self, identities: &[(&str, Value)], more: &Value) -> Result<TrustFile> {
        let identities: Vec<Value> = identities
            .iter()
            .map(|(name, who)| {
                let mut identity = json!({ "name": name, "trustedRoot": self.authority.root(),
                    "roles": [{ "sign": ["signature", "slsaprovenance1"] }] });
                for (member, value) in who.as_object().unwrap() {
                    identity[member] = value.clone();
                }
                identity
            })
            .collect();
        let mut file =
            json!({ "apiVersion": "airlock.dev/v1alpha1", "kind": "Trust", "identities": identities });
        for (member, value) in more.as_object().unwrap() {
            file[member] = value.clone();
        }
        TrustFile::parse(&file.to_string())
    }

    /// A trust file that accepts the workflow.
    fn own(&self) -> TrustFile {
        self.trust(&[("release", exact(WORKFLOW))], &json!({})).unwrap()
    }

    fn signer(&self) -> Signer<'static> {
        Signer::new(WORKFLOW, GITHUB_ACTIONS)
    }

    fn bundle(&self) -> Value {
        self.authority.sign(self.signer(), &statement(&self.image, Some(NAME), COSIGN_SIGN))
    }

    fn by(&self, subject: &str) -> Value {
        let signer = Signer::new(subject, GITHUB_ACTIONS);
        self.authority.sign(signer, &statement(&self.image, Some(NAME), COSIGN_SIGN))
    }

    fn verify(&self, trust: &TrustFile, bundle: &Value) -> Result<Verified<Attested>> {
        self.verify_as(trust, &Evidence::Bundle(bundle.to_string().as_bytes()), COSIGN_SIGN)
    }

    fn verify_as(
        &self,
        trust: &TrustFile,
        evidence: &Evidence<'_>,
        kind: &str,
    ) -> Result<Verified<Attested>> {
        let name: ImageName = NAME.parse().unwrap();
        let expected = Expectation {
            digest: &self.image,
            name: &name,
            name_rule: NameRule::Required,
            predicate_type: kind,
            formats: &FORMATS,
            keys: trust,
            role: &|_| true,
            log: LogRule::Ignored,
            limits: Limits::default(),
        };
        verify_image(evidence, &expected)
    }

    fn decide(&self, trust: &TrustFile, bundles: &[Value]) -> Decision {
        let mut claims = Claims::image(&self.image, &NAME.parse().unwrap(), COSIGN_SIGN);
        for bundle in bundles {
            claims.add(&self.verify(trust, bundle).unwrap());
        }
        trust.decide(Gate::Pull, &claims)
    }

    /// The error for a bundle that does not count.
    fn refusal(&self, trust: &TrustFile, bundle: &Value) -> Keyless {
        match self.verify(trust, bundle) {
            Err(Error::Keyless(error)) => *error,
            other => panic!("{other:?}"),
        }
    }
}

fn exact(subject: &str) -> Value {
    json!({ "certificateIdentity": subject, "certificateOidcIssuer": GITHUB_ACTIONS })
}

fn pattern(subject: &str) -> Value {
    json!({ "certificateIdentityRegexp": subject, "certificateOidcIssuer": GITHUB_ACTIONS })
}

#[test]
fn r7_an_identity_counts_by_bundle_and_by_layer_and_its_proof_is_reported() {
    let rig = Rig::new();
    let trust = rig.own();
    let verified = rig.verify(&trust, &rig.bundle()).unwrap();
    assert_eq!((verified.signer().name(), verified.get().format()), ("release", Format::Bundle));
    let certified = verified.get().certified().unwrap();
    assert_eq!((certified.subject(), certified.issuer()), (WORKFLOW, GITHUB_ACTIONS));
    assert_eq!(certified.times()[0].time.unix(), THEN + 1);
    let root = TrustedRoot::from_json(rig.authority.root().as_bytes()).unwrap();
    assert_eq!(certified.trusted_root(), root.digest());
    assert!(rig.decide(&trust, &[rig.bundle()]).satisfied);

    let (layer, payload) = rig.authority.sign_layer(rig.signer(), &rig.image, NAME);
    let layer: Descriptor = serde_json::from_value(layer).unwrap();
    let evidence = Evidence::Certified(&layer, &payload);
    let verified = rig.verify_as(&trust, &evidence, COSIGN_SIGN).unwrap();
    assert_eq!(verified.get().format(), Format::SimpleSigning);
    let renamed = rig.authority.sign_layer(rig.signer(), &rig.image, "registry.example/other");
    let layer: Descriptor = serde_json::from_value(renamed.0).unwrap();
    let refused = rig.verify_as(&trust, &Evidence::Certified(&layer, &renamed.1), COSIGN_SIGN);
    assert!(matches!(refused, Err(Error::OtherName { .. })));
    // Under another root, the same signature does not count.
    let elsewhere = Rig { authority: Authority::new(), image: rig.image.clone() };
    let refused = elsewhere.refusal(&elsewhere.own(), &rig.bundle());
    assert!(matches!(refused, Keyless::LogEntry(_)), "{refused:?}");
}

#[test]
fn r7_no_other_subject_and_no_other_issuer_matches_the_identity() {
    let rig = Rig::new();
    let trust = rig.own();
    let patterns =
        rig.trust(&[("release", pattern(r"https://github\.com/team/[^/]+/\.github/.*"))], &json!({}));
    let patterns = patterns.unwrap();
    for subject in [
        "https://evil.example/https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1",
        "https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1x\n",
        "https://github.com/team",
        "https://github.com.evil.example/team/app/.github/a.yml@refs/tags/v1",
        "https://githubXcom/team/app/.github/a.yml@refs/tags/v1",
        "https://github.com/teammate/app/.github/a.yml@refs/tags/v1",
        "HTTPS://GITHUB.COM/team/app/.github/workflows/release.yml@refs/tags/v1",
        "mallory@example.com",
    ] {
        for trust in [&trust, &patterns] {
            let refused = rig.refusal(trust, &rig.by(subject));
            assert!(matches!(refused, Keyless::Subject { .. }), "{subject:?}: {refused:?}");
        }
    }
    let near = format!("{WORKFLOW}.evil");
    assert!(matches!(rig.refusal(&trust, &rig.by(&near)), Keyless::Subject { .. }));
    rig.verify(&patterns, &rig.bundle()).unwrap();
    for issuer in ["https://accounts.example", "https://token.actions.githubusercontent.com.evil", ""] {
        let signer = Signer::new(WORKFLOW, issuer);
        let bundle = rig.authority.sign(signer, &statement(&rig.image, Some(NAME), COSIGN_SIGN));
        let refused = rig.refusal(&trust, &bundle);
        assert!(matches!(refused, Keyless::Issuer { .. } | Keyless::NoIssuer), "{issuer}: {refused:?}");
    }
    // With several identities, the error names the signer.
    let two = rig.trust(&[("a", exact("a@example.com")), ("b", exact("b@example.com"))], &json!({})).unwrap();
    assert!(
        matches!(rig.refusal(&two, &rig.bundle()), Keyless::UnknownIdentity { subject, .. } if subject == WORKFLOW)
    );
}

#[test]
fn r7_the_certificate_is_checked_at_the_logged_time_and_never_at_the_current_time() {
    let rig = Rig::new();
    let trust = rig.own();
    let at = |logged| {
        let signer = Signer { logged, ..rig.signer() };
        rig.authority.sign(signer, &statement(&rig.image, Some(NAME), COSIGN_SIGN))
    };
    // It expired long ago, which does not matter.
    rig.verify(&trust, &at(THEN + 600)).unwrap();
    for logged in [THEN + 601, THEN - 1, 1] {
        let refused = rig.refusal(&trust, &at(logged));
        assert!(matches!(refused, Keyless::Certificate(_) | Keyless::LogEntry(_)), "{logged}: {refused:?}");
    }
    // A time in the future is refused, whatever the certificate's validity.
    let future = 32_503_680_000;
    let signer = Signer { logged: future, from: future, ..rig.signer() };
    let bundle = rig.authority.sign(signer, &statement(&rig.image, Some(NAME), COSIGN_SIGN));
    rig.refusal(&trust, &bundle);
    // The log signs the time: a missing or changed time does not count.
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bundle = rig.bundle();
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
        rig.refusal(&trust, &bundle)
    };
    let _ = changed(&|entry| entry["integratedTime"] = json!((THEN + 2).to_string()));
    let _ = changed(&|entry| drop(entry.as_object_mut().unwrap().remove("inclusionPromise")));
    let _ = changed(&|entry| drop(entry.as_object_mut().unwrap().remove("integratedTime")));
}

#[test]
fn r7_a_bundle_without_its_proof_its_log_or_its_certificate_log_does_not_count() {
    let rig = Rig::new();
    let trust = rig.own();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut bundle = rig.bundle();
        change(&mut bundle);
        rig.verify(&trust, &bundle).unwrap_err()
    };
    let entry = |bundle: &mut Value, change: &dyn Fn(&mut Value)| {
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
    };
    let refused = [
        changed(&|bundle| {
            entry(bundle, &|entry| drop(entry.as_object_mut().unwrap().remove("inclusionProof")));
        }),
        changed(&|bundle| entry(bundle, &|entry| entry["inclusionProof"]["checkpoint"] = json!({}))),
        changed(&|bundle| {
            entry(bundle, &|entry| entry["inclusionProof"]["rootHash"] = json!(THEN.to_string()));
        }),
        changed(&|bundle| entry(bundle, &|entry| entry["canonicalizedBody"] = json!("e30="))),
        changed(&|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([])),
        changed(&|bundle| bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!("MAA=")),
    ];
    for error in &refused {
        assert!(matches!(error, Error::Keyless(_)), "{error:?}");
    }
    // An older version of the format would need no proof.
    let old = "application/vnd.dev.sigstore.bundle+json;version=0.1";
    let refused = changed(&|bundle| bundle["mediaType"] = json!(old));
    assert!(matches!(refused, Error::BundleVersion(_)), "{refused:?}");
    let secret = Signer { public: false, ..rig.signer() };
    let secret = rig.authority.sign(secret, &statement(&rig.image, Some(NAME), COSIGN_SIGN));
    let refused = rig.refusal(&trust, &secret);
    assert!(matches!(refused, Keyless::Certificate(_)), "{refused:?}");
    // Logs of another instance.
    let root = |change: &dyn Fn(&mut Value)| {
        let mut root: Value = serde_json::from_str(&rig.authority.root()).unwrap();
        change(&mut root);
        let mut who = exact(WORKFLOW);
        who["trustedRoot"] = json!(root.to_string());
        rig.refusal(&rig.trust(&[("release", who)], &json!({})).unwrap(), &rig.bundle())
    };
    let other: Value = serde_json::from_str(&Authority::new().root()).unwrap();
    let refused = root(&|root| root["ctlogs"] = other["ctlogs"].clone());
    assert!(matches!(refused, Keyless::Certificate(_)), "{refused:?}");
    let refused = root(&|root| root["tlogs"] = other["tlogs"].clone());
    assert!(matches!(refused, Keyless::LogEntry(_)), "{refused:?}");
    let refused = root(&|root| root["certificateAuthorities"] = other["certificateAuthorities"].clone());
    assert!(matches!(refused, Keyless::Certificate(_)), "{refused:?}");
}

#[test]
fn r7_a_statement_counts_only_for_its_subject_name_and_type() {
    let rig = Rig::new();
    let trust = rig.own();
    let other = Digest::sha256(b"other");
    let of = |statement: &Value| rig.authority.sign(rig.signer(), statement);
    let refused = rig.refusal(&trust, &of(&statement(&other, Some(NAME), COSIGN_SIGN)));
    assert!(matches!(refused, Keyless::OtherArtifact(_)), "{refused:?}");
    let refused = rig.verify(&trust, &of(&statement(&rig.image, Some("registry.example/x"), COSIGN_SIGN)));
    assert!(matches!(refused, Err(Error::OtherName { .. })));
    let refused = rig.verify(&trust, &of(&statement(&rig.image, None, COSIGN_SIGN)));
    assert!(matches!(refused, Err(Error::NameMissing)));
    // As GitHub attests: provenance is not a signature, and a signature is not provenance.
    let provenance = of(&statement(&rig.image, Some(NAME), SLSA_PROVENANCE));
    assert!(matches!(rig.verify(&trust, &provenance), Err(Error::PredicateType { .. })));
    let text = provenance.to_string();
    let evidence = Evidence::Bundle(text.as_bytes());
    rig.verify_as(&trust, &evidence, SLSA_PROVENANCE).unwrap();
    let text = rig.bundle().to_string();
    let refused = rig.verify_as(&trust, &Evidence::Bundle(text.as_bytes()), SLSA_PROVENANCE);
    assert!(matches!(refused, Err(Error::PredicateType { .. })));
    // Not a statement at all.
    let refused =
        rig.verify(&trust, &of(&json!({ "subject": [{ "digest": { "sha256": rig.image.hex() } }] })));
    assert!(refused.is_err());
}

#[test]
fn r7_real_signatures_count_under_the_built_in_root() {
    let file = |subject: &str, issuer: &str, kind: &str| {
        let json = json!({ "apiVersion": "airlock.dev/v1alpha1", "kind": "Trust", "identities": [{
            "name": "upstream", "certificateIdentity": subject, "certificateOidcIssuer": issuer,
            "trustedRoot": TrustedRoot::embedded_json(), "roles": [{ "sign": [kind] }] }] });
        TrustFile::parse(&json.to_string()).unwrap()
    };
    // A build's attestation: its subject is a file, whose name is not an image name; all earlier checks succeed.
    let conda = read("signed-package-2.1.0-hb0f4dca_0.conda");
    let rig = Rig { authority: Authority::new(), image: Digest::sha256(&conda) };
    let bundle: Value = serde_json::from_slice(&read(STATEMENT_V1.bundle)).unwrap();
    let text = bundle.to_string();
    let kind = "https://schemas.conda.org/attestations-publish-1.schema.json";
    let trust = file(STATEMENT_V1.subject, STATEMENT_V1.issuer, kind);
    let outcome = rig.verify_as(&trust, &Evidence::Bundle(text.as_bytes()), kind);
    assert!(
        matches!(&outcome, Err(Error::OtherName { found, .. }) if found.contains("hb0f4dca_0.conda")),
        "{outcome:?}"
    );
    let stranger = file("https://github.com/mallory/x", STATEMENT_V1.issuer, kind);
    let refused = rig.verify_as(&stranger, &Evidence::Bundle(text.as_bytes()), kind);
    assert!(matches!(refused, Err(Error::Keyless(error)) if error.is_identity_mismatch()));
    // An image that cosign 2 signed.
    let payload = read("cosign2-image.payload.json");
    let layer: Descriptor = serde_json::from_slice(&read("cosign2-image.layer.json")).unwrap();
    let said: Value = serde_json::from_slice(&payload).unwrap();
    let image = said["critical"]["image"]["docker-manifest-digest"].as_str().unwrap().parse().unwrap();
    let name: ImageName = said["critical"]["identity"]["docker-reference"].as_str().unwrap().parse().unwrap();
    let identity = json!({ "name": "upstream", "certificateIdentityRegexp": r".*@gmail\.com",
        "certificateOidcIssuer": "https://github.com/login/oauth", "trustedRoot": TrustedRoot::embedded_json(),
        "roles": [{ "sign": ["signature"] }] });
    let json = json!({ "apiVersion": "airlock.dev/v1alpha1", "kind": "Trust", "identities": [identity] });
    let trust = TrustFile::parse(&json.to_string()).unwrap();
    let expected = Expectation {
        digest: &image,
        name: &name,
        name_rule: NameRule::Required,
        predicate_type: COSIGN_SIGN,
        formats: &FORMATS,
        keys: &trust,
        role: &|_| true,
        log: LogRule::Ignored,
        limits: Limits::default(),
    };
    let verified = verify_image(&Evidence::Certified(&layer, &payload), &expected).unwrap();
    assert!(verified.get().certified().is_some());
    let logs = LogRule::Required(&[]);
    let refused =
        verify_image(&Evidence::Certified(&layer, &payload), &Expectation { log: logs, ..expected });
    assert!(matches!(refused, Err(Error::NotLogged)));
}
