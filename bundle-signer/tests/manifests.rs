//! Roles, thresholds and revocations of a trust file apply to manifests of EKS Anywhere.

#[cfg(test)]
mod tests {
    use bundle_signer::eksa::{
        Coverage, Refusal, bundles_keys, cosign_bundle, package_keys, sign_bundle, verify_package_bundle,
    };
    use bundle_signer::trust::ContentKind;
    use bundle_signer::{Error, PrivateKey, TrustFile};

    const AWS: &[u8] = include_bytes!("data/v1-23-70.yaml");

    struct Rig {
        keys: [PrivateKey; 3],
    }

    impl Rig {
        fn new() -> Self {
            Self { keys: [(); 3].map(|()| PrivateKey::generate().unwrap()) }
        }

        /// Keys `a`, `b` and `c` with these roles, and more at the end.
        fn trust(&self, roles: [&str; 3], more: &str) -> TrustFile {
            let mut text = "apiVersion: airlock.dev/v1alpha1\nkind: Trust\nkeys:\n".to_owned();
            for ((name, key), roles) in ["a", "b", "c"].iter().zip(&self.keys).zip(roles) {
                let pem = key.public_key().unwrap().to_pem().replace('\n', "\n      ");
                text.push_str(&format!("  - name: {name}\n    publicKey: |\n      {pem}\n"));
                if !roles.is_empty() {
                    text.push_str(&format!("    {roles}\n"));
                }
            }
            TrustFile::parse(&format!("{text}{more}\n")).unwrap()
        }

        /// A bundle signed by these keys in turn.
        fn bundle(&self, by: &[usize]) -> String {
            let first =
                sign_bundle(AWS, Coverage::WithoutSource, &self.keys[by[0]]).unwrap().yaml().to_owned();
            by[1..].iter().fold(first, |yaml, at| {
                cosign_bundle(yaml.as_bytes(), &self.keys[*at]).unwrap().yaml().to_owned()
            })
        }
    }

    const SIGNS: &str = "roles: [{sign: [packageBundle]}]";

    fn refused(text: &str, trust: &TrustFile) -> String {
        match verify_package_bundle(text.as_bytes(), trust) {
            Err(Error::Eksa(Refusal::NotAccepted { reasons, .. })) => reasons,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a3_a_key_without_the_role_cannot_sign_package_bundles() {
        let rig = Rig::new();
        let bundle = rig.bundle(&[0]);
        for roles in [
            "",
            "roles: []",
            "roles: [{sign: [signature]}]",
            "roles: [{sign: [driveManifest, signature, bundles, release]}]",
            "roles: [{sign: [packageBundle], sequence: {from: 1}}]",
        ] {
            let reasons = refused(&bundle, &rig.trust([roles, SIGNS, SIGNS], ""));
            assert!(reasons.contains("`a` may not sign this: packageBundle"), "{roles}: {reasons}");
        }
        for roles in
            [SIGNS, "roles: [{sign: [anything]}]", "roles: [{sign: [signature]}, {sign: [packageBundle]}]"]
        {
            let manifest = verify_package_bundle(bundle.as_bytes(), &rig.trust([roles, "", ""], "")).unwrap();
            assert_eq!(manifest.by(), ["a"]);
        }
        // Each of AWS's keys is for one kind of manifest.
        let other = package_keys().unwrap().limited_to(&[ContentKind::Bundles, ContentKind::Release]);
        assert!(verify_package_bundle(AWS, &package_keys().unwrap()).is_ok());
        assert!(refused(std::str::from_utf8(AWS).unwrap(), &other).contains("may not sign"));
        assert!(verify_package_bundle(AWS, &bundles_keys().unwrap()).is_err());
    }

    #[test]
    fn a3_a_threshold_requires_as_many_signers() {
        let rig = Rig::new();
        for gate in ["mirror", "pack", "import", "push", "pull"] {
            for mode in ["enforce", "warn"] {
                let more = format!(
                    "groups: [{{name: team, threshold: 2, keys: [a, b, c]}}]\n\
                     gates: {{{gate}: {{mode: {mode}, require: [{{sign: packageBundle, by: team}}]}}}}"
                );
                let trust = rig.trust([SIGNS; 3], &more);
                let one = "1 of the 2 required signers of `team` signed";
                assert!(refused(&rig.bundle(&[0]), &trust).contains(one));
                // The same key again is the same signer.
                assert!(refused(&rig.bundle(&[0, 0]), &trust).contains(one));
                let both = rig.bundle(&[0, 1]);
                assert_eq!(verify_package_bundle(both.as_bytes(), &trust).unwrap().by(), ["a", "b"]);
                assert_eq!(
                    verify_package_bundle(rig.bundle(&[2, 1, 0]).as_bytes(), &trust).unwrap().by().len(),
                    3
                );
                // A key that may not sign does not count.
                let some = rig.trust([SIGNS, "roles: [{sign: [signature]}]", SIGNS], &more);
                assert!(refused(&both, &some).contains(one));
            }
        }
    }

    #[test]
    fn a3_a_key_and_its_successor_are_one_signer_and_a_revoked_key_does_not_count() {
        let rig = Rig::new();
        let group = "groups: [{name: team, threshold: 2, keys: [a, b]}]\n\
                     gates: {pull: {require: [{sign: packageBundle, by: team}]}}";
        let trust = rig.trust([SIGNS, SIGNS, &format!("replaces: a\n    {SIGNS}")], group);
        assert!(refused(&rig.bundle(&[0, 2]), &trust).contains("1 of the 2"));
        assert!(verify_package_bundle(rig.bundle(&[1, 2]).as_bytes(), &trust).is_ok());
        let hint = rig.keys[0].public_key().unwrap().hint();
        let revoked = trust.revoked(&hint, "lost", "2026-01-01").unwrap();
        let reasons = refused(&rig.bundle(&[0, 1]), &revoked);
        assert!(reasons.contains("`a` was revoked on 2026-01-01: lost"), "{reasons}");
        assert!(reasons.contains("1 of the 2"), "{reasons}");
    }

    #[test]
    fn a3_additional_signatures_change_nothing_for_upstream() {
        let rig = Rig::new();
        let (one, two) = (rig.bundle(&[0]), rig.bundle(&[0, 1]));
        let lines = |text: &str| -> Vec<String> {
            // Each signature is random.
            let lines = text.lines().filter(|line| !line.contains("/signature"));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(lines(&one), lines(&two));
        let first = rig.trust([SIGNS, "", ""], "");
        let verify =
            |text: &str| verify_package_bundle(text.as_bytes(), &first).unwrap().signed().get().sha256();
        assert_eq!(verify(&one), verify(&two));
        // With a new signature, it has only one again.
        let anew = sign_bundle(two.as_bytes(), Coverage::WithoutSource, &rig.keys[2]).unwrap();
        assert!(!anew.yaml().contains("airlock.dev/signatures"));
        // A signature that is not base64, and too many signatures.
        let broken = two.replace("airlock.dev/signatures: ", "airlock.dev/signatures: '!' # ");
        assert!(matches!(
            verify_package_bundle(broken.as_bytes(), &first),
            Err(Error::Eksa(Refusal::SignatureText(_)))
        ));
        let many = two
            .replace("airlock.dev/signatures: ", &format!("airlock.dev/signatures: {}", "AA== ".repeat(40)));
        assert!(matches!(
            verify_package_bundle(many.as_bytes(), &first),
            Err(Error::Eksa(Refusal::TooManySignatures(32)))
        ));
        assert!(cosign_bundle(&AWS.to_ascii_lowercase(), &rig.keys[0]).is_err());
    }
}
