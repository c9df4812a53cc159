//! The check of the signatures on a manifest of EKS Anywhere, which do not say whose they are.

use super::{Signer, Verified};
use crate::eksa::Covered;
use crate::trust::{Reason, What};
use crate::{TrustFile, TrustedKey};

/// What signatures come to that do not suffice.
pub(crate) struct Insufficient {
    pub(crate) covered: Covered,
    /// Why; empty when no key of the trust file made one of them.
    pub(crate) why: Vec<Reason>,
}

/// Finds the trusted keys whose signatures over the covered bytes these are, and asks the trust file whether they
/// suffice. Gives the names of those that count.
pub(crate) fn verify_manifest(
    trust: &TrustFile,
    (what, covered): (&What, Covered),
    signatures: &[Vec<u8>],
) -> Result<(Verified<Covered>, Vec<String>), Insufficient> {
    let made =
        |key: &&TrustedKey| signatures.iter().any(|signature| key.key().verifies(covered.bytes(), signature));
    let signed: Vec<_> = trust.keys().iter().filter(made).collect();
    match trust.accept(what, &signed) {
        Ok(names) => {
            let first = signed.iter().find(|key| names.first().is_some_and(|name| name == key.name()));
            match first {
                Some(key) => Ok((Verified { signer: Signer::of(key.holder()), value: covered }, names)),
                None => Err(Insufficient { covered, why: Vec::new() }),
            }
        }
        Err(_) if signed.is_empty() => Err(Insufficient { covered, why: Vec::new() }),
        Err(why) => Err(Insufficient { covered, why }),
    }
}
