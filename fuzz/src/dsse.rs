//! Any bytes as an envelope, and as what a trusted key has signed: in an envelope and as a payload of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::{Envelope, Evidence, Limits, verify_image};

use super::{KEY, expectation};

/// One run.
pub fn run(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes, &Limits::default()) {
        let again =
            Envelope::parse(envelope.to_json().as_bytes(), &Limits::default()).expect("it was written here");
        assert_eq!(again.signed_bytes(), envelope.signed_bytes());
        assert_eq!(again.signature(), envelope.signature());
    }
    let _ = verify_image(&Evidence::Envelope(bytes), &expectation());

    let envelope = Envelope::sign(bytes.to_vec(), |bytes| KEY.sign(bytes)).expect("the key signs all");
    let _ = verify_image(&Evidence::Envelope(envelope.to_json().as_bytes()), &expectation());
    let signature = STANDARD.encode(KEY.sign(bytes).expect("the key signs all"));
    let _ = verify_image(&Evidence::SimpleSigning { payload: bytes, signature: &signature }, &expectation());
}
