//! Private keys: generating, reading from PEM, writing as Go does, signing.

use der::asn1::{AnyRef, BitStringRef, ContextSpecific, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader, TagNumber};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use rand_chacha::ChaCha20Rng;
use ring::digest::{SHA256, SHA384, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::rsa::RsaKey;
use super::{der as write, dsa};
use crate::primes::Primes;

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A private key of a type that Go's `x509` and Sprig know.
pub(super) enum Key {
    Rsa(RsaKey),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    Ed25519([u8; 32]),
    /// p, q, g, y, x. It can be written and read, but as in Go, no certificate supports it.
    Dsa([Vec<u8>; 5]),
}

impl Key {
    /// Generates a key of a type that `genPrivateKey` accepts.
    ///
    /// # Errors
    /// The type is unknown, or the generation failed. The error is the text that Sprig returns as the result.
    pub(super) fn generate(kind: &str, random: &mut ChaCha20Rng) -> Result<Self, String> {
        Ok(match kind {
            "" | "rsa" => {
                Self::Rsa(RsaKey::large(random).ok_or("failed to generate private key: no prime found")?)
            }
            "dsa" => Self::Dsa(dsa::generate(random)?),
            "ecdsa" => Self::P256(p256::SecretKey::generate_from_rng(random)),
            "ed25519" => {
                let mut seed = [0; 32];
                rand_chacha::rand_core::Rng::fill_bytes(random, &mut seed);
                Self::Ed25519(seed)
            }
            other => return Err(format!("Unknown type {other}")),
        })
    }

    /// A 2048-bit RSA key for a certificate.
    pub(super) fn for_certificate(primes: &Primes) -> Self {
        Self::Rsa(RsaKey::generate(primes))
    }

    /// A 2048-bit RSA key for a certificate with its own seed.
    pub(super) fn of_seed(seed: [u8; 32]) -> Result<Self, String> {
        Ok(Self::Rsa(RsaKey::of_seed(seed).ok_or("failed to generate private key: no prime found")?))
    }

    /// Sprig's `parsePrivateKeyPEM`.
    ///
    /// # Errors
    /// Sprig's text; the part that would come from Go's DER parser is our own.
    pub(super) fn from_pem(text: &str) -> Result<Self, String> {
        let block = pem::parse(text).map_err(|_| "no PEM data in input".to_owned())?;
        let tag = block.tag();
        if tag == "PRIVATE KEY" {
            return from_pkcs8(block.contents()).map_err(|error| format!("decoding PEM as PKCS#8: {error}"));
        }
        let Some(kind) = tag.strip_suffix(" PRIVATE KEY") else {
            return Err(format!("no private key data in PEM block of type {tag}"));
        };
        let key = match kind {
            "RSA" => RsaKey::from_pkcs1(block.contents()).map(Self::Rsa),
            "EC" => from_sec1(block.contents(), None),
            "DSA" => from_dsa(block.contents()),
            _ => return Err(format!("invalid private key type {kind}")),
        };
        key.map_err(|error| format!("parsing {kind} private key from PEM: {error}"))
    }

    /// Sprig's `pemBlockForKey`: PKCS #1, SEC 1 or PKCS #8, depending on the type.
    pub(super) fn to_pem(&self) -> String {
        let (tag, bytes) = match self {
            Self::Rsa(key) => ("RSA PRIVATE KEY", key.to_pkcs1()),
            Self::P256(key) => ("EC PRIVATE KEY", sec1(&key.to_bytes(), P256, &self.public())),
            Self::P384(key) => ("EC PRIVATE KEY", sec1(&key.to_bytes(), P384, &self.public())),
            Self::Ed25519(seed) => {
                let secret = write::octet_string(&write::octet_string(seed));
                ("PRIVATE KEY", write::sequence(&[write::integer(&[0]), self.algorithm(), secret]))
            }
            Self::Dsa(numbers) => {
                let numbers = numbers.iter().map(|number| write::integer(number));
                let all: Vec<_> = std::iter::once(write::integer(&[0])).chain(numbers).collect();
                ("DSA PRIVATE KEY", write::sequence(&all))
            }
        };
        to_pem(tag, bytes)
    }

    /// The bits of the public key, as in a certificate.
    pub(super) fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public(),
            Self::P256(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
            Self::P384(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
            Self::Ed25519(seed) => Ed25519KeyPair::from_seed_unchecked(seed)
                .map(|pair| pair.public_key().as_ref().to_vec())
                .unwrap_or_default(),
            Self::Dsa(_) => Vec::new(),
        }
    }

    /// The `AlgorithmIdentifier` of the key.
    fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::Rsa(_) => write::sequence(&[write::oid(RSA_ENCRYPTION), write::null()]),
            Self::P256(_) => write::sequence(&[write::oid(EC_PUBLIC_KEY), write::oid(P256)]),
            Self::P384(_) => write::sequence(&[write::oid(EC_PUBLIC_KEY), write::oid(P384)]),
            Self::Ed25519(_) => write::sequence(&[write::oid(ED25519)]),
            Self::Dsa(_) => write::sequence(&[]),
        }
    }

    /// The `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// Go's certificates do not support this type of key.
    pub(super) fn public_info(&self) -> Result<Vec<u8>, String> {
        if matches!(self, Self::Dsa(_)) {
            return Err("x509: unsupported public key type: *dsa.PublicKey".into());
        }
        Ok(write::sequence(&[self.algorithm(), write::bit_string(&self.public())]))
    }

    /// The `AlgorithmIdentifier` of the signatures that Go creates with such a key.
    ///
    /// # Errors
    /// Go does not sign certificates with this type of key.
    pub(super) fn signature_algorithm(&self) -> Result<Vec<u8>, String> {
        Ok(match self {
            Self::Rsa(_) => write::sequence(&[write::oid(SHA256_WITH_RSA), write::null()]),
            Self::P256(_) => write::sequence(&[write::oid(ECDSA_WITH_SHA256)]),
            Self::P384(_) => write::sequence(&[write::oid(ECDSA_WITH_SHA384)]),
            Self::Ed25519(_) => self.algorithm(),
            Self::Dsa(_) => {
                return Err("x509: certificate private key does not implement crypto.Signer".into());
            }
        })
    }

    /// A deterministic signature: ECDSA follows RFC 6979.
    ///
    /// # Errors
    /// The key cannot sign.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |_| "signing failed".to_owned();
        match self {
            Self::Rsa(key) => key.sign(message),
            Self::P256(key) => {
                let hash = digest(&SHA256, message);
                let signature: p256::ecdsa::DerSignature =
                    p256::ecdsa::SigningKey::from(key).sign_prehash(hash.as_ref()).map_err(failed)?;
                Ok(signature.as_bytes().to_vec())
            }
            Self::P384(key) => {
                let hash = digest(&SHA384, message);
                let signature: p384::ecdsa::DerSignature =
                    p384::ecdsa::SigningKey::from(key).sign_prehash(hash.as_ref()).map_err(failed)?;
                Ok(signature.as_bytes().to_vec())
            }
            Self::Ed25519(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|error| error.to_string())?;
                Ok(pair.sign(message).as_ref().to_vec())
            }
            Self::Dsa(_) => Err("x509: certificate private key does not implement crypto.Signer".into()),
        }
    }
}

/// PEM with lines of 64 characters that end in a line feed, as in Go's `pem`.
pub(super) fn to_pem(tag: &str, bytes: Vec<u8>) -> String {
    let form = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, bytes), form)
}

/// SEC 1 section C.4.
fn sec1(secret: &[u8], curve: &[u8], public: &[u8]) -> Vec<u8> {
    write::sequence(&[
        write::integer(&[1]),
        write::octet_string(secret),
        write::explicit(0, &write::oid(curve)),
        write::explicit(1, &write::bit_string(public)),
    ])
}

fn from_sec1(bytes: &[u8], curve: Option<ObjectIdentifier>) -> Result<Key, String> {
    let mut reader = SliceReader::new(bytes).map_err(|error| error.to_string())?;
    let read = reader.sequence(|reader| {
        u8::decode(reader)?;
        let secret = <&OctetStringRef>::decode(reader)?;
        let named = ContextSpecific::<ObjectIdentifier>::decode_explicit(reader, TagNumber(0))?;
        ContextSpecific::<BitStringRef<'_>>::decode_explicit(reader, TagNumber(1))?;
        Ok::<_, der::Error>((secret, named.map(|named| named.value)))
    });
    let (secret, named) = read.map_err(|error| error.to_string())?;
    let curve = curve.or(named).ok_or_else(|| "x509: unknown elliptic curve".to_owned())?;
    let invalid = |_| "x509: invalid elliptic curve private key value".to_owned();
    match curve.as_bytes() {
        P256 => p256::SecretKey::from_slice(secret.as_bytes()).map(Key::P256).map_err(invalid),
        P384 => p384::SecretKey::from_slice(secret.as_bytes()).map(Key::P384).map_err(invalid),
        _ => Err(format!("curve {curve} is not supported: P-256 and P-384 are")),
    }
}

fn from_pkcs8(bytes: &[u8]) -> Result<Key, String> {
    let mut reader = SliceReader::new(bytes).map_err(|error| error.to_string())?;
    let read = reader.sequence(|reader| {
        u8::decode(reader)?;
        let (algorithm, parameters) = reader.sequence(|reader| {
            let algorithm: ObjectIdentifier = ObjectIdentifier::decode(reader)?;
            let parameters = if reader.is_finished() { None } else { Some(AnyRef::decode(reader)?) };
            Ok::<_, der::Error>((algorithm, parameters))
        })?;
        let secret = <&OctetStringRef>::decode(reader)?;
        // Attributes and the public key, which PKCS #8 may contain, are not needed.
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        Ok::<_, der::Error>((algorithm, parameters, secret.as_bytes()))
    });
    let (algorithm, parameters, secret) = read.map_err(|error| error.to_string())?;
    match algorithm.as_bytes() {
        RSA_ENCRYPTION => RsaKey::from_pkcs1(secret).map(Key::Rsa),
        EC_PUBLIC_KEY => from_sec1(secret, parameters.and_then(|any| any.decode_as().ok())),
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(secret).map_err(|error| error.to_string())?;
            let seed = seed.as_bytes().try_into();
            seed.map(Key::Ed25519).map_err(|_| "x509: invalid Ed25519 private key length".to_owned())
        }
        _ => Err(format!("x509: PKCS#8 wrapping contained private key with unknown algorithm: {algorithm}")),
    }
}

fn from_dsa(bytes: &[u8]) -> Result<Key, String> {
    let mut reader = SliceReader::new(bytes).map_err(|error| error.to_string())?;
    let numbers = reader.sequence(|reader| {
        u8::decode(reader)?;
        let mut numbers: [Vec<u8>; 5] = Default::default();
        for number in &mut numbers {
            *number = UintRef::decode(reader)?.as_bytes().to_vec();
        }
        Ok::<_, der::Error>(numbers)
    });
    numbers.map(Key::Dsa).map_err(|error| error.to_string())
}
