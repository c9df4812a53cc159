//! OpenPGP, as far as provenance files of Helm charts need it: a clear-signed text, and a keyring of public keys.
//!
//! Source: RFC 9580 and, for `EdDSA` of GnuPG, draft-ietf-openpgp-rfc4880bis. Read is what `gpg` and `helm package --sign` write:
//! keys and signatures of version 4, RSA and Ed25519, SHA-256, SHA-384 and SHA-512. Everything else is refused by its name.
//! What is in doubt counts against a key: one with a revocation is revoked, whoever signed that.
//!
//! - `packet`: the frames; `armor`: text around them; `signature`, `key`: what they say; `keyring`: which keys may sign
//!
//! `text + keyring -> the text that was signed, and by whom`

mod armor;
mod key;
mod keyring;
mod packet;
mod signature;

use error_class::{Class, Classified};

pub use self::keyring::{Keyring, SignedBy};

use self::armor::Clear;
use self::signature::Signature;

/// Bytes of a keyring or a text that are looked at.
const MOST_BYTES: usize = 16 << 20;
/// Signatures of a text that are looked at.
const MOST_SIGNATURES: usize = 16;
/// Signatures may be this much ahead of the clock.
const SKEW: u64 = 300;
/// A text with line ends of its own, as opposed to a file.
const TEXT: u8 = 0x01;

/// Why a text is not signed by a key of a keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The bytes are not what OpenPGP has there.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// More than is looked at.
    #[error("larger than {MOST_BYTES} bytes, or has too many packets")]
    TooLarge,
    /// Something of OpenPGP that is not read here.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The keyring holds a secret.
    #[error("it holds a secret key")]
    SecretKey,
    /// GnuPG's own file.
    #[error("it is a GnuPG keybox, not a keyring")]
    Keybox,
    /// Nothing there.
    #[error("it holds no public key")]
    NoKey,
    /// No key of the keyring signed.
    #[error("it is signed by key {0}, which is not in the keyring")]
    UnknownKey(String),
    /// A key of the keyring that does not count.
    #[error("key {key} cannot be used: {why}")]
    Key {
        /// Its fingerprint.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// A signature by a key of the keyring that is wrong.
    #[error("the signature by key {0} does not match the text")]
    Wrong(String),
    /// A signature that has an end, or a beginning, which is not now.
    #[error("the signature by key {0} has expired, or is not valid yet")]
    Expired(String),
}

impl Defect {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Keybox => Some("write a keyring by `gpg --export > keyring.gpg`"),
            Self::SecretKey => Some("give public keys: `gpg --export > keyring.gpg`, without `-secret-keys`"),
            Self::UnknownKey(_) => Some("check who should have signed, and export that key into the keyring"),
            _ => None,
        }
    }
}

/// Checks a clear-signed text at a moment (seconds since 1970): every signature that it has by a key of the keyring, and
/// that there is one. Gives the text, with line ends as Unix has them.
///
/// # Errors
/// What is wrong with the text or its signatures.
pub fn verify(text: &[u8], keyring: &Keyring, now: u64) -> Result<(String, SignedBy), Defect> {
    let clear = Clear::parse(text)?;
    let packets = packet::read(&clear.signature)?;
    if packets.len() > MOST_SIGNATURES {
        return Err(Defect::TooLarge);
    }
    let (mut signer, mut strangers) = (None, Vec::new());
    for packet in &packets {
        if packet.tag != packet::SIGNATURE {
            return Err(Defect::Malformed("something else than a signature stands among the signatures"));
        }
        let signature = Signature::parse(packet.body)?;
        if signature.kind != TEXT {
            return Err(Defect::Unsupported(format!(
                "a signature of type {:#04x} over a text",
                signature.kind
            )));
        }
        match keyring.signer(&signature, clear.canonical().as_bytes(), now)? {
            Some(found) => signer = signer.or(Some(found)),
            None => strangers.push(signature.issuer_name()),
        }
    }
    match (signer, strangers.pop()) {
        (Some(signer), _) => Ok((clear.text, signer)),
        (None, Some(stranger)) => Err(Defect::UnknownKey(stranger)),
        (None, None) => Err(Defect::Malformed("there is no signature")),
    }
}

/// Digits as people compare them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

impl Classified for Defect {
    fn class(&self) -> Class {
        match self {
            Self::Malformed(_)
            | Self::TooLarge
            | Self::Unsupported(_)
            | Self::SecretKey
            | Self::Keybox
            | Self::NoKey
            | Self::UnknownKey(_)
            | Self::Key { .. }
            | Self::Wrong(_)
            | Self::Expired(_) => Class::Refused,
        }
    }
}
