//! OpenPGP, as far as provenance files of Helm charts need it: a clear-signed text, and a keyring of public keys.
//!
//! Source: RFC 9580 and, for `EdDSA` of GnuPG, draft-ietf-openpgp-rfc4880bis. It reads what `gpg` and `helm package
//! --sign` write: keys and signatures of version 4, RSA and Ed25519, SHA-256, SHA-384 and SHA-512. Everything else is
//! refused, and the error names it. Doubts count against a key: a key with a revocation is revoked, regardless of the
//! signer of the revocation.
//!
//! - `packet`: the frames; `armor`: the text around them; `signature`, `key`: their content; `keyring`: which keys may
//!   sign
//!
//! `text + keyring -> the signed text, and its signer`

mod armor;
mod key;
mod keyring;
mod packet;
mod signature;

use error_class::{Class, Classified};

pub use self::keyring::{Keyring, SignedBy};

use self::armor::Clear;
use self::signature::Signature;

/// The largest keyring or text that is read.
const MAX_BYTES: usize = 16 << 20;
/// The largest number of signatures of a text.
const MAX_SIGNATURES: usize = 16;
/// The number of seconds that signatures may be ahead of the clock.
const SKEW: u64 = 300;
/// The type of signatures over text with canonical line endings, as opposed to binary files.
const TEXT: u8 = 0x01;

/// The reason why a text is not validly signed by a key of a keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The bytes are not valid OpenPGP.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A limit is exceeded.
    #[error("larger than {MAX_BYTES} bytes, or has too many packets")]
    TooLarge,
    /// An unsupported feature of OpenPGP.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The keyring contains a secret key.
    #[error("it contains a secret key")]
    SecretKey,
    /// A GnuPG keybox instead of a keyring.
    #[error("it is a GnuPG keybox, not a keyring")]
    Keybox,
    /// The keyring is empty.
    #[error("it contains no public key")]
    NoKey,
    /// No key of the keyring signed.
    #[error("it is signed by key {0}, which is not in the keyring")]
    UnknownKey(String),
    /// A key of the keyring that cannot be used.
    #[error("key {key} cannot be used: {reason}")]
    Key {
        /// Its fingerprint.
        key: String,
        /// The reason.
        reason: &'static str,
    },
    /// An invalid signature by a key of the keyring.
    #[error("the signature by key {0} does not match the text")]
    Wrong(String),
    /// A signature outside its validity period.
    #[error("the signature by key {0} has expired, or is not valid yet")]
    Expired(String),
}

impl Defect {
    /// How to fix the error, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Keybox => Some("export a keyring with `gpg --export > keyring.gpg`"),
            Self::SecretKey => Some(
                "export only public keys, with `gpg --export > keyring.gpg` instead of `--export-secret-keys`",
            ),
            Self::UnknownKey(_) => {
                Some("find out who should have signed, and add that signer's key to the keyring")
            }
            _ => None,
        }
    }
}

/// Verifies a clear-signed text at the time `now` (seconds since 1970): every signature by a key of the keyring must be
/// valid, and at least one must exist. Returns the text, with Unix line endings.
///
/// # Errors
/// The defect of the text or of its signatures.
pub fn verify(text: &[u8], keyring: &Keyring, now: u64) -> Result<(String, SignedBy), Defect> {
    let clear = Clear::parse(text)?;
    let packets = packet::read(&clear.signature)?;
    if packets.len() > MAX_SIGNATURES {
        return Err(Defect::TooLarge);
    }
    let (mut signer, mut unknown) = (None, Vec::new());
    for packet in &packets {
        if packet.tag != packet::SIGNATURE {
            return Err(Defect::Malformed("a packet other than a signature is among the signatures"));
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
            None => unknown.push(signature.issuer_name()),
        }
    }
    match (signer, unknown.pop()) {
        (Some(signer), _) => Ok((clear.text, signer)),
        (None, Some(key)) => Err(Defect::UnknownKey(key)),
        (None, None) => Err(Defect::Malformed("it has no signature")),
    }
}

/// Upper-case hexadecimal digits, as fingerprints are written.
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
