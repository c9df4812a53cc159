//! Keyless signatures of upstream images: made with a key that lived for minutes, by a certificate that says whose
//! it was, and entered in a public log that says when. `mirror` asks for them, and trust files name them
//! (`identities`); both verify here, and nothing here uses a network.
//!
//! Checked, in every case: the certificate leads to the trusted root's authority and was valid at every signing
//! time; it is in a certificate log; the log entry is this signature's, and in the log that it names; the time is
//! signed by the log or by a timestamp authority; the signature is the certificate's, over this artifact; the
//! subject and the issuer are the expected ones. There is no switch to leave one of these out.
//!
//! The `sigstore-verify` crate does the work with ring as its crypto. Not supported, and refused: RSA, P-521 and
//! post-quantum keys in signing certificates of message signatures, subjects that are neither email nor URI, and
//! signatures without a log entry, such as those of private repositories on GitHub.
//!
//! The library looks at the clock for one thing, to refuse times in the future.
//!
//! - [`identity`](Identity): who is to have signed; [`root`](TrustedRoot): whose word counts
//! - `shape`: limits, before anything else; `legacy`: cosign's first formats; `provider`: ring
//! - [`evidence`](Evidence): what was found

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
pub use identity::{Identity, Wanted};
pub use legacy::{is_keyless, verify_layer, verify_layer_any};
pub use root::{Authority, MAX_LEN as MAX_ROOT, Role, TrustedRoot};

/// The largest bundle that is read: as much as is read of any other evidence. Attestations carry bills of materials of
/// megabytes.
pub const MAX_BUNDLE: usize = 8 * 1024 * 1024;

/// What is to have been signed.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The bytes, or the image, with this digest. Only statements can name it by SHA-512.
    Digest(&'a Digest),
}

/// Checks that `bundle`, a sigstore bundle, holds `identity`'s signature over `artifact`, or over an in-toto
/// statement that has `artifact`'s digest among its subjects.
///
/// # Errors
/// When anything of it does not hold; the variants say what.
pub fn verify(
    bundle: &[u8],
    artifact: Artifact<'_>,
    identity: &Identity,
    root: &TrustedRoot,
) -> Result<Evidence> {
    verify_any(bundle, artifact, &[identity], root).map(|(_, evidence)| evidence)
}

/// The same for several identities: also says which of them signed, the first that fits.
///
/// # Errors
/// As [`verify`] does; [`Error::Stranger`] when it is none of them.
pub fn verify_any(
    bundle: &[u8],
    artifact: Artifact<'_>,
    identities: &[&Identity],
    root: &TrustedRoot,
) -> Result<(usize, Evidence)> {
    shape::check(bundle)?;
    let bundle: Bundle = serde_json::from_slice(bundle).map_err(Error::Malformed)?;
    // The identity is compared afterwards, by `Evidence::collect`: the library knows no patterns.
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
