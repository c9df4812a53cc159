//! Keyless signatures of upstream images: created with a key that lived for minutes. A certificate states the signer,
//! and an entry in a public log states the time. `mirror` can require them, and trust files list them (`identities`);
//! both verify here, and nothing here uses a network.
//!
//! Every verification checks that the certificate chains to a CA of the trusted root and was valid at every signing
//! time; that it is in a certificate log; that the log entry is for this signature, and in the log that it names; that
//! the time is signed by the log or by a timestamp authority; that the signature is by the certificate's key, over this
//! artifact; and that subject and issuer are the expected ones. No check can be disabled.
//!
//! The `sigstore-verify` crate does the work with ring as its crypto. Not supported, and refused: RSA, P-521 and
//! post-quantum keys in signing certificates of message signatures, subjects that are neither email nor URI, and
//! signatures without a log entry, such as those of private repositories on GitHub.
//!
//! The library uses the clock only to refuse times in the future.
//!
//! - [`identity`](Identity): the expected signer; [`root`](TrustedRoot): trusted CAs, logs and timestamp authorities
//! - `shape`: limits, before anything else; `legacy`: cosign's first formats; `provider`: ring
//! - [`evidence`](Evidence): the result of a verification

mod error;
mod evidence;
mod identity;
mod legacy;
mod provider;
mod root;
mod shape;

use oci::{Algorithm, Digest};
use sigstore::VerificationPolicy;
use sigstore::types::{ArtifactDigest, Bundle, DigestBytes, HashAlgorithm};

pub use error::{Error, Result};
pub use evidence::{
    Certificate, Evidence, Inclusion, LogEntry, Rekor, Signed, SigningTime, SubjectKind, Time, TimeSource,
};
pub use identity::{Identity, Matcher};
pub use legacy::{is_keyless, verify_layer, verify_layer_any};
pub use root::{MAX_LEN as MAX_ROOT, Role, Service, TrustedRoot};

/// The largest bundle that is read: the same limit as for other evidence. Attestations contain bills of materials of
/// megabytes.
pub const MAX_BUNDLE: usize = 8 * 1024 * 1024;

/// The artifact that the signature must be for.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The bytes or the image with this digest. Only statements can use SHA-512.
    Digest(&'a Digest),
}

/// Checks that `bundle`, a sigstore bundle, holds `identity`'s signature over `artifact`, or over an in-toto
/// statement that has `artifact`'s digest among its subjects.
///
/// # Errors
/// One variant for each failed check.
pub fn verify(
    bundle: &[u8],
    artifact: Artifact<'_>,
    identity: &Identity,
    root: &TrustedRoot,
) -> Result<Evidence> {
    verify_any(bundle, artifact, &[identity], root).map(|(_, evidence)| evidence)
}

/// Like [`verify`], for several identities: also returns the index of the first one that matches.
///
/// # Errors
/// As [`verify`]; [`Error::UnknownIdentity`] when none of them matches.
pub fn verify_any(
    bundle: &[u8],
    artifact: Artifact<'_>,
    identities: &[&Identity],
    root: &TrustedRoot,
) -> Result<(usize, Evidence)> {
    shape::check(bundle)?;
    let bundle: Bundle = serde_json::from_slice(bundle).map_err(Error::Malformed)?;
    // The identity is compared afterwards, by `Evidence::collect`: the library does not support patterns.
    let policy = VerificationPolicy::any_identity();
    let found = match artifact {
        Artifact::Bytes(bytes) => root.verifier().verify(bytes, &bundle, &policy),
        Artifact::Digest(digest) => root.verifier().verify(library_digest(digest)?, &bundle, &policy),
    };
    Evidence::collect(&bundle, &found.map_err(Error::of_library)?, identities, root)
}

fn library_digest(digest: &Digest) -> Result<ArtifactDigest> {
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => HashAlgorithm::Sha2256,
        Algorithm::Sha512 => HashAlgorithm::Sha2512,
    };
    DigestBytes::from_hex(digest.hex())
        .and_then(|bytes| ArtifactDigest::new(algorithm, bytes))
        .map_err(|error| Error::Member(Box::new(error)))
}
