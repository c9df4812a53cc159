//! The check of the signature on a manifest of EKS Anywhere, which does not say whose it is.

use super::{Signer, Verified};
use crate::TrustFile;
use crate::eksa::Covered;

/// Finds the trusted key whose signature over the covered bytes this is.
pub(crate) fn verify_manifest(
    trust: &TrustFile,
    covered: Covered,
    signature: &[u8],
) -> Result<Verified<Covered>, Covered> {
    let mut keys = trust.keys().iter().filter(|trusted| trust.revocation(trusted.key()).is_none());
    match keys.find(|trusted| trusted.key().verifies(covered.bytes(), signature)) {
        Some(trusted) => Ok(Verified {
            signer: Signer { name: trusted.name().to_owned(), hint: trusted.key().hint() },
            value: covered,
        }),
        None => Err(covered),
    }
}
