//! The verification of the signatures on a manifest of EKS Anywhere, which do not name their keys.

use super::{Signer, Verified};
use crate::eksa::Covered;
use crate::trust::{ContentKind, Reason};
use crate::{TrustFile, TrustedKey};

/// The result for signatures that do not suffice.
pub(crate) struct Insufficient {
    pub(crate) covered: Covered,
    /// The reasons; empty if no key of the trust file made one of them.
    pub(crate) reasons: Vec<Reason>,
}

/// Finds the trusted keys that made these signatures over the covered bytes, and decides by the trust file whether they
/// suffice. Returns the names of the keys that count.
pub(crate) fn verify_manifest(
    trust: &TrustFile,
    content: &ContentKind,
    covered: Covered,
    signatures: &[Vec<u8>],
) -> Result<(Verified<Covered>, Vec<String>), Insufficient> {
    let made =
        |key: &&TrustedKey| signatures.iter().any(|signature| key.key().verifies(covered.bytes(), signature));
    let signed: Vec<_> = trust.keys().iter().filter(made).collect();
    match trust.accept(content, &signed) {
        Ok(names) => {
            let first = signed.iter().find(|key| names.first().is_some_and(|name| name == key.name()));
            match first {
                Some(key) => Ok((Verified { signer: Signer::of(key.holder()), value: covered }, names)),
                None => Err(Insufficient { covered, reasons: Vec::new() }),
            }
        }
        Err(_) if signed.is_empty() => Err(Insufficient { covered, reasons: Vec::new() }),
        Err(reasons) => Err(Insufficient { covered, reasons }),
    }
}
