//! ECDSA P-256 keys: private keys in PKCS#8 (RFC 5958) or in a token, which never reveals them; public keys as
//! SubjectPublicKeyInfo (RFC 5480).
//!
//! - `public`: public keys, also of kinds that only verify
//! - `ed25519`: the keys of logs; `file`: key files of either kind; `plain`, `der`: the formats of other programs

mod der;
mod ed25519;
mod file;
mod plain;
mod public;

use std::fmt;
use std::path::Path;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use zeroize::Zeroizing;

pub use self::ed25519::{Ed25519Key, Ed25519PublicKey};
pub use self::file::{KeyFile, PublicKeyFile};
pub use self::public::PublicKey;
#[cfg(feature = "hsm")]
use crate::hsm::TokenKey;
use crate::{Error, Pkcs11Uri, Result, sealed};

/// The bytes before the 65-byte uncompressed point in the DER of a P-256 SubjectPublicKeyInfo.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The `AlgorithmIdentifier` within it, which PKCS#8 also contains.
const P256_ALGORITHM: &[u8] = SPKI_PREFIX.split_at(2).1.split_at(21).0;
/// `[1] publicKey` of an `ECPrivateKey` (RFC 5915) up to an uncompressed point.
const PUBLIC_HALF: [u8; 6] = [0xa1, 0x44, 0x03, 0x42, 0x00, 0x04];
const POINT_LEN: usize = 65;
const PUBLIC_PEM: &str = "PUBLIC KEY";

/// A private key. Its bytes are wiped when it is dropped.
pub struct PrivateKey(KeyStorage);

/// Where a private key is stored.
enum KeyStorage {
    Memory {
        pkcs8: Zeroizing<Vec<u8>>,
        pair: EcdsaKeyPair,
    },
    #[cfg(feature = "hsm")]
    Token(TokenKey),
}

impl PrivateKey {
    /// Generates a random key.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system provides no random bytes.
    pub fn generate() -> Result<Self> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| Error::Crypto)?;
        Self::from_pkcs8(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Decrypts a key in cosign's encrypted PEM.
    ///
    /// # Errors
    /// [`Error::Password`] for a wrong password; others for a file that is not such a key.
    pub fn from_pem(text: &str, password: &[u8]) -> Result<Self> {
        Self::from_pkcs8(sealed::open(text, password)?)
    }

    /// The key in cosign's encrypted PEM.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system provides no random bytes, [`Error::TokenKeyNotExportable`] for a key in a token.
    pub fn to_encrypted_pem(&self, password: &[u8]) -> Result<String> {
        match &self.0 {
            KeyStorage::Memory { pkcs8, .. } => sealed::seal(pkcs8, password),
            #[cfg(feature = "hsm")]
            KeyStorage::Token(_) => Err(Error::TokenKeyNotExportable),
        }
    }

    /// The public key.
    ///
    /// # Errors
    /// Never for a key that was loaded, although ring returns a `Result`.
    pub fn public_key(&self) -> Result<PublicKey> {
        match &self.0 {
            KeyStorage::Memory { pair, .. } => PublicKey::from_point(pair.public_key().as_ref()),
            #[cfg(feature = "hsm")]
            KeyStorage::Token(key) => Ok(key.public_key().clone()),
        }
    }

    /// Signs `bytes`: ECDSA over SHA-256, in ASN.1 DER.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system provides no random bytes; errors of the token.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        match &self.0 {
            KeyStorage::Memory { pair, .. } => {
                let signature = pair.sign(&SystemRandom::new(), bytes).map_err(|_| Error::Crypto)?;
                Ok(signature.as_ref().to_vec())
            }
            #[cfg(feature = "hsm")]
            KeyStorage::Token(key) => key.sign(bytes),
        }
    }

    /// Logs in to a token and finds the key that a URI names; `module` is the file to load.
    ///
    /// # Errors
    /// [`Error::TokensUnsupported`] if this build does not support tokens; errors of the token.
    #[cfg_attr(not(feature = "hsm"), expect(unused_variables, reason = "this build does not support tokens"))]
    pub fn in_token(uri: &Pkcs11Uri, module: &Path, pin: &[u8]) -> Result<Self> {
        Self::check_token_support()?;
        #[cfg(feature = "hsm")]
        return TokenKey::open(uri, module, pin).map(|key| Self(KeyStorage::Token(key)));
        #[cfg(not(feature = "hsm"))]
        Err(Error::TokensUnsupported)
    }

    /// Checks that this build can use keys in tokens. A program that is statically linked with glibc cannot load a module
    /// safely, although its loader would try.
    ///
    /// # Errors
    /// [`Error::TokensUnsupported`].
    pub fn check_token_support() -> Result<()> {
        if cfg!(all(feature = "hsm", not(target_feature = "crt-static"))) {
            Ok(())
        } else {
            Err(Error::TokensUnsupported)
        }
    }

    fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &SystemRandom::new())
            .map_err(|_| diagnose(&pkcs8))?;
        Ok(Self(KeyStorage::Memory { pkcs8, pair }))
    }
}

/// Finds the reason why ring rejected a key: ring requires the public key in it, which is optional by the standard.
fn diagnose(pkcs8: &[u8]) -> Error {
    if let Some(plain::Pkcs8Kind::Ed25519) = plain::kind(pkcs8) {
        return Error::PrivateKeyForLogs;
    }
    let holds = |part: &[u8]| pkcs8.windows(part.len()).any(|window| window == part);
    if holds(P256_ALGORITHM) && !holds(&PUBLIC_HALF) {
        Error::PrivateKeyWithoutPublic
    } else {
        Error::PrivateKey
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_key_file_round_trips() {
        let key = PrivateKey::generate().unwrap();
        let text = key.to_encrypted_pem(b"secret").unwrap();
        let again = PrivateKey::from_pem(&text, b"secret").unwrap();
        let public = PublicKey::from_pem(&key.public_key().unwrap().to_pem()).unwrap();
        assert!(public.verifies(b"bytes", &again.sign(b"bytes").unwrap()));
        assert!(!public.verifies(b"Bytes", &again.sign(b"bytes").unwrap()));
        assert!(matches!(PrivateKey::from_pem(&text, b"Secret"), Err(Error::Password)));
    }

    #[test]
    fn the_eks_anywhere_package_key_is_parsed() {
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnP0Yo+ZxzPUEfohcG3bbJ8987UT4\n\
            f0tj+XVBjS/s35wkfjrxTKrVZQpz3ta3zi5ZlgXzd7a20B1U1Py/TtPsxw==\n\
            -----END PUBLIC KEY-----\n";
        assert_eq!(PublicKey::from_pem(pem).unwrap().to_pem(), pem);
    }

    #[test]
    fn other_keys_are_refused() {
        let wrong = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert!(matches!(PublicKey::from_pem(wrong), Err(Error::PublicKey)));
        let private = PrivateKey::generate().unwrap().to_encrypted_pem(b"").unwrap();
        assert!(matches!(PublicKey::from_pem(&private), Err(Error::PemKind { .. })));
        assert!(matches!(PublicKey::from_pem("nonsense"), Err(Error::PemShape)));
    }

    #[test]
    fn a_private_key_without_its_public_half_is_distinguished_from_a_broken_one() {
        let pkcs8 = |key: PrivateKey| match key.0 {
            KeyStorage::Memory { pkcs8, .. } => pkcs8,
            #[cfg(feature = "hsm")]
            KeyStorage::Token(_) => panic!("a new key is in memory"),
        };
        let whole = pkcs8(PrivateKey::generate().unwrap());
        let scalar = &whole[36..68];
        let headers = [&[0x30, 0x41, 2, 1, 0], P256_ALGORITHM, &[4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20]];
        let half = [&headers.concat(), scalar].concat();
        assert!(matches!(PrivateKey::from_pkcs8(Zeroizing::new(half)), Err(Error::PrivateKeyWithoutPublic)));
        let mut foreign = whole.clone();
        foreign[73..].copy_from_slice(&pkcs8(PrivateKey::generate().unwrap())[73..]);
        assert!(matches!(PrivateKey::from_pkcs8(foreign), Err(Error::PrivateKey)));
    }
}
