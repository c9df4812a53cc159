//! Any text as a key file or a token's URI, any JSON as what a sealed key holds, any DER as what an open one holds. The
//! first byte says which. What is read has two halves that belong together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::{KeyFile, Pkcs11Uri, PublicKeyFile};
use oci::Digest;
use serde_json::Value;

const SEALED: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";

/// One run.
pub fn run(bytes: &[u8]) {
    match bytes.first() {
        Some(b'{') => read(&pem(SEALED, bytes)),
        Some(0x30) => {
            for kind in ["PRIVATE KEY", "EC PRIVATE KEY", "PUBLIC KEY"] {
                read(&pem(kind, bytes));
            }
        }
        _ => read(super::text(bytes)),
    }
}

fn pem(kind: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(bytes))
}

fn read(text: &str) {
    // What has come as far as scrypt takes it a tenth of a second; few of these are enough.
    if !reaches_scrypt(text) || Digest::sha256(text.as_bytes()).hex().starts_with("00") {
        let _ = KeyFile::from_pem(text, b"password");
    }
    if let Ok(key) = KeyFile::from_plain_pem(text) {
        assert!(KeyFile::is_plain(text));
        if let KeyFile::Ecdsa(private) = &key {
            let signature = private.sign(text.as_bytes()).expect("the key signs all");
            assert!(private.public_key().expect("it has one").verifies(text.as_bytes(), &signature));
        }
        written_alike(&key.public_key().expect("every private key has one"));
    }
    if let Ok(key) = PublicKeyFile::from_pem(text) {
        written_alike(&key);
    }
    let _ = Pkcs11Uri::parse(text);
}

fn written_alike(key: &PublicKeyFile) {
    assert_eq!(&PublicKeyFile::from_pem(&key.to_pem()).expect("it was written here"), key);
}

fn reaches_scrypt(pem: &str) -> bool {
    let lines = pem.lines().map(str::trim).filter(|line| !line.starts_with('-'));
    let Ok(json) = STANDARD.decode(lines.collect::<String>()) else { return false };
    let Ok(sealed) = serde_json::from_slice::<Value>(&json) else { return false };
    let len = |place| {
        let text = sealed.pointer(place).and_then(Value::as_str)?;
        STANDARD.decode(text).ok().map(|bytes| bytes.len())
    };
    sealed["kdf"]["params"]["p"] == 1 && len("/kdf/salt") == Some(32) && len("/cipher/nonce") == Some(24)
}
