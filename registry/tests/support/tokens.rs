//! Tokens of an issuer, for tests.
#![allow(clippy::allow_attributes, dead_code, clippy::expect_used, reason = "each test uses a part of it")]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde_json::{Value, json};

/// An RSA key of 2048 bits, and its public numbers.
const RSA: &str = include_str!("../data/rsa.key");
const RSA_JWK: &str = include_str!("../data/rsa.jwk");

/// An issuer with one key.
pub(crate) struct Issuer {
    key: Arc<dyn SigningKey>,
    pub(crate) jwk: Value,
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    /// An issuer with a new key on the curve P-256.
    pub(crate) fn p256(id: &str) -> Self {
        Self::curve(id, &rcgen::PKCS_ECDSA_P256_SHA256, "P-256")
    }

    pub(crate) fn p384(id: &str) -> Self {
        Self::curve(id, &rcgen::PKCS_ECDSA_P384_SHA384, "P-384")
    }

    pub(crate) fn ed25519(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("no key");
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": encode(rcgen::PublicKeyData::der_bytes(&pair)) });
        Self::new(&pair.serialize_der(), jwk)
    }

    pub(crate) fn rsa(id: &str) -> Self {
        let mut jwk: Value = serde_json::from_str(RSA_JWK).expect("no JSON");
        jwk["kid"] = id.into();
        let key = PrivateKeyDer::from_pem_slice(RSA.as_bytes()).expect("no key");
        Self { key: rustls::crypto::ring::sign::any_supported_type(&key).expect("no key"), jwk }
    }

    fn curve(id: &str, algorithm: &'static rcgen::SignatureAlgorithm, name: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(algorithm).expect("no key");
        let (x, y) = rcgen::PublicKeyData::der_bytes(&pair)[1..].split_at(match name {
            "P-256" => 32,
            _ => 48,
        });
        let jwk =
            json!({ "kty": "EC", "crv": name, "kid": id, "use": "sig", "x": encode(x), "y": encode(y) });
        Self::new(&pair.serialize_der(), jwk)
    }

    fn new(der: &[u8], jwk: Value) -> Self {
        let key = PrivateKeyDer::try_from(der.to_vec()).expect("no key");
        Self { key: rustls::crypto::ring::sign::any_supported_type(&key).expect("no key"), jwk }
    }

    /// The set of its keys.
    pub(crate) fn keys(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    /// A token with this algorithm.
    pub(crate) fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "kid": self.jwk["kid"], "typ": "JWT" });
        self.sign(algorithm, &header.to_string(), &claims.to_string())
    }

    /// A token with these texts, signed with this algorithm.
    pub(crate) fn sign(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let (scheme, half) = match algorithm {
            "RS256" => (SignatureScheme::RSA_PKCS1_SHA256, None),
            "PS256" => (SignatureScheme::RSA_PSS_SHA256, None),
            "ES256" => (SignatureScheme::ECDSA_NISTP256_SHA256, Some(32)),
            "ES384" => (SignatureScheme::ECDSA_NISTP384_SHA384, Some(48)),
            _ => (SignatureScheme::ED25519, None),
        };
        let signer = self.key.choose_scheme(&[scheme]).expect("another kind of key");
        let signature = signer.sign(signed.as_bytes()).expect("not signed");
        let signature = half.map_or(signature.clone(), |half| joined(&signature, half));
        format!("{signed}.{}", encode(signature))
    }
}

/// The two numbers of a DER signature, next to each other.
fn joined(der: &[u8], half: usize) -> Vec<u8> {
    let mut rest = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let (number, more) = rest[2..].split_at(rest[1].into());
        let number = &number[number.len().saturating_sub(half)..];
        both.extend(vec![0; half - number.len()]);
        both.extend(number);
        rest = more;
    }
    both
}
