//! Key files of any kind that airlock makes or imports, for looking after them. What signs images and drives takes a
//! [`PrivateKey`] instead, what signs logs an [`Ed25519Key`].

use ring::digest::{SHA256, digest};

use super::ed25519::{Ed25519Key, Ed25519PublicKey};
use super::plain::{self, Kind};
use super::{PUBLIC_PEM, PrivateKey, PublicKey};
use crate::{Error, Result, pem_text, sealed};

const PKCS8_PEM: &str = "PRIVATE KEY";
const SEC1_PEM: &str = "EC PRIVATE KEY";
/// What OpenSSL writes before a key on a named curve unless told not to.
const PARAMETERS: (&str, &str) = ("-----BEGIN EC PARAMETERS-----", "-----END EC PARAMETERS-----");

/// A private key.
#[derive(Debug)]
pub enum KeyFile {
    /// For images and drives.
    Ecdsa(PrivateKey),
    /// For logs and witnesses.
    Ed25519(Ed25519Key),
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKeyFile {
    /// For images and drives: ECDSA, or RSA that others sign with.
    Ecdsa(PublicKey),
    /// For logs and witnesses.
    Ed25519(Ed25519PublicKey),
}

impl KeyFile {
    /// Opens cosign's encrypted PEM.
    ///
    /// # Errors
    /// [`Error::Password`] for a wrong password; others for a file that is no such key.
    pub fn from_pem(text: &str, password: &[u8]) -> Result<Self> {
        Self::from_pkcs8(&sealed::open(text, password)?)
    }

    /// Reads a key that lies open: PKCS#8, or SEC1 with or without OpenSSL's `EC PARAMETERS` before it.
    ///
    /// # Errors
    /// [`Error::PemKind`] for an encrypted one among others; [`Error::PrivateKeyKind`] unless it is ECDSA P-256 or
    /// Ed25519; [`Error::PrivateKey`] when its halves do not belong together.
    pub fn from_plain_pem(text: &str) -> Result<Self> {
        let block = pem_text::decode(without_parameters(text))?;
        match block.tag() {
            PKCS8_PEM => Self::from_pkcs8(block.contents()),
            SEC1_PEM => plain::from_sec1(block.contents(), false).map(Self::Ecdsa),
            "RSA PRIVATE KEY" => Err(Error::PrivateKeyKind),
            found => Err(Error::PemKind { found: found.to_owned(), expected: PKCS8_PEM }),
        }
    }

    /// Whether a text is a key that lies open; `false` for what is none at all, too.
    #[must_use]
    pub fn is_plain(text: &str) -> bool {
        let tag = pem_text::decode(without_parameters(text)).map(|block| block.tag().to_owned());
        tag.is_ok_and(|tag| sealed::PLAIN_KINDS.contains(&tag.as_str()))
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        match plain::kind(pkcs8).ok_or(Error::PrivateKeyKind)? {
            Kind::P256(sec1) => plain::from_sec1(sec1, true).map(Self::Ecdsa),
            Kind::Ed25519 => Ed25519Key::from_pkcs8(pkcs8).map(Self::Ed25519),
        }
    }

    /// The key in cosign's encrypted PEM.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system gives no random bytes; [`Error::TokenKeeps`] for a key in a token.
    pub fn to_encrypted_pem(&self, password: &[u8]) -> Result<String> {
        match self {
            Self::Ecdsa(key) => key.to_encrypted_pem(password),
            Self::Ed25519(key) => key.to_encrypted_pem(password),
        }
    }

    /// The public half.
    ///
    /// # Errors
    /// Never for a key that was loaded; ring's type does not say so.
    pub fn public_key(&self) -> Result<PublicKeyFile> {
        Ok(match self {
            Self::Ecdsa(key) => PublicKeyFile::Ecdsa(key.public_key()?),
            Self::Ed25519(key) => PublicKeyFile::Ed25519(key.public_key().clone()),
        })
    }
}

impl PublicKeyFile {
    /// Reads a PEM `PUBLIC KEY`.
    ///
    /// # Errors
    /// When it is not PEM, or neither an ECDSA P-256 nor an Ed25519 key.
    pub fn from_pem(text: &str) -> Result<Self> {
        let block = pem_text::decode(text)?;
        match Ed25519PublicKey::from_spki(block.contents()) {
            Some(key) if block.tag() == PUBLIC_PEM => Ok(Self::Ed25519(key)),
            _ => PublicKey::from_pem(text).map(Self::Ecdsa),
        }
    }

    /// The key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        match self {
            Self::Ecdsa(key) => key.to_pem(),
            Self::Ed25519(key) => key.to_pem(),
        }
    }

    /// Base64 of SHA-256 of the `SubjectPublicKeyInfo`, by which signatures and trust files name the key.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Ecdsa(key) => key.hint(),
            Self::Ed25519(key) => key.hint(),
        }
    }

    /// The hint's hash in hexadecimal digits, as `sha256sum` prints it and Rekor names keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let spki = match self {
            Self::Ecdsa(key) => key.to_spki(),
            Self::Ed25519(key) => key.to_spki(),
        };
        digest(&SHA256, &spki).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What kind of key it is, for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ecdsa(key) => key.kind(),
            Self::Ed25519(_) => "ed25519",
        }
    }
}

/// Takes away the block that OpenSSL writes before the key.
fn without_parameters(text: &str) -> &str {
    let (begin, end) = PARAMETERS;
    let rest = text.trim_start().strip_prefix(begin).and_then(|rest| rest.split_once(end));
    rest.map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC1: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

    #[test]
    fn both_kinds_survive_their_encrypted_files() {
        for key in [
            KeyFile::Ecdsa(PrivateKey::generate().unwrap()),
            KeyFile::Ed25519(Ed25519Key::generate().unwrap()),
        ] {
            let public = key.public_key().unwrap();
            let text = key.to_encrypted_pem(b"secret").unwrap();
            let again = KeyFile::from_pem(&text, b"secret").unwrap();
            assert_eq!(again.public_key().unwrap(), public);
            assert_eq!(PublicKeyFile::from_pem(&public.to_pem()).unwrap(), public);
            assert!(matches!(KeyFile::from_pem(&text, b"wrong"), Err(Error::Password)));
            assert!(!KeyFile::is_plain(&text));
            let drive = PrivateKey::from_pem(&text, b"secret");
            match &key {
                KeyFile::Ecdsa(_) => assert!(drive.is_ok()),
                KeyFile::Ed25519(key) => {
                    assert!(matches!(drive, Err(Error::PrivateKeyForLogs)));
                    tlog::SigningKey::new("log.example", tlog::note::KeyKind::Ed25519, &key.to_pkcs8())
                        .unwrap();
                }
            }
        }
    }

    #[test]
    fn what_openssl_writes_before_a_key_is_passed_over() {
        assert_eq!(without_parameters(&format!("\n{SEC1}rest")), "\nrest");
        assert_eq!(without_parameters("rest"), "rest");
    }
}
