//! Verification by a `TrustPolicy` with identities, as in the webhook: by the trust file that the policy contains.

#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../bundle-signer/tests/keyless/authority.rs"]
mod authority;

#[cfg(test)]
mod tests {
    use admission::policy::trust_file;
    use bundle_signer::{
        Claims, Decision, Evidence, Expectation, Format, Gate, ImageName, Limits, LogRule, NameRule,
        TrustFile, verify_image,
    };
    use oci::Digest;
    use package_api::TrustPolicySpec;
    use serde_json::{Value, json};

    use super::authority::{Authority, Signer, statement};

    const WORKFLOW: &str = "https://github.com/team/app/.github/workflows/release.yml@refs/tags/v1";
    const ISSUER: &str = "https://token.actions.githubusercontent.com";
    const NAME: &str = "registry.example/team/app";
    const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

    /// The spec as `kubectl apply` sends it.
    fn policy(identities: &Value, more: &Value) -> TrustPolicySpec {
        let mut trust = json!({ "identities": identities });
        for (member, value) in more.as_object().unwrap() {
            trust[member] = value.clone();
        }
        let require = json!([{ "sign": "slsaprovenance1", "by": "build" }]);
        serde_json::from_value(json!({ "trust": trust, "require": require })).unwrap()
    }

    fn build(authority: &Authority) -> Value {
        json!([{ "name": "build", "certificateIdentityRegexp": r"https://github\.com/team/app/.*",
            "certificateOidcIssuer": ISSUER, "trustedRoot": authority.root(),
            "roles": [{ "sign": ["slsaprovenance1"], "repositories": ["registry.example/team/**"] }] }])
    }

    fn decide(trust: &TrustFile, image: &Digest, bundle: &Value) -> Result<Decision, String> {
        let name: ImageName = NAME.parse().unwrap();
        let expected = Expectation {
            digest: image,
            name: &name,
            name_rule: NameRule::Required,
            predicate_type: PROVENANCE,
            formats: &[Format::SimpleSigning, Format::Envelope, Format::Bundle],
            keys: trust,
            role: &|_| true,
            log: LogRule::Ignored,
            limits: Limits::default(),
        };
        let verified = verify_image(&Evidence::Bundle(bundle.to_string().as_bytes()), &expected);
        let mut claims = Claims::image(image, &name, PROVENANCE);
        claims.add(&verified.map_err(|error| error.to_string())?);
        Ok(trust.decide(Gate::Pull, &claims))
    }

    #[test]
    fn r7_a_policy_accepts_only_attestations_of_its_identity_under_its_trusted_root() {
        let (authority, image) = (Authority::new(), Digest::sha256(b"image"));
        let trust = trust_file(&policy(&build(&authority), &json!({}))).unwrap();
        let attested = statement(&image, Some(NAME), PROVENANCE);
        let signer = Signer::new(WORKFLOW, ISSUER);
        let decision = decide(&trust, &image, &authority.sign(signer, &attested)).unwrap();
        assert!(decision.satisfied && decision.by == ["build"], "{decision:?}");
        assert!(decide(&trust, &image, &Authority::new().sign(signer, &attested)).is_err());
        let mallory = Signer::new("https://evil.example/https://github.com/team/app/x", ISSUER);
        assert!(decide(&trust, &image, &authority.sign(mallory, &attested)).is_err());
        let other = statement(&Digest::sha256(b"other"), Some(NAME), PROVENANCE);
        assert!(decide(&trust, &image, &authority.sign(signer, &other)).is_err());
        let revoked = json!({ "revocations": [{ "hint": trust.identities()[0].hint(), "reason": "stolen",
            "date": "2026-01-02" }] });
        let revoked = trust_file(&policy(&build(&authority), &revoked)).unwrap();
        let refused = decide(&revoked, &image, &authority.sign(signer, &attested)).unwrap_err();
        assert!(refused.contains("was revoked on 2026-01-02"), "{refused}");
    }

    #[test]
    fn r7_a_policy_without_a_signer_or_with_a_path_as_trusted_root_is_rejected() {
        let mut at_a_path = build(&Authority::new());
        at_a_path[0]["trustedRoot"] = json!("root.json");
        for identities in [json!([]), at_a_path] {
            assert!(trust_file(&policy(&identities, &json!({}))).is_err(), "{identities}");
        }
    }
}
