//! Public keys that verify signatures: ECDSA on P-256, which airlock signs with; P-384 and RSA, which others sign with
//! in cosign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::agreement::{self, EphemeralPrivateKey};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};

use super::der::{BITS, INTEGER, Reader, SEQUENCE};
use super::{POINT_LEN, PUBLIC_PEM, SPKI_PREFIX};
use crate::{Error, Result, pem_text};

/// The bytes before the 97-byte uncompressed point in the DER of a P-384 SubjectPublicKeyInfo.
const P384_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
    0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
const P384_LEN: usize = 97;
/// The `AlgorithmIdentifier`'s content of an RSA key (RFC 3279, section 2.3.1).
const RSA_ALGORITHM: [u8; 13] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// Bytes of a modulus of 2048 to 8192 bits, with the leading zero.
const RSA_LEN: std::ops::RangeInclusive<usize> = 257..=1025;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(KeyData);

#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyData {
    P256([u8; POINT_LEN]),
    P384([u8; P384_LEN]),
    /// The whole SubjectPublicKeyInfo, and the `RSAPublicKey` within.
    Rsa {
        spki: Vec<u8>,
        key: Vec<u8>,
    },
}

impl PublicKey {
    /// Parses a PEM `PUBLIC KEY`, as `cosign generate-key-pair` and `openssl pkey -pubout` write it.
    ///
    /// # Errors
    /// When it is not PEM, or a key of an unsupported kind.
    pub fn from_pem(text: &str) -> Result<Self> {
        let block = pem_text::decode(text)?;
        if block.tag() != PUBLIC_PEM {
            return Err(Error::PemKind { found: block.tag().to_owned(), expected: PUBLIC_PEM });
        }
        let spki = block.contents();
        if let Some(point) = spki.strip_prefix(&P384_PREFIX) {
            let point: [u8; P384_LEN] = point.try_into().map_err(|_| Error::PublicKey)?;
            check_point(&agreement::ECDH_P384, &point)?;
            return Ok(Self(KeyData::P384(point)));
        }
        if let Some(key) = rsa(spki) {
            return Ok(Self(KeyData::Rsa { spki: spki.to_vec(), key }));
        }
        Self::from_point(spki.strip_prefix(&SPKI_PREFIX).ok_or(Error::PublicKey)?)
    }

    /// The key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_text::encode(PUBLIC_PEM, self.to_spki())
    }

    /// The identifier of a key without a certificate in sigstore: base64 of SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(digest(&SHA256, &self.to_spki()))
    }

    /// Whether `signature` is by this key over `bytes`. With P-384, cosign 2 signs over SHA-256 and cosign 3 over SHA-384;
    /// with RSA, both sign with PKCS #1 v1.5 over SHA-256.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(bytes, signature).is_ok()
        };
        match &self.0 {
            KeyData::P256(point) => by(&ECDSA_P256_SHA256_ASN1, point),
            KeyData::P384(point) => by(&ECDSA_P384_SHA384_ASN1, point) || by(&ECDSA_P384_SHA256_ASN1, point),
            KeyData::Rsa { key, .. } => by(&RSA_PKCS1_2048_8192_SHA256, key),
        }
    }

    /// The kind of key, for display.
    pub(super) fn kind(&self) -> &'static str {
        match self.0 {
            KeyData::P256(_) => "ecdsa-p256",
            KeyData::P384(_) => "ecdsa-p384",
            KeyData::Rsa { .. } => "rsa",
        }
    }

    /// The key as DER SubjectPublicKeyInfo.
    pub(crate) fn to_spki(&self) -> Vec<u8> {
        match &self.0 {
            KeyData::P256(point) => [&SPKI_PREFIX[..], point].concat(),
            KeyData::P384(point) => [&P384_PREFIX[..], point].concat(),
            KeyData::Rsa { spki, .. } => spki.clone(),
        }
    }

    pub(crate) fn from_point(point: &[u8]) -> Result<Self> {
        let point: [u8; POINT_LEN] = point.try_into().map_err(|_| Error::PublicKey)?;
        check_point(&agreement::ECDH_P256, &point)?;
        Ok(Self(KeyData::P256(point)))
    }
}

/// Ring checks a point only when it is used. A throwaway key agreement detects a mistyped key here, where its file can
/// be named, and not later as a signature that does not verify.
fn check_point(curve: &'static agreement::Algorithm, point: &[u8]) -> Result<()> {
    if point.first() != Some(&0x04) {
        return Err(Error::PublicKey);
    }
    let throwaway = EphemeralPrivateKey::generate(curve, &SystemRandom::new()).map_err(|_| Error::Crypto)?;
    let peer = agreement::UnparsedPublicKey::new(curve, point);
    agreement::agree_ephemeral(throwaway, &peer, |_| ()).map_err(|_| Error::PublicKeyPoint)
}

/// The `RSAPublicKey` (RFC 8017, A.1.1) in a SubjectPublicKeyInfo.
fn rsa(spki: &[u8]) -> Option<Vec<u8>> {
    let mut info = Reader::only(spki, SEQUENCE)?;
    if info.element(SEQUENCE)? != RSA_ALGORITHM {
        return None;
    }
    let key = info.element(BITS)?.strip_prefix(&[0])?;
    let mut numbers = Reader::only(key, SEQUENCE)?;
    let (modulus, exponent) = (numbers.element(INTEGER)?, numbers.element(INTEGER)?);
    let sound =
        info.is_empty() && numbers.is_empty() && RSA_LEN.contains(&modulus.len()) && exponent.len() <= 4;
    sound.then(|| key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys");

    fn read(name: &str) -> Vec<u8> {
        std::fs::read(format!("{FOLDER}/{name}")).unwrap()
    }

    #[test]
    fn r7_signatures_by_p384_and_rsa_verify_as_cosign_creates_them() {
        for (key, signatures) in
            [("p384.pub", &["p384-sha256.sig", "p384-sha384.sig"][..]), ("rsa.pub", &["rsa-sha256.sig"])]
        {
            let pem = String::from_utf8(read(key)).unwrap();
            let public = PublicKey::from_pem(&pem).unwrap();
            assert_eq!(public.to_pem(), pem);
            for signature in signatures {
                assert!(public.verifies(b"payload", &read(signature)), "{signature}");
                assert!(!public.verifies(b"Payload", &read(signature)), "{signature}");
            }
        }
    }

    #[test]
    fn r7_short_and_broken_rsa_keys_are_refused() {
        let good =
            pem_text::decode(std::str::from_utf8(&read("rsa.pub")).unwrap()).unwrap().contents().to_vec();
        for at in [0, 4, 10, 20, 24, 28] {
            let mut broken = good.clone();
            broken[at] ^= 0x20;
            assert!(rsa(&broken).is_none(), "byte {at}");
        }
        assert!(rsa(&[&good[..], &[0]].concat()).is_none() && rsa(&good).is_some());
        let short = String::from_utf8(read("rsa-1024.pub")).unwrap();
        assert!(matches!(PublicKey::from_pem(&short), Err(Error::PublicKey)));
    }
}
