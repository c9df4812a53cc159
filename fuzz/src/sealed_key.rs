//! Any text as a key file, and any JSON as what a sealed one holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::{PrivateKey, PublicKey};
use oci::Digest;
use serde_json::Value;

const KIND: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let pem = if text.starts_with('{') {
        format!("-----BEGIN {KIND}-----\n{}\n-----END {KIND}-----\n", STANDARD.encode(text))
    } else {
        text.to_owned()
    };
    // What has come as far as scrypt takes it a tenth of a second; few of these are enough.
    if !reaches_scrypt(&pem) || Digest::sha256(bytes).hex().starts_with("00") {
        let _ = PrivateKey::from_pem(&pem, b"password");
    }
    if let Ok(key) = PublicKey::from_pem(&pem) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).expect("it was written here"), key);
    }
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
