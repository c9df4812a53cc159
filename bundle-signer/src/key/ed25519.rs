//! Ed25519 keys (RFC 8032), with which logs and witnesses sign notes, as PKCS#8 and `SubjectPublicKeyInfo` (RFC 8410).
//! They never sign images or drives, because stock cosign uses such keys for Ed25519ph.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use tlog::VerifierKey;
use tlog::note::KeyKind;
use zeroize::Zeroizing;

use super::PUBLIC_PEM;
use crate::{Error, Result, pem_text, sealed};

/// The bytes before the 32-byte key in a `SubjectPublicKeyInfo`.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The bytes before the 32 secret bytes in PKCS#8 version 1, which Go and OpenSSL write.
const V1_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The same in version 2, which includes the public key, as ring and therefore `tlog` require.
const V2_PREFIX: [u8; 16] =
    [0x30, 0x51, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// `[1] publicKey` after the secret.
const V2_PUBLIC: [u8; 3] = [0x81, 0x21, 0x00];
const LEN: usize = 32;

/// A private key of a log or a witness. Its bytes are wiped when it is dropped.
pub struct Ed25519Key {
    seed: Zeroizing<[u8; LEN]>,
    public: Ed25519PublicKey,
}

/// The public key of a log or a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ed25519PublicKey([u8; LEN]);

impl Ed25519Key {
    /// Generates a random key.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the system provides no random bytes.
    pub fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0; LEN]);
        SystemRandom::new().fill(&mut seed[..]).map_err(|_| Error::Crypto)?;
        Self::from_seed(seed)
    }

    fn from_seed(seed: Zeroizing<[u8; LEN]>) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).map_err(|_| Error::Crypto)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| Error::Crypto)?;
        Ok(Self { seed, public: Ed25519PublicKey(public) })
    }

    /// Parses PKCS#8, with or without the public key.
    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self> {
        // ring compares the halves; the secret is at the same offset in every form that it reads.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| Error::PrivateKey)?;
        let seed = pkcs8.get(V1_PREFIX.len()..V1_PREFIX.len() + LEN).ok_or(Error::PrivateKey)?;
        let mut own = Zeroizing::new([0; LEN]);
        own.copy_from_slice(seed);
        Self::from_seed(own)
    }

    /// PKCS#8 version 2, as [`tlog::SigningKey::new`] takes it.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([&V2_PREFIX[..], &self.seed[..], &V2_PUBLIC, &self.public.0].concat())
    }

    pub(super) fn to_encrypted_pem(&self, password: &[u8]) -> Result<String> {
        sealed::seal(&Zeroizing::new([&V1_PREFIX[..], &self.seed[..]].concat()), password)
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> &Ed25519PublicKey {
        &self.public
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Key")
    }
}

impl Ed25519PublicKey {
    pub(super) fn from_spki(spki: &[u8]) -> Option<Self> {
        spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(Self)
    }

    pub(super) fn to_spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// The key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_text::encode(PUBLIC_PEM, self.to_spki())
    }

    /// As for keys of other kinds: base64 of SHA-256 of the `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(digest(&SHA256, &self.to_spki()))
    }

    /// The key of a log or, as a [`KeyKind::Cosignature`], of a witness of this name (C2SP signed-note).
    ///
    /// # Errors
    /// [`Error::Log`] when the name is invalid.
    pub fn verifier(&self, name: &str, kind: KeyKind) -> Result<VerifierKey> {
        VerifierKey::new(name, kind, self.0.to_vec()).map_err(Error::Log)
    }
}
