//! Malicious, damaged and mistaken input, one defect at a time.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

use bundle_signer::{Error, PrivateKey, PublicKey, TrustFile, bundle, sign_blob, trust, verify_blob};

const MANIFEST: &[u8] = b"manifest";

struct Rig {
    public: String,
    trust: TrustFile,
    bundle: String,
}

impl Rig {
    fn new() -> Self {
        let key = PrivateKey::generate().unwrap();
        let public = key.public_key().unwrap().to_pem();
        let trust = TrustFile::from_public_key("release", &public).unwrap();
        let bundle = String::from_utf8(sign_blob(&key, MANIFEST).unwrap()).unwrap();
        Self { public, trust, bundle }
    }

    fn refusal(&self, bundle: &str) -> Error {
        verify_blob(&self.trust, MANIFEST.to_vec(), bundle.as_bytes()).unwrap_err()
    }

    fn replaced(&self, from: &str, to: &str) -> Error {
        assert!(self.bundle.contains(from), "`{from}` is not in the bundle");
        self.refusal(&self.bundle.replacen(from, to, 1))
    }
}

#[test]
fn the_bundle_has_one_layout() {
    let rig = Rig::new();
    let hint = PublicKey::from_pem(&rig.public).unwrap().hint();
    let start = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"{hint}"}}}},"messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"Bee9+FAdfI4hl/HMcFtwcTOXD4+lzUtTC2wlc+PxVx4="}},"signature":""#
    );
    let expected_digest = r#""digest":"#;
    assert_eq!(rig.bundle.split(expected_digest).next(), start.split(expected_digest).next());
    assert!(rig.bundle.ends_with(r#""}}"#) && rig.bundle.len() < 2048);
    assert_eq!(bundle::claimed_hint(rig.bundle.as_bytes()).unwrap(), hint);
}

#[test]
fn no_byte_of_a_bundle_can_be_changed() {
    let rig = Rig::new();
    let bytes = rig.bundle.as_bytes();
    for at in 0..bytes.len() {
        for value in (0..=u8::MAX).filter(|value| *value != bytes[at]) {
            let mut changed = bytes.to_vec();
            changed[at] = value;
            let outcome = verify_blob(&rig.trust, MANIFEST.to_vec(), &changed);
            assert!(outcome.is_err(), "byte {at} as {value:#04x}");
        }
    }
}

#[test]
fn no_byte_of_a_bundle_can_be_removed_or_doubled() {
    let rig = Rig::new();
    let bytes = rig.bundle.as_bytes();
    for at in 0..bytes.len() {
        let mut shorter = bytes.to_vec();
        shorter.remove(at);
        assert!(verify_blob(&rig.trust, MANIFEST.to_vec(), &shorter).is_err(), "without byte {at}");
        assert!(verify_blob(&rig.trust, MANIFEST.to_vec(), &bytes[..at]).is_err(), "cut at {at}");
        let mut longer = bytes.to_vec();
        longer.insert(at, bytes[at]);
        assert!(verify_blob(&rig.trust, MANIFEST.to_vec(), &longer).is_err(), "byte {at} twice");
    }
}

#[test]
fn only_white_space_may_follow_a_bundle() {
    let rig = Rig::new();
    for tail in [" ", "\n", "\r\n\t  "] {
        let padded = format!("{}{tail}", rig.bundle);
        assert!(verify_blob(&rig.trust, MANIFEST.to_vec(), padded.as_bytes()).is_ok(), "{tail:?}");
    }
    for tail in ["\0", "x", "{}", " \u{feff}", ",", "}"] {
        assert!(matches!(rig.refusal(&format!("{}{tail}", rig.bundle)), Error::Bundle(_)), "{tail:?}");
    }
}

#[test]
fn duplicate_unknown_and_missing_members_are_refused() {
    let rig = Rig::new();
    for (from, to) in [
        (r#"{"mediaType""#, r#"{"mediaType":"x","mediaType""#),
        (r#"{"hint""#, r#"{"hint":"x","hint""#),
        (r#"{"algorithm""#, r#"{"algorithm":"SHA2_256","algorithm""#),
        (r#"{"mediaType""#, r#"{"comment":1,"mediaType""#),
        (r#"{"publicKey""#, r#"{"rawKey":"MFkw","publicKey""#),
        (r#""hint""#, r#""keyid""#),
        (r#""signature""#, r#""sig""#),
    ] {
        let error = rig.replaced(from, to);
        assert!(matches!(error, Error::Bundle(_)), "{to}: {error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn bundles_of_other_kinds_get_their_own_error() {
    let rig = Rig::new();
    let key = r#""publicKey":{"hint""#;
    let certificate = format!(r#""certificate":{{"rawBytes":"MIIB"}},{key}"#);
    assert!(matches!(rig.replaced(key, &certificate), Error::DriveCertificate));
    let chain = format!(r#""x509CertificateChain":{{"certificates":[]}},{key}"#);
    assert!(matches!(rig.replaced(key, &chain), Error::DriveCertificate));
    let envelope = r#"{"dsseEnvelope":{"payload":"e30="},"mediaType""#;
    assert!(matches!(rig.replaced(r#"{"mediaType""#, envelope), Error::BundleContent));
    let (before, _) = rig.bundle.split_once(r#","messageSignature""#).unwrap();
    assert!(matches!(rig.refusal(&format!("{before}}}")), Error::BundleContent));
    let keyless = rig.bundle.replace("publicKey", "certificate").replace("hint", "rawBytes");
    assert!(matches!(rig.refusal(&keyless), Error::DriveCertificate));
    let anonymous = r#"{"tlogEntries":[]},"messageSignature""#;
    let (_, after) = rig.bundle.split_once(r#","messageSignature""#).unwrap();
    let (before, _) = rig.bundle.split_once(r#"{"publicKey""#).unwrap();
    assert!(matches!(rig.refusal(&format!("{before}{anonymous}{after}")), Error::BundleWithoutKey));
    assert!(matches!(rig.replaced("v0.3", "v0.4"), Error::BundleVersion(_)));
    assert!(matches!(rig.replaced("SHA2_256", "SHA2_384"), Error::DigestAlgorithm(_)));
}

#[test]
fn log_entries_beside_the_key_are_ignored() {
    let rig = Rig::new();
    let logged =
        rig.bundle.replacen(r#"{"publicKey""#, r#"{"tlogEntries":[{"logIndex":"1"}],"publicKey""#, 1);
    assert!(verify_blob(&rig.trust, MANIFEST.to_vec(), logged.as_bytes()).is_ok());
}

#[test]
fn a_hint_that_is_not_a_hash_is_never_shown() {
    let rig = Rig::new();
    let hint = PublicKey::from_pem(&rig.public).unwrap().hint();
    for forged in [r"\u001b[2J", "release", "", "AAAA"] {
        assert!(matches!(rig.replaced(&hint, forged), Error::Base64("hint")), "{forged}");
    }
    let shown = rig.replaced("application/vnd", r"\u001b[2J").to_string();
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_key_file_is_one_block_and_nothing_else() {
    let public = Rig::new().public;
    let other = Rig::new().public;
    assert!(PublicKey::from_pem(&format!("\n  {public}\r\n\n")).is_ok());
    for text in [
        String::new(),
        format!("{public}{other}"),
        format!("# the release key\n{public}"),
        format!("{public}x"),
        public.replace("-----\nMF", "-----\nProc-Type: 4,ENCRYPTED\n\nMF"),
        public.replace("-----END PUBLIC KEY-----\n", ""),
    ] {
        assert!(matches!(PublicKey::from_pem(&text), Err(Error::PemShape)), "{text}");
    }
    let ends_differ = public.replace("-----END PUBLIC", "-----END SECRET");
    assert!(matches!(PublicKey::from_pem(&ends_differ), Err(Error::Pem(_))));
    let huge = " ".repeat(1024 * 1024);
    assert!(matches!(PublicKey::from_pem(&huge), Err(Error::PemTooLarge(_))));
}

#[test]
fn the_hint_for_a_key_of_the_wrong_kind_names_its_kind() {
    let key = PrivateKey::generate().unwrap();
    let private = key.to_encrypted_pem(b"").unwrap();
    let error = PublicKey::from_pem(&private).unwrap_err();
    assert!(error.hint().unwrap().contains("private"), "{error}");
    let error = PrivateKey::from_pem(&Rig::new().public, b"").unwrap_err();
    assert!(error.hint().unwrap().contains("public"), "{error}");
    let plain = private.replace("ENCRYPTED SIGSTORE PRIVATE KEY", "PRIVATE KEY");
    assert!(matches!(PrivateKey::from_pem(&plain, b""), Err(Error::PrivateKeyPlain("PRIVATE KEY"))));
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let pem = Rig::new().public;
    let last = pem.rfind("==\n-----END").or_else(|| pem.rfind("\n-----END")).unwrap() - 3;
    let (head, tail) = pem.split_at(last);
    let changed = if tail.starts_with('A') { "B" } else { "A" };
    let off = format!("{head}{changed}{}", &tail[1..]);
    assert!(matches!(PublicKey::from_pem(&off), Err(Error::PublicKeyPoint)), "{off}");
}

#[test]
fn a_private_key_never_shows_in_debug_output() {
    assert_eq!(format!("{:?}", PrivateKey::generate().unwrap()), "PrivateKey");
}

#[test]
fn a_trust_file_is_read_from_json_as_well() {
    let rig = Rig::new();
    let json = serde_json::json!({
        "apiVersion": "airlock.dev/v1alpha1", "kind": "Trust",
        "keys": [{ "name": "release", "publicKey": rig.public }],
    });
    assert_eq!(TrustFile::parse(&json.to_string()).unwrap(), rig.trust);
    assert_eq!(TrustFile::parse(&rig.trust.to_yaml()).unwrap(), rig.trust);
}

#[test]
fn yaml_that_grows_or_repeats_is_refused() {
    let text = Rig::new().trust.to_yaml();
    let nested = format!("{text}extra: {}{}\n", "[".repeat(200), "]".repeat(200));
    let bomb = format!("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n{text}");
    for (what, broken) in [
        ("anchor", text.replace("kind: Trust", "kind: &kind Trust")),
        ("bomb", bomb),
        ("merge key", format!("{text}<<: {{kind: Trust}}\n")),
        ("depth", nested),
        ("doubled member", format!("{text}kind: Trust\n")),
        ("second document", format!("{text}---\n{text}")),
        ("unknown member", format!("{text}expires: never\n")),
    ] {
        let error = TrustFile::parse(&broken).unwrap_err();
        assert!(matches!(error, Error::Trust(_)), "{what}: {error}");
        assert!(error.hint().is_some());
    }
    let huge = format!("{text}#{}", "x".repeat(trust::MAX_LEN));
    assert!(matches!(TrustFile::parse(&huge), Err(Error::TrustTooLarge(_))));
}

#[test]
fn a_broken_key_in_a_trust_file_is_named() {
    let broken = Rig::new().trust.to_yaml().replace("BEGIN PUBLIC", "BEGIN SECRET");
    match TrustFile::parse(&broken).unwrap_err() {
        Error::TrustKey { name, .. } => assert_eq!(name, "release"),
        other => panic!("{other}"),
    }
}

#[test]
fn names_and_keys_are_unique_and_printable() {
    let key = |rig: &Rig| PublicKey::from_pem(&rig.public).unwrap();
    let (one, two) = (Rig::new(), Rig::new());
    for name in ["", " ", "a ", "a\nb", "\u{1b}[2J", &"x".repeat(129)] {
        let named = TrustFile::from_public_key(name, &one.public);
        assert!(matches!(named, Err(Error::TrustName(_))), "{name:?}");
    }
    let same_name = vec![("a".to_owned(), key(&one)), ("a".to_owned(), key(&two))];
    assert!(matches!(TrustFile::new(same_name), Err(Error::TrustTwice(_))));
    let same_key = vec![("a".to_owned(), key(&one)), ("b".to_owned(), key(&one))];
    assert!(matches!(TrustFile::new(same_key), Err(Error::TrustTwice(_))));
    let both = TrustFile::new(vec![("a".to_owned(), key(&one)), ("b".to_owned(), key(&two))]).unwrap();
    assert_eq!(both.keys().len(), 2);
    assert!(verify_blob(&both, MANIFEST.to_vec(), two.bundle.as_bytes()).unwrap().signer().name() == "b");
}
