//! Sets of public keys (RFC 7517), and the signatures that a key verifies (RFC 7518, RFC 8037).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use serde::Deserialize;

use super::der;
use crate::Error;

/// The maximum number of keys in a set.
const MOST: usize = 64;

/// The algorithms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Rs256, "RS256"),
        (Self::Rs384, "RS384"),
        (Self::Rs512, "RS512"),
        (Self::Ps256, "PS256"),
        (Self::Ps384, "PS384"),
        (Self::Ps512, "PS512"),
        (Self::Es256, "ES256"),
        (Self::Es384, "ES384"),
        (Self::EdDsa, "EdDSA"),
    ];

    /// The algorithm with this name, which is case-sensitive.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(algorithm, _)| algorithm)
    }

    fn kind(self) -> Kind {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Kind::Rsa,
            Self::Es256 => Kind::P256,
            Self::Es384 => Kind::P384,
            Self::EdDsa => Kind::Ed25519,
        }
    }

    fn scheme(self) -> SignatureScheme {
        match self {
            Self::Rs256 => SignatureScheme::RSA_PKCS1_SHA256,
            Self::Rs384 => SignatureScheme::RSA_PKCS1_SHA384,
            Self::Rs512 => SignatureScheme::RSA_PKCS1_SHA512,
            Self::Ps256 => SignatureScheme::RSA_PSS_SHA256,
            Self::Ps384 => SignatureScheme::RSA_PSS_SHA384,
            Self::Ps512 => SignatureScheme::RSA_PSS_SHA512,
            Self::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            Self::Es384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            Self::EdDsa => SignatureScheme::ED25519,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    /// The length of a number in a signature by an elliptic curve.
    fn half(self) -> Option<usize> {
        match self {
            Self::P256 => Some(32),
            Self::P384 => Some(48),
            Self::Rsa | Self::Ed25519 => None,
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    id: Option<String>,
    kind: Kind,
    /// The only algorithm that the key is for, if it says so.
    algorithm: Option<Algorithm>,
    /// As in a `SubjectPublicKeyInfo`.
    public: Vec<u8>,
}

/// The public keys of an issuer; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct SetText {
    keys: Vec<KeyText>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyText {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
    /// The private part.
    d: Option<serde::de::IgnoredAny>,
}

impl KeySet {
    /// Parses a set. Keys of other kinds and for other uses are left out.
    ///
    /// # Errors
    /// When it is not a set of keys, none can be used, or one is private.
    pub(super) fn parse(issuer: &str, text: &[u8]) -> Result<Self, Error> {
        let set: SetText = serde_json::from_slice(text)
            .map_err(|source| Error::OidcKeySet { issuer: issuer.to_owned(), source })?;
        if set.keys.iter().any(|key| key.d.is_some()) {
            return Err(Error::OidcPrivateKey(issuer.to_owned()));
        }
        let keys: Vec<_> = set.keys.into_iter().filter_map(KeyText::key).take(MOST).collect();
        if keys.is_empty() { Err(Error::OidcNoKey(issuer.to_owned())) } else { Ok(Self(keys)) }
    }

    /// The keys that may have made a signature.
    pub(super) fn candidates<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| {
            (id.is_none() || key.id.as_deref() == id)
                && key.kind == algorithm.kind()
                && key.algorithm.is_none_or(|only| only == algorithm)
        })
    }
}

impl KeyText {
    fn key(self) -> Option<Key> {
        if self.usage.is_some_and(|usage| usage != "sig") {
            return None;
        }
        let algorithm = match &self.alg {
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let point = |half: usize| {
            let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
            (x.len() == half && y.len() == half).then(|| [&[0x04], &x[..], &y].concat())
        };
        let (kind, public) = match (self.kty.as_str(), self.crv.as_str()) {
            ("RSA", _) => (Kind::Rsa, der::pair(&bytes(&self.n)?, &bytes(&self.e)?)),
            ("EC", "P-256") => (Kind::P256, point(32)?),
            ("EC", "P-384") => (Kind::P384, point(48)?),
            ("OKP", "Ed25519") => (Kind::Ed25519, bytes(&self.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Key { id: self.kid, kind, algorithm, public })
    }
}

impl Key {
    /// Whether a signature is by this key.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        // Of several curves, the first one is that of the scheme's name.
        let verifier = known.mapping.iter().find(|(scheme, _)| *scheme == algorithm.scheme());
        let Some(verifier) = verifier.and_then(|(_, verifiers)| verifiers.first()) else { return false };
        let signature = match self.kind.half() {
            None => signature.to_vec(),
            Some(half) if signature.len() == 2 * half => der::pair(&signature[..half], &signature[half..]),
            Some(_) => return false,
        };
        self.kind == algorithm.kind() && verifier.verify_signature(&self.public, message, &signature).is_ok()
    }
}
