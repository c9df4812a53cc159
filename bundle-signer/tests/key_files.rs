//! Private keys written by OpenSSL and cosign (`tests/data/keys`, by OpenSSL 3.0). They are used only in these tests.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

use bundle_signer::{Error, KeyFile, PrivateKey, PublicKeyFile};
use proptest::prelude::*;

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("data/keys/", $name))
    };
}

#[test]
fn every_form_of_one_key_is_the_same_key() {
    let public = file!("p256.pub");
    for (name, text) in [
        ("SEC1", file!("sec1.pem")),
        ("SEC1 with a block of parameters", file!("sec1-parameters.pem")),
        ("SEC1 without the public half", file!("sec1-without-public.pem")),
        ("SEC1 with a compressed point", file!("sec1-compressed.pem")),
        ("PKCS#8", file!("pkcs8.pem")),
        ("PKCS#8 without the public half", file!("pkcs8-without-public.pem")),
    ] {
        assert!(KeyFile::is_plain(text), "{name}");
        let key = KeyFile::from_plain_pem(text).unwrap();
        assert_eq!(key.public_key().unwrap().to_pem(), public, "{name}");
        let sealed = key.to_encrypted_pem(b"secret").unwrap();
        let signer = PrivateKey::from_pem(&sealed, b"secret").unwrap();
        assert!(signer.public_key().unwrap().verifies(b"bytes", &signer.sign(b"bytes").unwrap()), "{name}");
    }
}

#[test]
fn an_ed25519_key_of_openssl_is_a_log_key() {
    let key = KeyFile::from_plain_pem(file!("ed25519.pem")).unwrap();
    let public = key.public_key().unwrap();
    assert_eq!((public.to_pem().as_str(), public.kind()), (file!("ed25519.pub"), "ed25519"));
    assert_eq!(PublicKeyFile::from_pem(file!("ed25519.pub")).unwrap(), public);
    let sealed = key.to_encrypted_pem(b"").unwrap();
    assert_eq!(KeyFile::from_pem(&sealed, b"").unwrap().public_key().unwrap(), public);
    assert!(matches!(PrivateKey::from_pem(&sealed, b""), Err(Error::PrivateKeyForLogs)));
}

#[test]
fn keys_of_other_kinds_are_refused_by_name() {
    for text in [
        file!("p384.pem"),
        file!("rsa.pem"),
        file!("secp256k1.pem"),
        file!("secp256k1-without-public.pem"),
        file!("sec1-explicit-curve.pem"),
    ] {
        assert!(matches!(KeyFile::from_plain_pem(text), Err(Error::PrivateKeyKind)), "{text}");
    }
    let locked = KeyFile::from_plain_pem(file!("pkcs8-encrypted.pem")).unwrap_err();
    assert!(locked.hint().unwrap().contains("openssl pkcs8"), "{locked}");
    let public = KeyFile::from_plain_pem(file!("p256.pub")).unwrap_err();
    assert!(public.hint().unwrap().contains("this is the public key"), "{public}");
    let doubled = format!("{}{}", file!("pkcs8.pem"), file!("rsa.pem"));
    assert!(matches!(KeyFile::from_plain_pem(&doubled), Err(Error::PemShape)));
}

/// Changes the DER of a PEM block.
fn changed(text: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let block = pem::parse(text).unwrap();
    let mut der = block.contents().to_vec();
    change(&mut der);
    pem::encode(&pem::Pem::new(block.tag(), der))
}

#[test]
fn halves_of_two_keys_are_refused() {
    let text = changed(file!("pkcs8.pem"), |der| *der.last_mut().unwrap() ^= 1);
    assert!(matches!(KeyFile::from_plain_pem(&text), Err(Error::PrivateKey)));
    let trailing = changed(file!("sec1.pem"), |der| der.push(0));
    assert!(matches!(KeyFile::from_plain_pem(&trailing), Err(Error::PrivateKey)));
}

proptest! {
    #[test]
    fn no_changed_byte_panics(at: prop::sample::Index, byte: u8, ed25519: bool) {
        let whole = if ed25519 { file!("ed25519.pem") } else { file!("pkcs8.pem") };
        let text = changed(whole, |der| *at.get_mut(der) = byte);
        let _ = KeyFile::from_plain_pem(&text);
    }

    #[test]
    fn no_bytes_panic(der: Vec<u8>, sec1: bool) {
        let tag = if sec1 { "EC PRIVATE KEY" } else { "PRIVATE KEY" };
        let _ = KeyFile::from_plain_pem(&pem::encode(&pem::Pem::new(tag, der)));
    }
}
