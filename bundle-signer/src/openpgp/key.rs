//! A single public key of version 4 (RFC 9580, section 5.5).

use ring::digest;

use super::packet::{integer, number};
use super::{Defect, hex};

/// The curve's object identifier, with its length before it, as in keys.
const ED25519: &[u8] = b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01";

/// The parameters of a key.
#[derive(Clone, Debug)]
pub(super) enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ed25519([u8; 32]),
    /// An unsupported kind of key, refused when it is used.
    Other(&'static str),
}

/// A key or subkey.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    /// The packet's body.
    body: Vec<u8>,
    pub(super) created: u64,
    pub(super) material: Material,
    fingerprint: Vec<u8>,
}

impl PublicKey {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Defect> {
        match body.first() {
            Some(4) => {}
            Some(version) => return Err(Defect::Unsupported(format!("a key of version {version}"))),
            None => return Err(Defect::Malformed("a key is empty")),
        }
        let (created, rest) = number(&body[1..], 4)?;
        let (algorithm, numbers) = rest.split_first().ok_or(Defect::Malformed("a key is cut off"))?;
        let mut key = Self {
            body: body.to_vec(),
            created: created as u64,
            material: material(*algorithm, numbers)?,
            fingerprint: Vec::new(),
        };
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &key.signed()?);
        key.fingerprint = hash.as_ref().to_vec();
        Ok(key)
    }

    /// The bytes of the key that signatures over it cover.
    pub(super) fn signed(&self) -> Result<Vec<u8>, Defect> {
        let length = u16::try_from(self.body.len()).map_err(|_| Defect::TooLarge)?;
        Ok([&[0x99][..], &length.to_be_bytes(), &self.body].concat())
    }

    /// Whether a signature names this key. The name proves nothing: the key must verify the signature.
    pub(super) fn is_named(&self, issuer: [u8; 8]) -> bool {
        self.fingerprint.ends_with(&issuer)
    }

    /// The fingerprint, for display.
    pub(super) fn name(&self) -> String {
        hex(&self.fingerprint)
    }
}

fn material(algorithm: u8, numbers: &[u8]) -> Result<Material, Defect> {
    Ok(match algorithm {
        1 | 3 => {
            let (modulus, rest) = integer(numbers)?;
            let (exponent, rest) = integer(rest)?;
            if !rest.is_empty() {
                return Err(Defect::Malformed("unexpected data follows the numbers of a key"));
            }
            Material::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }
        }
        22 => match numbers.strip_prefix(ED25519) {
            Some(rest) => {
                let (point, rest) = integer(rest)?;
                match (point.strip_prefix(&[0x40]).and_then(|point| point.try_into().ok()), rest) {
                    (Some(point), []) => Material::Ed25519(point),
                    _ => return Err(Defect::Malformed("an Ed25519 key is malformed")),
                }
            }
            None => Material::Other("an EdDSA key on a curve other than Ed25519"),
        },
        27 => match numbers.try_into() {
            Ok(point) => Material::Ed25519(point),
            Err(_) => return Err(Defect::Malformed("an Ed25519 key is malformed")),
        },
        2 => Material::Other("an RSA key for encryption"),
        16 => Material::Other("an Elgamal key"),
        17 => Material::Other("a DSA key"),
        18 | 25 | 26 => Material::Other("an encryption key"),
        19 => Material::Other("an ECDSA key"),
        28 => Material::Other("an Ed448 key"),
        _ => Material::Other("a key of an unknown kind"),
    })
}
