//! Any bytes as a sigstore bundle, by key and by certificate, and as a trusted root. Only an image of our own is
//! asked for by key, so no bundle may hold for it.

use std::sync::LazyLock;

use bundle_signer::keyless::{Artifact, Identity, TrustedRoot, verify};
use bundle_signer::{Evidence, bundle, verify_blob, verify_image};

use super::{TRUST, expectation};

const BLOB: &[u8] = include_bytes!("../../bundle-signer/tests/data/keyless/cosign-v3-blob.txt");

static ROOT: LazyLock<TrustedRoot> =
    LazyLock::new(|| TrustedRoot::embedded().expect("the embedded root is good"));
static ANYONE: LazyLock<Identity> =
    LazyLock::new(|| Identity::pattern(".*", "https://github.com/login/oauth").expect("the pattern is one"));

/// One run.
pub fn run(bytes: &[u8]) {
    let _ = verify(bytes, Artifact::Bytes(BLOB), &ANYONE, &ROOT);
    let _ = TrustedRoot::from_json(bytes);
    let _ = bundle::claimed_hint(bytes);
    assert!(verify_blob(&TRUST, BLOB.to_vec(), bytes).is_err());
    assert!(verify_image(&Evidence::Bundle(bytes), &expectation()).is_err());
}
