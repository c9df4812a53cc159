//! Provenance files of Helm charts, signed by GnuPG 2.2, and attacks on them. `data/openpgp/make` created the files.

#[cfg(test)]
mod tests {
    use bundle_signer::openpgp::{Defect, Keyring, SignedBy};
    use bundle_signer::provenance::{ProvenanceError, verify};
    use oci::Digest;
    use proptest::prelude::*;

    /// 3 January 2026: the keys were created on 1 January, the signatures on 2 January.
    const NOW: u64 = 1_767_398_400;
    const YEAR: u64 = 365 * 86_400;
    const FILE: &str = "hello-0.1.0.tgz";

    fn data(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/openpgp/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn text(name: &str) -> String {
        String::from_utf8(data(name)).unwrap()
    }

    fn chart() -> Digest {
        Digest::sha256(b"a chart")
    }

    fn check(provenance: &[u8], keyring: &[u8]) -> Result<SignedBy, ProvenanceError> {
        verify(provenance, keyring, FILE, &chart(), NOW)
    }

    fn refused(provenance: &[u8], keyring: &[u8]) -> Defect {
        match check(provenance, keyring) {
            Err(ProvenanceError::Signature(defect) | ProvenanceError::Keyring(defect)) => defect,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn d17_signatures_of_gnupg_are_accepted_with_a_keyring_that_has_the_key() {
        for (name, keyring, user) in [
            ("rsa", "rsa.asc", "RSA Signer <rsa@example.org>"),
            ("rsa", "rsa.gpg", "RSA Signer <rsa@example.org>"),
            ("rsa-sha256", "rsa.asc", "RSA Signer <rsa@example.org>"),
            ("ed", "ed.asc", "Ed Signer <edwin@example.org>"),
            ("ed-sha384", "ed.asc", "Ed Signer <edwin@example.org>"),
            ("short", "short.asc", "Short Signer <short@example.org>"),
            ("sub", "sub.asc", "Sub Signer <sub@example.org>"),
        ] {
            let signed_by = check(&data(&format!("{name}.prov")), &data(keyring)).unwrap();
            assert_eq!((signed_by.user.as_str(), signed_by.fingerprint.len()), (user, 40), "{name}");
        }
        // Line endings are not signed.
        let windows = text("rsa.prov").replace('\n', "\r\n");
        assert!(check(windows.as_bytes(), &data("rsa.asc")).is_ok());
        // Several keys in one keyring, in one block or in several.
        let all = [data("ed.asc"), data("other.asc"), data("rsa.asc")].concat();
        assert!(check(&data("rsa.prov"), &all).is_ok());
    }

    #[test]
    fn d17_a_provenance_by_another_key_is_refused() {
        let defect = refused(&data("other.prov"), &data("rsa.asc"));
        assert!(matches!(&defect, Defect::UnknownKey(key) if key.len() == 16) && defect.hint().is_some());
        assert!(matches!(refused(&data("rsa.prov"), &data("ed.asc")), Defect::UnknownKey(_)));
        // The name of the right key on a signature by another one.
        let (right, wrong) = (text("rsa.prov"), text("rsa-sha256.prov"));
        let (head, _) = right.split_once("-----BEGIN PGP SIGNATURE").unwrap();
        let (_, signature) = wrong.split_once("-----BEGIN PGP SIGNATURE").unwrap();
        let mixed = format!("{}-----BEGIN PGP SIGNATURE{signature}", head.replace("hello", "other"));
        assert!(matches!(refused(mixed.as_bytes(), &data("rsa.asc")), Defect::Wrong(_)));
    }

    #[test]
    fn d17_a_changed_chart_a_changed_text_and_another_files_line_are_refused() {
        let (provenance, keyring) = (data("ed.prov"), data("ed.asc"));
        let other = verify(&provenance, &keyring, FILE, &Digest::sha256(b"another chart"), NOW);
        assert!(matches!(other, Err(ProvenanceError::OtherDigest { .. })));
        let other = verify(&provenance, &keyring, "hello-0.2.0.tgz", &chart(), NOW).unwrap_err();
        assert!(
            matches!(&other, ProvenanceError::OtherFile { found, .. } if *found == [format!("`{FILE}`")]),
            "{other}"
        );
        let text = text("ed.prov");
        for (from, to) in [
            ("version: 0.1.0", "version: 0.2.0"),
            ("A chart for tests", "A chart for  tests"),
            (FILE, "hello-9.9.9.tgz"),
            ("sha256:a8", "sha256:a9"),
            ("- - a list", "- - b list"),
            ("name: hello\n", "name: hello\n\n"),
        ] {
            assert!(text.contains(from), "{from}");
            let changed = text.replacen(from, to, 1);
            assert!(matches!(refused(changed.as_bytes(), &keyring), Defect::Wrong(_)), "{to}");
        }
    }

    #[test]
    fn d17_unsigned_text_is_never_read() {
        let (text, keyring) = (text("ed.prov"), data("ed.asc"));
        let more = "\n...\nfiles:\n  hello-0.1.0.tgz: sha256:00\n";
        for changed in [
            format!("{more}{text}"),
            format!("{text}{more}"),
            text.replacen("MESSAGE-----\n", "MESSAGE-----\nFiles: x\n", 1),
            text.replacen("\n- - a list", "\n- a list\n-----BEGIN X", 1),
            format!("{text}{text}"),
            text.replacen("-----BEGIN PGP SIGNED MESSAGE-----\n", "", 1),
            text.split_once("-----BEGIN PGP SIGNATURE").unwrap().0.to_owned(),
        ] {
            assert!(check(changed.as_bytes(), &keyring).is_err(), "{changed}");
        }
        // Trailing blanks of lines are not signed, and are not read either.
        let blanks = text.replacen("name: hello\n", "name: hello \t\n", 1);
        assert!(check(blanks.as_bytes(), &keyring).is_ok());
    }

    #[test]
    fn d17_keys_that_are_revoked_expired_or_not_for_signing_are_refused() {
        let reason = |provenance: &str, keyring: &[u8], now| {
            let outcome = verify(&data(provenance), keyring, FILE, &chart(), now);
            match outcome.unwrap_err() {
                ProvenanceError::Signature(Defect::Key { reason, .. }) => reason,
                ProvenanceError::Signature(Defect::Expired(_)) => "the signature has expired",
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(reason("revoked.prov", &data("revoked.asc"), NOW), "it is revoked");
        assert_eq!(reason("short.prov", &data("short.asc"), NOW + YEAR), "it has expired");
        assert_eq!(reason("ends.prov", &data("ed.asc"), NOW), "the signature has expired");
        // Before it was signed.
        let early = verify(&data("ed.prov"), &data("ed.asc"), FILE, &chart(), NOW - 2 * 86_400);
        assert!(matches!(early, Err(ProvenanceError::Signature(_))));
    }

    #[test]
    fn d17_each_signature_by_a_known_key_must_be_valid_and_unknown_keys_do_not_count() {
        let both = [data("rsa.asc"), data("ed.asc")].concat();
        assert!(check(&data("two.prov"), &both).is_ok());
        for one in ["rsa.asc", "ed.asc"] {
            assert!(check(&data("two.prov"), &data(one)).is_ok(), "{one}");
        }
        assert!(matches!(refused(&data("two.prov"), &data("other.asc")), Defect::UnknownKey(_)));
        // Another signature does not make up for a wrong one.
        let changed = text("two.prov").replacen("0.1.0", "0.1.1", 1);
        assert!(matches!(refused(changed.as_bytes(), &both), Defect::Wrong(_)));
    }

    #[test]
    fn d17_unsupported_features_are_refused_by_name() {
        let named = |defect: &Defect, word: &str| assert!(defect.to_string().contains(word), "{defect}");
        named(&refused(&data("weak.prov"), &data("rsa.asc")), "SHA-1");
        let defect = refused(&data("rsa.prov"), &data("pubring.kbx"));
        named(&defect, "keybox");
        assert!(defect.hint().unwrap().contains("gpg --export"));
        let secret = text("ed.asc").replace("PUBLIC KEY", "PRIVATE KEY");
        named(&refused(&data("ed.prov"), secret.as_bytes()), "secret");
        named(&refused(&data("ed.prov"), b""), "no public key");
        // The first packet of a keyring with another version.
        let mut key = data("rsa.gpg");
        for version in [3, 5, 6] {
            key[3] = version;
            named(&refused(&data("rsa.prov"), &key), &format!("version {version}"));
        }
    }

    /// Splits a binary keyring into its packets.
    fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut all = Vec::new();
        while let [first, rest @ ..] = bytes {
            let (head, length) = match first & 3 {
                0 => (2, usize::from(rest[0])),
                1 => (3, usize::from(rest[0]) << 8 | usize::from(rest[1])),
                _ => panic!("GnuPG writes no larger packets here"),
            };
            let (packet, rest) = bytes.split_at(head + length);
            all.push(packet);
            bytes = rest;
        }
        all
    }

    #[test]
    fn d17_a_key_without_a_valid_self_signature_does_not_count() {
        let key = data("rsa.gpg");
        let parts = packets(&key);
        assert_eq!(parts.len(), 3, "key, user and signature");
        let without = [parts[0], parts[1]].concat();
        assert!(matches!(refused(&data("rsa.prov"), &without), Defect::Key { .. }));
        // The user's name was not signed.
        let mut user = parts[1].to_vec();
        *user.last_mut().unwrap() ^= 1;
        let renamed = [parts[0], &user, parts[2]].concat();
        assert!(matches!(refused(&data("rsa.prov"), &renamed), Defect::Key { .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn d17_any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), tag in any::<u8>()) {
            prop_assert!(check(&bytes, &data("ed.asc")).is_err());
            prop_assert!(Keyring::parse(&bytes).is_err() || !bytes.is_empty());
            // As the body of a packet of any kind, before and after good ones.
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            let packet = [&[0x81 | (tag & 0x0f) << 2][..], &length, &bytes].concat();
            for keyring in [[&packet[..], &data("rsa.gpg")].concat(), [&data("rsa.gpg")[..], &packet].concat()] {
                let _ = check(&data("rsa.prov"), &keyring);
            }
        }

        #[test]
        fn d17_a_changed_byte_of_text_or_key_never_changes_the_signer(place in any::<prop::sample::Index>(), to in any::<u8>()) {
            let (provenance, key) = (data("rsa.prov"), data("rsa.gpg"));
            let mut changed = provenance.clone();
            let at = place.index(changed.len());
            changed[at] = to;
            if let Ok(signed_by) = check(&changed, &key) {
                // Only unsigned parts may differ: blanks, headers and the checksum of the armor.
                prop_assert_eq!(signed_by.user, "RSA Signer <rsa@example.org>");
            }
            let mut changed = key.clone();
            let at = place.index(changed.len());
            changed[at] = to;
            if let Ok(signed_by) = check(&provenance, &changed) {
                prop_assert_eq!(signed_by.user, "RSA Signer <rsa@example.org>");
                prop_assert_eq!(signed_by.fingerprint.len(), 40);
            }
        }
    }
}
