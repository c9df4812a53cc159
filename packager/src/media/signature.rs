//! The signature of a drive: the check that the trust file accepts it. Nothing else of a drive is used before.

use bundle_signer::{Claims, Gate, TrustFile, Verified, verify_blob};

use super::Media;
use crate::bundle::{BundleManifest, Error};

impl Media {
    /// Verifies the signature, parses the manifest, and checks that every volume exists with its exact size.
    ///
    /// # Errors
    /// [`Error::NoTrust`], [`Error::Unsigned`], [`Error::Signature`], also when the trust file's rules for the gate `import`
    /// are not met; then the errors in the volumes.
    pub fn verify(&self, trust: Option<&TrustFile>) -> Result<Verified<BundleManifest>, Error> {
        let manifest = self.verify_head(trust)?;
        self.check_volumes(manifest.get())?;
        Ok(manifest)
    }

    /// Like [`Self::verify`], but without the volumes, which may be inserted one after the other.
    ///
    /// # Errors
    /// The errors of [`Self::verify`] about the signature.
    pub fn verify_head(&self, trust: Option<&TrustFile>) -> Result<Verified<BundleManifest>, Error> {
        if self.copies.signatures().all(<[u8]>::is_empty) {
            return Err(Error::Unsigned);
        }
        let trust = trust.ok_or(Error::NoTrust)?;
        let verified = self.copies.verified(|signature| {
            verify_blob(trust, self.manifest.clone(), signature).map_err(Error::Signature)
        })?;
        let decision = trust.decide(Gate::Import, &Claims::drive(&verified, None));
        let reasons: Vec<_> = decision.reasons.iter().map(ToString::to_string).collect();
        if !decision.allowed {
            return Err(Error::Signature(bundle_signer::Error::NotAllowed(reasons.join("; "))));
        }
        if !decision.satisfied {
            tracing::warn!("this drive does not meet the trust file's rules: {}", reasons.join("; "));
        }
        verified.try_map(|bytes| BundleManifest::parse(&bytes, &self.limits))
    }
}
