//! A public key of version 4 (RFC 9580, section 5.5), alone.

use ring::digest;

use super::packet::{integer, number};
use super::{Defect, hex};

/// Curves' names, with their lengths before them, as they stand in keys.
const ED25519: &[u8] = b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01";

/// A key's numbers.
#[derive(Clone, Debug)]
pub(super) enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ed25519([u8; 32]),
    /// One that is not read here; told when it would be needed.
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

    /// The key as signatures over it sign it.
    pub(super) fn signed(&self) -> Result<Vec<u8>, Defect> {
        let length = u16::try_from(self.body.len()).map_err(|_| Defect::TooLarge)?;
        Ok([&[0x99][..], &length.to_be_bytes(), &self.body].concat())
    }

    /// Whether this is the key that a signature names. A name decides nothing: the key has to fit.
    pub(super) fn is_named(&self, issuer: [u8; 8]) -> bool {
        self.fingerprint.ends_with(&issuer)
    }

    /// The fingerprint, as people compare it.
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
                return Err(Defect::Malformed("something follows a key's numbers"));
            }
            Material::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }
        }
        22 => match numbers.strip_prefix(ED25519) {
            Some(rest) => {
                let (point, rest) = integer(rest)?;
                match (point.strip_prefix(&[0x40]).and_then(|point| point.try_into().ok()), rest) {
                    (Some(point), []) => Material::Ed25519(point),
                    _ => return Err(Defect::Malformed("an Ed25519 key is not one")),
                }
            }
            None => Material::Other("EdDSA on another curve than Ed25519"),
        },
        27 => match numbers.try_into() {
            Ok(point) => Material::Ed25519(point),
            Err(_) => return Err(Defect::Malformed("an Ed25519 key is not one")),
        },
        2 => Material::Other("RSA for encryption"),
        16 => Material::Other("Elgamal"),
        17 => Material::Other("DSA"),
        18 | 25 | 26 => Material::Other("a kind for encryption"),
        19 => Material::Other("ECDSA"),
        28 => Material::Other("Ed448"),
        _ => Material::Other("an unknown kind"),
    })
}
