//! Public keys with their self-signatures, and which of them may sign.

use super::key::PublicKey;
use super::packet::{
    self, MARKER, PUBLIC_KEY, PUBLIC_SUBKEY, Packet, SECRET_KEY, SECRET_SUBKEY, SIGNATURE, TRUST,
    USER_ATTRIBUTE, USER_ID,
};
use super::signature::Signature;
use super::{Defect, SKEW, armor};

const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
const SUBKEY_BINDING: u8 = 0x18;
const PRIMARY_BINDING: u8 = 0x19;
const DIRECT: u8 = 0x1f;
const KEY_REVOCATION: u8 = 0x20;
const SUBKEY_REVOCATION: u8 = 0x28;
const CERTIFICATION_REVOCATION: u8 = 0x30;
/// The key may sign data.
const MAY_SIGN: u8 = 0x02;

/// Public keys.
#[derive(Clone, Debug)]
pub struct Keyring(Vec<Certificate>);

/// The signer of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// A user ID of the key. The creator of the key chose it.
    pub user: String,
    /// The fingerprint of the primary key, in hexadecimal digits, also if a subkey signed.
    pub fingerprint: String,
}

/// A primary key with users and subkeys.
#[derive(Clone, Debug)]
struct Certificate {
    primary: Component<PublicKey>,
    users: Vec<Component<Vec<u8>>>,
    subkeys: Vec<Component<PublicKey>>,
}

/// A part of a certificate with the signatures over it.
#[derive(Clone, Debug)]
struct Component<T> {
    value: T,
    signatures: Vec<Signature>,
}

impl<T> Component<T> {
    fn new(value: T) -> Self {
        Self { value, signatures: Vec::new() }
    }

    fn has(&self, kind: u8) -> bool {
        self.signatures.iter().any(|signature| signature.kind == kind)
    }
}

/// The component that the next signatures belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CurrentComponent {
    Primary,
    User,
    Subkey,
    /// A component that is ignored.
    Ignored,
}

impl Keyring {
    /// Parses a keyring, as `gpg --export` writes it, armored or not.
    ///
    /// # Errors
    /// The defect of the keyring. A key that cannot be parsed is an error, so that it is not mistaken for a missing key.
    pub fn parse(bytes: &[u8]) -> Result<Self, Defect> {
        let bytes = armor::keys(bytes)?;
        let mut certificates: Vec<Certificate> = Vec::new();
        let mut current = CurrentComponent::Ignored;
        for Packet { tag, body } in packet::read(&bytes)? {
            let last = certificates.last_mut();
            match (tag, last) {
                (MARKER | TRUST, _) => {}
                (SECRET_KEY | SECRET_SUBKEY, _) => return Err(Defect::SecretKey),
                (PUBLIC_KEY, _) => {
                    let primary = Component::new(PublicKey::parse(body)?);
                    certificates.push(Certificate { primary, users: Vec::new(), subkeys: Vec::new() });
                    current = CurrentComponent::Primary;
                }
                (USER_ID, Some(last)) => {
                    last.users.push(Component::new(body.to_vec()));
                    current = CurrentComponent::User;
                }
                (PUBLIC_SUBKEY, Some(last)) => {
                    last.subkeys.push(Component::new(PublicKey::parse(body)?));
                    current = CurrentComponent::Subkey;
                }
                (USER_ATTRIBUTE, Some(_)) => current = CurrentComponent::Ignored,
                (SIGNATURE, Some(last)) => last.add(body, current)?,
                _ => {
                    return Err(Defect::Malformed(
                        "the keyring contains a packet that does not belong there",
                    ));
                }
            }
        }
        if certificates.is_empty() { Err(Defect::NoKey) } else { Ok(Self(certificates)) }
    }

    /// The key that made a signature over data, at the time `now`; none if it is not in the keyring.
    pub(super) fn signer(
        &self,
        signature: &Signature,
        data: &[u8],
        now: u64,
    ) -> Result<Option<SignedBy>, Defect> {
        let Some(issuer) = signature.issuer else { return Ok(None) };
        let mut refused = None;
        for certificate in &self.0 {
            let Some((key, subkey)) = certificate.named(issuer) else { continue };
            let signed_by = certificate.judge(key, subkey, signature, data, now);
            match signed_by {
                Ok(found) => return Ok(Some(found)),
                // Two keys may have the same key ID.
                Err(defect) => refused = Some(defect),
            }
        }
        refused.map_or(Ok(None), Err)
    }
}

impl Certificate {
    fn add(&mut self, body: &[u8], current: CurrentComponent) -> Result<(), Defect> {
        let into = match current {
            CurrentComponent::Primary => &mut self.primary.signatures,
            CurrentComponent::User => match self.users.last_mut() {
                Some(user) => &mut user.signatures,
                None => return Ok(()),
            },
            CurrentComponent::Subkey => match self.subkeys.last_mut() {
                Some(subkey) => &mut subkey.signatures,
                None => return Ok(()),
            },
            CurrentComponent::Ignored => return Ok(()),
        };
        match Signature::parse(body) {
            Ok(signature) => into.push(signature),
            // Unsupported signatures by other keys are ignored; a revocation that cannot be parsed must not be ignored.
            Err(_) if !is_revocation(body) => {}
            Err(defect) => return Err(defect),
        }
        Ok(())
    }

    /// The key with this key ID: the primary key, or a subkey.
    fn named(&self, issuer: [u8; 8]) -> Option<(&PublicKey, Option<&Component<PublicKey>>)> {
        if self.primary.value.is_named(issuer) {
            return Some((&self.primary.value, None));
        }
        let subkey = self.subkeys.iter().find(|subkey| subkey.value.is_named(issuer))?;
        Some((&subkey.value, Some(subkey)))
    }

    fn judge(
        &self,
        key: &PublicKey,
        subkey: Option<&Component<PublicKey>>,
        signature: &Signature,
        data: &[u8],
        now: u64,
    ) -> Result<SignedBy, Defect> {
        let refused = |reason| Defect::Key { key: key.name(), reason };
        if !signature.fits(&key.material, data)? {
            return Err(Defect::Wrong(key.name()));
        }
        if self.primary.has(KEY_REVOCATION) || subkey.is_some_and(|subkey| subkey.has(SUBKEY_REVOCATION)) {
            return Err(refused("it is revoked"));
        }
        let (user, own) =
            self.self_signature(now).ok_or_else(|| refused("it has no valid self-signature"))?;
        let primary = &self.primary.value;
        let mut ends = vec![end(primary, own)];
        let flags = match subkey {
            None => own.flags.unwrap_or(MAY_SIGN),
            Some(subkey) => {
                let binding = self.binding(subkey, now);
                let binding =
                    binding.ok_or_else(|| refused("no valid signature binds it to its primary key"))?;
                ends.push(end(&subkey.value, binding));
                binding.flags.unwrap_or(0)
            }
        };
        if flags & MAY_SIGN == 0 {
            return Err(refused("it is not a signing key"));
        }
        if ends.into_iter().flatten().any(|end| end <= now) {
            return Err(refused("it has expired"));
        }
        let ended = signature.expires.is_some_and(|seconds| signature.created.saturating_add(seconds) <= now);
        if ended || signature.created > now.saturating_add(SKEW) || signature.created < key.created {
            return Err(Defect::Expired(key.name()));
        }
        Ok(SignedBy { user, fingerprint: primary.name() })
    }

    /// A user ID, and the newest self-signature over a user ID or over the key itself.
    fn self_signature(&self, now: u64) -> Option<(String, &Signature)> {
        let primary = &self.primary.value;
        let key = primary.signed().ok()?;
        let counts = |signature: &&Signature, data: &[u8]| {
            counts(signature, now)
                && signature.issuer.is_some_and(|issuer| primary.is_named(issuer))
                && signature.fits(&primary.material, data).unwrap_or(false)
        };
        let direct = self.primary.signatures.iter().filter(|signature| signature.kind == DIRECT);
        let mut newest = direct.filter(|signature| counts(signature, &key)).max_by_key(|own| own.created);
        let mut name = String::new();
        let users = self.users.iter().filter(|user| !user.has(CERTIFICATION_REVOCATION));
        for user in users {
            let length = u32::try_from(user.value.len()).ok()?;
            let data = [&key[..], &[0xb4], &length.to_be_bytes(), &user.value].concat();
            let over = user.signatures.iter().filter(|signature| CERTIFICATIONS.contains(&signature.kind));
            let own = over.filter(|signature| counts(signature, &data)).max_by_key(|own| own.created);
            let Some(own) = own else { continue };
            if name.is_empty() {
                name = String::from_utf8_lossy(&user.value).into_owned();
            }
            if newest.is_none_or(|newest| newest.created <= own.created) {
                newest = Some(own);
            }
        }
        newest.map(|newest| (name, newest))
    }

    /// The signature of the primary key that binds a subkey, with the subkey's own signature in it.
    fn binding<'a>(&'a self, subkey: &'a Component<PublicKey>, now: u64) -> Option<&'a Signature> {
        let primary = &self.primary.value;
        let data = [primary.signed().ok()?, subkey.value.signed().ok()?].concat();
        let over = subkey.signatures.iter().filter(|signature| signature.kind == SUBKEY_BINDING);
        let own = over.filter(|signature| {
            counts(signature, now) && signature.fits(&primary.material, &data).unwrap_or(false)
        });
        own.max_by_key(|own| own.created).filter(|own| {
            let back = own.embedded.as_deref().map(Signature::parse);
            back.is_some_and(|back| {
                back.is_ok_and(|back| {
                    back.kind == PRIMARY_BINDING
                        && counts(&back, now)
                        && back.fits(&subkey.value.material, &data).unwrap_or(false)
                })
            })
        })
    }
}

/// Whether a signature is within its validity period.
fn counts(signature: &Signature, now: u64) -> bool {
    signature.created <= now.saturating_add(SKEW)
        && signature.expires.is_none_or(|seconds| signature.created.saturating_add(seconds) > now)
}

/// When a key expires.
fn end(key: &PublicKey, own: &Signature) -> Option<u64> {
    own.key_expires.map(|seconds| key.created.saturating_add(seconds))
}

/// Checks the type, which has the same offset in all known versions except the third.
fn is_revocation(body: &[u8]) -> bool {
    let kind = match body {
        [3, _, kind, ..] | [_, kind, ..] => *kind,
        _ => return false,
    };
    matches!(kind, KEY_REVOCATION | SUBKEY_REVOCATION | CERTIFICATION_REVOCATION)
}
