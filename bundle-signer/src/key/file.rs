//! Key files of any kind that airlock generates or imports, for key management. Code that signs images and drives takes
//! a [`PrivateKey`] instead, code that signs logs an [`Ed25519Key`].

use ring::digest::{SHA256, digest};

use super::ed25519::{Ed25519Key, Ed25519PublicKey};
use super::plain::{self, Pkcs8Kind};
use super::{PUBLIC_PEM, PrivateKey, PublicKey};
use crate::{Error, Result, pem_text, sealed};

const PKCS8_PEM: &str = "PRIVATE KEY";
const SEC1_PEM: &str = "EC PRIVATE KEY";
/// The block that OpenSSL writes before a key on a named curve by default.
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
    /// For images and drives: ECDSA, or RSA keys that other programs sign with.
    Ecdsa(PublicKey),
    /// For logs and witnesses.
    Ed25519(Ed25519PublicKey),
}

impl KeyFile {
    /// Decrypts cosign's encrypted PEM.
    ///
    /// # Errors
    /// [`Error::Password`] for a wrong password; others for a file that is not such a key.
    pub fn from_pem(text: &str, password: &[u8]) -> Result<Self> {
        Self::from_pkcs8(&sealed::open(text, password)?)
    }

    /// Parses an unencrypted key: PKCS#8, or SEC1 with or without OpenSSL's `EC PARAMETERS` before it.
    ///
    /// # Errors
    /// [`Error::PemKind`] for an encrypted one among others; [`Error::PrivateKeyKind`] unless it is ECDSA P-256 or
    /// Ed25519; [`Error::PrivateKey`] when private and public key do not match.
    pub fn from_plain_pem(text: &str) -> Result<Self> {
        let block = pem_text::decode(without_parameters(text))?;
        match block.tag() {
            PKCS8_PEM => Self::from_pkcs8(block.contents()),
            SEC1_PEM => plain::from_sec1(block.contents(), false).map(Self::Ecdsa),
            "RSA PRIVATE KEY" => Err(Error::PrivateKeyKind),
            found => Err(Error::PemKind { found: found.to_owned(), expected: PKCS8_PEM }),
        }
    }

    /// Whether a text is an unencrypted key; `false` also for text that is not a key.
    #[must_use]
    pub fn is_plain(text: &str) -> bool {
        let tag = pem_text::decode(without_parameters(text)).map(|block| block.tag().to_owned());
        tag.is_ok_and(|tag| sealed::PLAIN_KINDS.contains(&tag.as_str()))
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        match plain::kind(pkcs8).ok_or(Error::PrivateKeyKind)? {
            Pkcs8Kind::P256(sec1) => plain::from_sec1(sec1, true).map(Self::Ecdsa),
            Pkcs8Kind::Ed25519 => Ed25519Key::from_pkcs8(pkcs8).map(Self::Ed25519),
        }
    }

    /// The key in cosign's encrypted PEM.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system provides no random bytes; [`Error::TokenKeyNotExportable`] for a key in a token.
    pub fn to_encrypted_pem(&self, password: &[u8]) -> Result<String> {
        match self {
            Self::Ecdsa(key) => key.to_encrypted_pem(password),
            Self::Ed25519(key) => key.to_encrypted_pem(password),
        }
    }

    /// The public key.
    ///
    /// # Errors
    /// Never for a key that was loaded, although ring returns a `Result`.
    pub fn public_key(&self) -> Result<PublicKeyFile> {
        Ok(match self {
            Self::Ecdsa(key) => PublicKeyFile::Ecdsa(key.public_key()?),
            Self::Ed25519(key) => PublicKeyFile::Ed25519(key.public_key().clone()),
        })
    }
}

impl PublicKeyFile {
    /// Parses a PEM `PUBLIC KEY`.
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

    /// Base64 of SHA-256 of the `SubjectPublicKeyInfo`, which identifies the key in signatures and trust files.
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

    /// The kind of key, for display.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ecdsa(key) => key.kind(),
            Self::Ed25519(_) => "ed25519",
        }
    }
}

/// Strips the block that OpenSSL writes before the key.
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
    fn encrypted_files_of_both_kinds_round_trip() {
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
    fn the_parameters_that_openssl_writes_before_a_key_are_skipped() {
        assert_eq!(without_parameters(&format!("\n{SEC1}rest")), "\nrest");
        assert_eq!(without_parameters("rest"), "rest");
    }
}
