//! A signature of version 4 (RFC 9580, section 5.2), and its verification.

use ring::digest;
use ring::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::key::Material;
use super::packet::{integer, new_length, number};
use super::{Defect, hex};

/// A parsed signature.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) kind: u8,
    algorithm: u8,
    hash: Hash,
    /// The part of the packet that is signed together with the data.
    hashed: Vec<u8>,
    pub(super) created: u64,
    /// Seconds from its creation to its expiration; none if it does not expire.
    pub(super) expires: Option<u64>,
    /// The end of the issuer's fingerprint.
    pub(super) issuer: Option<[u8; 8]>,
    /// Seconds from the creation of the key to its expiration, in a signature over a key.
    pub(super) key_expires: Option<u64>,
    /// The allowed uses of the key, in a signature over a key.
    pub(super) flags: Option<u8>,
    /// An embedded signature.
    pub(super) embedded: Option<Vec<u8>>,
    left: [u8; 2],
    numbers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
    /// Too weak, or unknown: it proves nothing.
    Other(u8),
}

impl Signature {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Defect> {
        match body.first() {
            Some(4) => {}
            Some(version) => {
                return Err(Defect::Unsupported(format!("a signature of version {version}")));
            }
            None => return Err(Defect::Malformed("a signature is empty")),
        }
        let [_, kind, algorithm, hash, ..] = *body else {
            return Err(Defect::Malformed("a signature is cut off"));
        };
        let (length, rest) = number(&body[4..], 2)?;
        let (hashed, rest) = cut(rest, length)?;
        let signed = body.get(..6 + length).unwrap_or_default().to_vec();
        let (length, rest) = number(rest, 2)?;
        let (unhashed, rest) = cut(rest, length)?;
        let (left, numbers) = rest.split_first_chunk().ok_or(Defect::Malformed("a signature is cut off"))?;
        let mut signature = Self {
            kind,
            algorithm,
            hash: Hash::of(hash),
            hashed: signed,
            created: 0,
            expires: None,
            issuer: None,
            key_expires: None,
            flags: None,
            embedded: None,
            left: *left,
            numbers: numbers.to_vec(),
        };
        // Only hashed subpackets are signed. Of the others, only those that need no signature are read.
        let has_time = signature.read(hashed, true)?;
        signature.read(unhashed, false)?;
        if !has_time {
            return Err(Defect::Malformed("a signature has no creation time"));
        }
        Ok(signature)
    }

    /// Reads subpackets; returns whether one is the creation time.
    fn read(&mut self, mut bytes: &[u8], signed: bool) -> Result<bool, Defect> {
        let mut has_time = false;
        while !bytes.is_empty() {
            let (length, rest) = new_length(bytes)?;
            let (subpacket, rest) = cut(rest, length)?;
            bytes = rest;
            let (kind, value) = subpacket.split_first().ok_or(Defect::Malformed("a subpacket is empty"))?;
            let seconds = || number(value, 4).map(|(seconds, _)| seconds as u64);
            match (kind & 0x7f, signed) {
                (2, true) => (self.created, has_time) = (seconds()?, true),
                (3, true) => self.expires = Some(seconds()?).filter(|seconds| *seconds > 0),
                (9, true) => self.key_expires = Some(seconds()?).filter(|seconds| *seconds > 0),
                (27, true) => self.flags = Some(value.first().copied().unwrap_or(0)),
                // Only selects the key to try; the key must verify the signature.
                (16, _) => self.issuer = value.try_into().ok().or(self.issuer),
                (33, _) if value.first() == Some(&4) && value.len() == 21 => {
                    self.issuer = value.last_chunk().copied().or(self.issuer);
                }
                (32, _) => self.embedded = Some(value.to_vec()),
                // Preferences and notes, which have no effect here.
                (2 | 3 | 9 | 11 | 12 | 20..=31 | 33..=39, _) if kind & 0x80 == 0 || *kind & 0x7f != 20 => {}
                (_, true) if kind & 0x80 != 0 => {
                    let number = kind & 0x7f;
                    return Err(Defect::Unsupported(format!(
                        "the critical subpacket {number} of a signature"
                    )));
                }
                _ => {}
            }
        }
        Ok(has_time)
    }

    /// The issuer, for display.
    pub(super) fn issuer_name(&self) -> String {
        self.issuer.map_or_else(|| "(not named)".to_owned(), |issuer| hex(&issuer))
    }

    /// Whether a key made this signature over the data.
    pub(super) fn fits(&self, key: &Material, data: &[u8]) -> Result<bool, Defect> {
        let mut message = data.to_vec();
        message.extend(&self.hashed);
        message.extend([4, 0xff]);
        message.extend(u32::try_from(self.hashed.len()).unwrap_or(u32::MAX).to_be_bytes());
        let (algorithm, rsa) = self.hash.algorithms()?;
        let digest = digest::digest(algorithm, &message);
        if !digest.as_ref().starts_with(&self.left) {
            return Ok(false);
        }
        match (key, self.algorithm) {
            (Material::Rsa { modulus, exponent }, 1 | 3) => {
                let (value, rest) = integer(&self.numbers)?;
                no_more(rest)?;
                let missing = modulus.len().saturating_sub(value.len());
                let padded = [&vec![0; missing][..], value].concat();
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                Ok(key.verify(rsa, &message, &padded).is_ok())
            }
            (Material::Ed25519(key), 22) => {
                let (r, rest) = integer(&self.numbers)?;
                let (s, rest) = integer(rest)?;
                no_more(rest)?;
                let mut value = [0; 64];
                let (left, right) = value.split_at_mut(32);
                if !align_right(r, left) || !align_right(s, right) {
                    return Ok(false);
                }
                Ok(UnparsedPublicKey::new(&ED25519, key).verify(digest.as_ref(), &value).is_ok())
            }
            (Material::Ed25519(key), 27) => {
                Ok(UnparsedPublicKey::new(&ED25519, key).verify(digest.as_ref(), &self.numbers).is_ok())
            }
            (Material::Other(name), _) => Err(Defect::Unsupported((*name).to_owned())),
            (Material::Rsa { .. } | Material::Ed25519(_), _) => Ok(false),
        }
    }
}

impl Hash {
    fn of(number: u8) -> Self {
        match number {
            8 => Self::Sha256,
            9 => Self::Sha384,
            10 => Self::Sha512,
            other => Self::Other(other),
        }
    }

    fn algorithms(self) -> Result<(&'static digest::Algorithm, &'static RsaParameters), Defect> {
        match self {
            Self::Sha256 => Ok((&digest::SHA256, &RSA_PKCS1_2048_8192_SHA256)),
            Self::Sha384 => Ok((&digest::SHA384, &RSA_PKCS1_2048_8192_SHA384)),
            Self::Sha512 => Ok((&digest::SHA512, &RSA_PKCS1_2048_8192_SHA512)),
            Self::Other(1) => Err(Defect::Unsupported("a signature over an MD5 hash".to_owned())),
            Self::Other(2) => Err(Defect::Unsupported("a signature over a SHA-1 hash".to_owned())),
            Self::Other(number) => {
                Err(Defect::Unsupported(format!("a signature over a hash with algorithm number {number}")))
            }
        }
    }
}

/// Copies a number to the end of a longer slice.
fn align_right(number: &[u8], into: &mut [u8]) -> bool {
    let Some(missing) = into.len().checked_sub(number.len()) else { return false };
    into[missing..].copy_from_slice(number);
    true
}

fn no_more(rest: &[u8]) -> Result<(), Defect> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Defect::Malformed("unexpected data follows the numbers of a signature"))
    }
}

fn cut(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), Defect> {
    bytes.split_at_checked(length).ok_or(Defect::Malformed("a signature is cut off"))
}
