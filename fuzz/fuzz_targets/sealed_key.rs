//! Any text as a key file, and any JSON as what a sealed one holds.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::{PrivateKey, PublicKey};
use libfuzzer_sys::fuzz_target;

const KIND: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";

fuzz_target!(|text: &str| {
    let pem = if text.starts_with('{') {
        format!("-----BEGIN {KIND}-----\n{}\n-----END {KIND}-----\n", STANDARD.encode(text))
    } else {
        text.to_owned()
    };
    let _ = PrivateKey::from_pem(&pem, b"password");
    if let Ok(key) = PublicKey::from_pem(&pem) {
        assert_eq!(PublicKey::from_pem(&key.to_pem()).expect("it was written here"), key);
    }
});
