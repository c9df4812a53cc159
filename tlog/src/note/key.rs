//! The keys that sign and verify notes and cosignatures.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::Signature;
use crate::{Error, Result};

const ED25519_NOTE: u8 = 0x01;
const ECDSA_NOTE: u8 = 0x02;
const ED25519_COSIGNATURE: u8 = 0x04;

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Notes: Ed25519 over the text.
    Ed25519,
    /// Notes: ECDSA P-256 over the text's SHA-256, as sigstore's logs use. Only verified here, never signed.
    Ecdsa,
    /// Checkpoints as a witness: Ed25519 with a time (C2SP tlog-cosignature).
    Cosignature,
}

/// A public key with the name that signature lines use; its text form is signed-note's `vkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: Vec<u8>,
}

/// An Ed25519 key that signs notes or cosigns checkpoints.
pub struct SigningKey {
    name: String,
    kind: KeyKind,
    pair: Ed25519KeyPair,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => ED25519_NOTE,
            Self::Ecdsa => ECDSA_NOTE,
            Self::Cosignature => ED25519_COSIGNATURE,
        }
    }
}

/// The bytes before the 65-byte point in an ECDSA P-256 SubjectPublicKeyInfo (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl VerifierKey {
    /// A key from its parts: the raw 32 bytes for Ed25519, a `SubjectPublicKeyInfo` for ECDSA P-256.
    ///
    /// # Errors
    /// [`Error::Key`] when the name or the key is malformed.
    pub fn new(name: &str, kind: KeyKind, public: Vec<u8>) -> Result<Self> {
        let defect = match kind {
            _ if !is_name(name) => "the name has spaces, `+`, or invisible characters",
            KeyKind::Ed25519 | KeyKind::Cosignature if public.len() != 32 => "an Ed25519 key has 32 bytes",
            KeyKind::Ecdsa if public.len() != 91 || !public.starts_with(&P256_PREFIX) => {
                "it is not an ECDSA P-256 key"
            }
            _ => return Ok(Self { name: name.to_owned(), kind, public }),
        };
        Err(Error::Key { name: name.chars().take(128).collect(), defect })
    }

    /// The name in signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may sign.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key's bytes, as [`VerifierKey::new`] takes them.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The whole hash whose first four bytes are the id: sigstore's `logId.keyId`.
    #[must_use]
    pub fn key_hash(&self) -> [u8; 32] {
        if self.kind == KeyKind::Ecdsa {
            return Sha256::digest(&self.public).into();
        }
        let name = Sha256::new().chain_update(&self.name);
        name.chain_update([b'\n', self.kind.byte()]).chain_update(&self.public).finalize().into()
    }

    /// The four bytes that signature lines begin with.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.key_hash();
        [a, b, c, d]
    }

    pub(crate) fn names(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.id == self.id()
    }

    pub(crate) fn check(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            KeyKind::Ed25519 | KeyKind::Cosignature => {
                UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
            }
            KeyKind::Ecdsa => {
                let point = self.public.get(P256_PREFIX.len()..).unwrap_or_default();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[self.kind.byte()][..], &self.public].concat());
        let mut id = String::new();
        for byte in self.id() {
            write!(id, "{byte:02x}")?;
        }
        write!(f, "{}+{id}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = |defect| Error::Key { name: text.chars().take(128).collect(), defect };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("it is not of the form `name+id+key`"));
        };
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| malformed("the key is not base64"))?;
        let kind = match bytes.first() {
            Some(&ED25519_NOTE) => KeyKind::Ed25519,
            Some(&ECDSA_NOTE) => KeyKind::Ecdsa,
            Some(&ED25519_COSIGNATURE) => KeyKind::Cosignature,
            _ => return Err(malformed("the key is of an unknown kind")),
        };
        let key = Self::new(name, kind, bytes.get(1..).unwrap_or_default().to_vec())?;
        if u32::from_str_radix(id, 16).ok() == Some(u32::from_be_bytes(key.id())) && id.len() == 8 {
            Ok(key)
        } else {
            Err(malformed("the id does not match the key"))
        }
    }
}

impl SigningKey {
    /// Generates a key in PKCS#8 form, as [`SigningKey::new`] takes it.
    ///
    /// # Errors
    /// [`Error::Random`] when the system provides no random bytes.
    pub fn generate() -> Result<Vec<u8>> {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| Error::Random)?;
        Ok(pkcs8.as_ref().to_vec())
    }

    /// A key that signs as `name`; `kind` determines what it signs.
    ///
    /// # Errors
    /// [`Error::Key`] when the name is invalid, the bytes are not an Ed25519 key, or `kind` needs another kind of key.
    pub fn new(name: &str, kind: KeyKind, pkcs8: &[u8]) -> Result<Self> {
        let malformed = |defect| Error::Key { name: name.chars().take(128).collect(), defect };
        if kind == KeyKind::Ecdsa {
            return Err(malformed("logs and witnesses sign with Ed25519 only"));
        }
        if !is_name(name) {
            return Err(malformed("the name has spaces, `+`, or invisible characters"));
        }
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| malformed("it is not an Ed25519 key"))?;
        Ok(Self { name: name.to_owned(), kind, pair })
    }

    /// The key that verifies the signatures by this one.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        let public = self.pair.public_key().as_ref().to_vec();
        VerifierKey { name: self.name.clone(), kind: self.kind, public }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && crate::text::is_plain(name) && !name.chars().any(|c| c.is_whitespace() || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of the Go package that the specification comes from (golang.org/x/mod/sumdb/note).
    const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn the_key_of_the_specification_parses_and_prints() {
        let parsed: Result<VerifierKey> = VKEY.parse();
        assert_eq!(parsed.unwrap().to_string(), VKEY);
    }

    #[test]
    fn a_key_id_in_capitals_is_the_same_key() {
        // As golang.org/x/mod/sumdb/note reads it.
        let parsed: Result<VerifierKey> = VKEY.replace("c74f20a3", "C74F20A3").parse();
        assert_eq!(parsed.unwrap().to_string(), VKEY);
    }

    #[test]
    fn malformed_keys_are_refused() {
        for text in
            ["", "a", "a+b+c", "a+530d903f+Ae==", &VKEY.replace("c74f", "c74e"), &VKEY.replace('/', " ")]
        {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = text.parse::<VerifierKey>();
        }
    }
}
