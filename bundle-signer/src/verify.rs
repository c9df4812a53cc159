//! The only module that creates [`Verified`] values.

pub mod image;
mod manifest;

use ring::digest::{SHA256, digest};

use crate::trust::Holder;
use crate::{Error, Result, TrustFile, bundle};
pub(crate) use manifest::{Insufficient, verify_manifest};

/// A value with a trusted signature over its bytes. Nothing outside this module can create one:
///
/// ```compile_fail,E0451
/// fn forge(signer: bundle_signer::Signer) -> bundle_signer::Verified<u8> {
///     bundle_signer::Verified { value: 1, signer }
/// }
/// ```
///
/// nor copy one, nor read one from a file:
///
/// ```compile_fail,E0277
/// fn copy<T: Clone>() {}
/// copy::<bundle_signer::Verified<u8>>();
/// ```
///
/// ```compile_fail,E0277
/// fn read<T: serde::de::DeserializeOwned>() {}
/// read::<bundle_signer::Verified<u8>>();
/// ```
#[derive(Debug)]
pub struct Verified<T> {
    value: T,
    signer: Signer,
}

/// The signer of a verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    name: String,
    hint: String,
}

impl Signer {
    fn of(trusted: &Holder) -> Self {
        Self { name: trusted.name().to_owned(), hint: trusted.hint().to_owned() }
    }

    /// The name of the key or identity in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hint of the key, base64 of SHA-256 of its SubjectPublicKeyInfo, or of the identity.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl<T> Verified<T> {
    /// The value.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The value, without its proof.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The signer.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Converts the value, for example by parsing. A result that depends only on the value is as trusted as the value.
    ///
    /// # Errors
    /// Those of `convert`.
    pub fn try_map<U, E>(
        self,
        convert: impl FnOnce(T) -> std::result::Result<U, E>,
    ) -> std::result::Result<Verified<U>, E> {
        Ok(Verified { value: convert(self.value)?, signer: self.signer })
    }
}

/// Checks that `signature`, a sigstore bundle, is by a trusted key over `bytes`.
///
/// # Errors
/// When the bundle is malformed, its key not trusted, or the signature not over these bytes.
pub fn verify_blob(trust: &TrustFile, bytes: Vec<u8>, signature: &[u8]) -> Result<Verified<Vec<u8>>> {
    let claims = bundle::parse(signature).map_err(|error| match error {
        Error::BundleCertificate => Error::DriveCertificate,
        error => error,
    })?;
    let trusted = trust.find(&claims.hint).ok_or_else(|| Error::UntrustedKey(claims.hint.clone()))?;
    trust.refuse_revoked(trusted.holder())?;
    if digest(&SHA256, &bytes).as_ref() != claims.digest {
        return Err(Error::OtherBytes);
    }
    if !trusted.key().verifies(&bytes, &claims.signature) {
        return Err(Error::BadSignature(trusted.name().to_owned()));
    }
    Ok(Verified { value: bytes, signer: Signer::of(trusted.holder()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PrivateKey, sign_blob};

    fn trusted() -> (PrivateKey, TrustFile) {
        let key = PrivateKey::generate().unwrap();
        let trust = TrustFile::new(vec![("release".into(), key.public_key().unwrap())]).unwrap();
        (key, trust)
    }

    #[test]
    fn a_signature_verifies_padded_or_not() {
        let (key, trust) = trusted();
        let mut bundle = sign_blob(&key, b"manifest").unwrap();
        assert_eq!(verify_blob(&trust, b"manifest".to_vec(), &bundle).unwrap().signer().name(), "release");
        bundle.resize(2048, b' ');
        assert!(verify_blob(&trust, b"manifest".to_vec(), &bundle).is_ok());
    }

    #[test]
    fn each_defect_has_its_error() {
        let (key, trust) = trusted();
        let (other, _) = trusted();
        let bundle = sign_blob(&key, b"manifest").unwrap();
        let verify = |bytes: &[u8], bundle: &[u8]| verify_blob(&trust, bytes.to_vec(), bundle).unwrap_err();
        assert!(matches!(verify(b"Manifest", &bundle), Error::OtherBytes));
        assert!(matches!(
            verify(b"manifest", &sign_blob(&other, b"manifest").unwrap()),
            Error::UntrustedKey(_)
        ));
        let text = String::from_utf8(bundle).unwrap();
        assert!(matches!(
            verify(b"manifest", text.replace("v0.3", "v0.2").as_bytes()),
            Error::BundleVersion(_)
        ));
        assert!(matches!(
            verify(b"manifest", text.replace("SHA2_256", "SHA2_512").as_bytes()),
            Error::DigestAlgorithm(_)
        ));
        assert!(matches!(verify(b"manifest", format!("{text}x").as_bytes()), Error::Bundle(_)));
        assert!(matches!(verify(b"manifest", b"{}"), Error::Bundle(_)));
        assert!(matches!(verify(b"manifest", &vec![b' '; bundle::MAX_LEN + 1]), Error::BundleTooLarge(_)));
        // Another signature by the trusted key, in place of this one.
        let foreign = String::from_utf8(sign_blob(&key, b"other").unwrap()).unwrap();
        let tail = |text: &str| text.split(r#""signature":"#).nth(1).unwrap().to_owned();
        let swapped = text.replace(&tail(&text), &tail(&foreign));
        assert!(matches!(verify(b"manifest", swapped.as_bytes()), Error::BadSignature(_)));
    }

    #[test]
    fn no_changed_byte_of_a_bundle_is_accepted() {
        let (key, trust) = trusted();
        let bundle = sign_blob(&key, b"manifest").unwrap();
        for at in 0..bundle.len() {
            let mut changed = bundle.clone();
            changed[at] ^= 1;
            assert!(verify_blob(&trust, b"manifest".to_vec(), &changed).is_err(), "byte {at}");
        }
    }
}
