//! Ring as the crypto provider of the `sigstore` crates, which are built without one here.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::digest;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use sigstore::crypto::{
    CryptoProvider, Error, HashContext, KeyAlgorithm, Result, SigningScheme, install_default_provider,
};
use sigstore::types::HashAlgorithm;

static RING: Ring = Ring;

/// Installs ring as the provider of this process. Nothing else in this program installs one: only a second call can
/// fail, and it finds the provider of the first call.
pub(super) fn install() {
    install_default_provider(&RING).ok();
}

#[derive(Debug)]
struct Ring;

struct Hash(digest::Context);

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        let algorithm = match algorithm {
            HashAlgorithm::Sha2256 => &digest::SHA256,
            HashAlgorithm::Sha2384 => &digest::SHA384,
            HashAlgorithm::Sha2512 => &digest::SHA512,
            other => return Err(Error::UnsupportedAlgorithm(format!("the hash {other}"))),
        };
        Ok(Box::new(Hash(digest::Context::new(algorithm))))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<()> {
        let algorithm = algorithm(scheme).ok_or_else(|| unsupported(scheme))?;
        UnparsedPublicKey::new(algorithm, key).verify(data, signature).map_err(|_| invalid(scheme))
    }

    /// Ring hashes the message itself, so a digest needs another implementation. Only public values are handled.
    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<()> {
        let verified = match scheme.key_algorithm() {
            KeyAlgorithm::EcdsaP256 => {
                let signature = p256::ecdsa::Signature::from_der(signature);
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key);
                key.and_then(|key| key.verify_prehash(digest, &signature?))
            }
            KeyAlgorithm::EcdsaP384 => {
                let signature = p384::ecdsa::Signature::from_der(signature);
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key);
                key.and_then(|key| key.verify_prehash(digest, &signature?))
            }
            _ => return Err(unsupported(scheme)),
        };
        verified.map_err(|_| invalid(scheme))
    }
}

fn algorithm(scheme: SigningScheme) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match scheme {
        SigningScheme::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &ED25519,
        SigningScheme::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

fn unsupported(scheme: SigningScheme) -> Error {
    Error::UnsupportedAlgorithm(scheme.name().to_owned())
}

fn invalid(scheme: SigningScheme) -> Error {
    Error::Verification(format!("the {} signature does not verify with this key", scheme.name()))
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair as _,
    };

    use super::*;

    fn signed(algorithm: &'static EcdsaSigningAlgorithm, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        (pair.public_key().as_ref().to_vec(), pair.sign(&random, message).unwrap().as_ref().to_vec())
    }

    #[test]
    fn a_digest_verifies_if_its_message_does() {
        let curves = [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, SigningScheme::EcdsaP256Sha256, &digest::SHA256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, SigningScheme::EcdsaP384Sha384, &digest::SHA384),
        ];
        for (algorithm, scheme, hash) in curves {
            let (key, signature) = signed(algorithm, b"message");
            let (other, _) = signed(algorithm, b"message");
            let of = |message| digest::digest(hash, message);
            RING.verify_raw(scheme, &key, b"message", &signature).unwrap();
            RING.verify_prehashed(scheme, &key, of(b"message").as_ref(), &signature).unwrap();
            assert!(RING.verify_raw(scheme, &key, b"Message", &signature).is_err());
            assert!(RING.verify_prehashed(scheme, &key, of(b"Message").as_ref(), &signature).is_err());
            assert!(RING.verify_prehashed(scheme, &other, of(b"message").as_ref(), &signature).is_err());
            assert!(RING.verify_prehashed(scheme, &key[..5], of(b"message").as_ref(), &signature).is_err());
            assert!(RING.verify_prehashed(scheme, &key, of(b"message").as_ref(), &signature[..9]).is_err());
            assert!(RING.verify_prehashed(scheme, &key, b"", &signature).is_err());
        }
    }

    #[test]
    fn schemes_that_ring_lacks_are_refused() {
        let refused = |outcome: Result<()>| matches!(outcome, Err(Error::UnsupportedAlgorithm(_)));
        assert!(refused(RING.verify_raw(SigningScheme::MlDsa65, &[0; 1952], b"", &[0; 3309])));
        assert!(refused(RING.verify_prehashed(
            SigningScheme::RsaPkcs1Sha256,
            &[0; 270],
            &[0; 32],
            &[0; 256]
        )));
        assert!(refused(RING.verify_prehashed(SigningScheme::Ed25519, &[0; 32], &[0; 32], &[0; 64])));
    }

    #[test]
    fn hashes_match_those_of_ring() {
        for (algorithm, hash) in [
            (HashAlgorithm::Sha2256, &digest::SHA256),
            (HashAlgorithm::Sha2384, &digest::SHA384),
            (HashAlgorithm::Sha2512, &digest::SHA512),
        ] {
            let mut context = RING.hash(algorithm).unwrap();
            context.update(b"mes");
            context.update(b"sage");
            assert_eq!(context.finalize(), digest::digest(hash, b"message").as_ref());
        }
    }
}
