//! Unencrypted private keys, as other programs write them: PKCS#8 (RFC 5958) and SEC1 (RFC 5915). They are imported,
//! never written.

use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use zeroize::Zeroizing;

use super::der::{BITS, FIRST, INTEGER, OCTETS, OID, Reader, SECOND, SEQUENCE};
use super::{P256_ALGORITHM, PrivateKey};
use crate::{Error, Result};

/// `prime256v1` (RFC 5480), the content of its object identifier.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// `id-Ed25519` (RFC 8410).
pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The kind of a PKCS#8 key.
pub(super) enum Pkcs8Kind<'a> {
    /// On P-256, with the `ECPrivateKey`.
    P256(&'a [u8]),
    /// Ed25519.
    Ed25519,
}

/// Determines the kind of a PKCS#8 key.
pub(super) fn kind(pkcs8: &[u8]) -> Option<Pkcs8Kind<'_>> {
    let mut key = Reader::only(pkcs8, SEQUENCE)?;
    key.element(INTEGER)?;
    let algorithm = key.element(SEQUENCE)?;
    let private = key.element(OCTETS)?;
    // The content of the P-256 algorithm, without its own tag and length.
    if P256_ALGORITHM.split_at_checked(2).map(|(_, content)| content) == Some(algorithm) {
        return Some(Pkcs8Kind::P256(private));
    }
    let algorithm = Reader::within(algorithm).element(OID)?;
    (algorithm == ED25519).then_some(Pkcs8Kind::Ed25519)
}

/// Parses an `ECPrivateKey`. The public key is computed, and compared with the one in the file, if present.
///
/// # Errors
/// [`Error::PrivateKeyKind`] when it is on another curve, [`Error::PrivateKey`] when it is malformed, or private and
/// public key do not match.
pub(super) fn from_sec1(der: &[u8], curve_is_known: bool) -> Result<PrivateKey> {
    let parts = Parts::read(der).ok_or(Error::PrivateKey)?;
    let curve = parts.parameters.map(|parameters| Reader::within(parameters).element(OID));
    if curve.is_some_and(|curve| curve != Some(P256)) || curve.is_none() && !curve_is_known {
        return Err(Error::PrivateKeyKind);
    }
    PrivateKey::from_pkcs8(parts.canonical().ok_or(Error::PrivateKey)?)
}

/// An `ECPrivateKey`.
struct Parts<'a> {
    scalar: &'a [u8],
    parameters: Option<&'a [u8]>,
    public: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut key = Reader::only(der, SEQUENCE)?;
        let version = key.element(INTEGER)?;
        let scalar = key.element(OCTETS)?;
        let (parameters, public) = (key.element(FIRST), key.element(SECOND));
        (version == [1] && key.is_empty()).then_some(Self { scalar, parameters, public })
    }

    /// The one form of PKCS#8 that ring reads.
    fn canonical(&self) -> Option<Zeroizing<Vec<u8>>> {
        let public = SecretKey::from_slice(self.scalar).ok()?.public_key();
        let point = public.to_sec1_point(false);
        if let Some(stated) = self.public {
            let stated = Reader::within(stated).element(BITS)?.strip_prefix(&[0])?;
            let forms = [point.as_bytes(), public.to_sec1_point(true).as_bytes()].contains(&stated);
            forms.then_some(())?;
        }
        let head = [0x30, 0x81, 0x87, 0x02, 0x01, 0x00];
        let inner = [0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20];
        let tail = [0xa1, 0x44, 0x03, 0x42, 0x00];
        let parts: [&[u8]; 6] = [&head, P256_ALGORITHM, &inner, self.scalar, &tail, point.as_bytes()];
        Some(Zeroizing::new(parts.concat()))
    }
}
