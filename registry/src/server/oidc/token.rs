//! The parts of a signed token (RFC 7515, section 7.1), and the check of its signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Fault;
use super::claims::Members;
use super::keys::{Algorithm, Key, KeySet};

/// The maximum length of a token, in bytes.
const LONGEST: usize = 16 << 10;
/// The beginning of every token: `{"`, encoded.
const BEGINNING: &str = "eyJ";

/// A token whose signature may be wrong.
pub(super) struct SignedToken<'a> {
    header: Members,
    claims: Members,
    /// The bytes that are signed.
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// Whether a text has the form of a token. A token of this registry and a password of a user have not.
pub(in crate::server) fn is_token(text: &str) -> bool {
    text.starts_with(BEGINNING) && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl<'a> SignedToken<'a> {
    /// Parses a token; `None` if it is malformed.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        Some(Self {
            header: Members::parse(&bytes(header)?)?,
            claims: Members::parse(&bytes(claims)?)?,
            signed: signed.as_bytes(),
            signature: bytes(signature)?,
        })
    }

    /// What the token says.
    pub(super) fn claims(&self) -> &Members {
        &self.claims
    }

    fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::named(self.header.text("alg")?)
    }

    /// The keys that may have signed it.
    pub(super) fn keys<'k>(&'k self, keys: &'k KeySet) -> impl Iterator<Item = &'k Key> {
        let id = self.header.text("kid");
        self.algorithm().into_iter().flat_map(move |algorithm| keys.candidates(id, algorithm))
    }

    /// Checks that one of the keys has signed it. What the header says about keys counts for nothing but `kid`.
    pub(super) fn verify(&self, keys: &KeySet) -> Result<(), Fault> {
        let algorithm = self.algorithm().ok_or(Fault::Algorithm)?;
        // Whoever does not understand an extension that is critical must refuse the token (RFC 7515, section 4.1.11).
        let strange = self.header.has("crit") || self.header.has("kid") && self.header.text("kid").is_none();
        if strange {
            return Err(Fault::Malformed);
        }
        let mut candidates = self.keys(keys).peekable();
        if candidates.peek().is_none() {
            return Err(Fault::Key);
        }
        let signed = candidates.any(|key| key.verifies(algorithm, self.signed, &self.signature));
        if signed { Ok(()) } else { Err(Fault::Signature) }
    }
}
