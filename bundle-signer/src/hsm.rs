//! Private keys in PKCS#11 tokens (OASIS PKCS #11 v2.40). The token signs a hash; the key never leaves it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Failure, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::RawAuthPin;
use ring::digest::{SHA256, digest};

use crate::{Error, Pkcs11Uri, PublicKey, Result};

/// `CKA_EC_PARAMS` of P-256: the DER of its object identifier.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The header before a point in `CKA_EC_POINT`: an octet string of 65 bytes. Some tokens leave it out.
const POINT_PREFIX: [u8; 2] = [0x04, 0x41];
const POINT_LEN: usize = 65;

/// A key in a token, with the session in which it is used.
pub(crate) struct TokenKey {
    // PKCS#11 allows one signature at a time in a session.
    session: Mutex<Session>,
    key: ObjectHandle,
    public: PublicKey,
}

impl TokenKey {
    /// Logs in to the token and finds the private and the public key.
    pub(crate) fn open(uri: &Pkcs11Uri, module: &Path, pin: &[u8]) -> Result<Self> {
        let module = Pkcs11::new(module).map_err(failed("load the PKCS#11 module"))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Failure::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(source) => return Err(failed("initialize the PKCS#11 module")(source)),
        }
        let session = module
            .open_ro_session(find_slot(&module, uri)?)
            .map_err(failed("open a session with the token"))?;
        log_in(&session, pin)?;
        let key = find_key(&session, uri, ObjectClass::PRIVATE_KEY, "private")?;
        let public = find_key(&session, uri, ObjectClass::PUBLIC_KEY, "public")?;
        let public = read_public(&session, public)?;
        Ok(Self { session: Mutex::new(session), key, public })
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs bytes, in ASN.1 DER, and verifies the signature: a label may match the halves of two different keys.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = digest(&SHA256, bytes);
        let raw = session
            .sign(&Mechanism::Ecdsa, self.key, hash.as_ref())
            .map_err(failed("sign with the token"))?;
        let signature = p256::ecdsa::Signature::from_slice(&raw).map_err(|_| Error::TokenSignature)?;
        let signature = signature.to_der().as_bytes().to_vec();
        if self.public.verifies(bytes, &signature) { Ok(signature) } else { Err(Error::TokenSignature) }
    }
}

fn find_slot(module: &Pkcs11, uri: &Pkcs11Uri) -> Result<Slot> {
    let mut found = Vec::new();
    for slot in module.get_slots_with_initialized_token().map_err(failed("list the tokens"))? {
        let token = module.get_token_info(slot).map_err(failed("read the description of a token"))?;
        let matches = |wanted: Option<&String>, actual: &str| {
            wanted.is_none_or(|wanted| wanted.trim_end() == actual.trim_end())
        };
        if matches(uri.token.as_ref(), token.label()) && matches(uri.serial.as_ref(), token.serial_number()) {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        found => Err(Error::TokenCount(found.len())),
    }
}

/// Tries once only: a token locks itself after a few wrong PINs.
fn log_in(session: &Session, pin: &[u8]) -> Result<()> {
    let pin = RawAuthPin::new(Box::new(pin.to_vec()));
    match session.login_with_raw(UserType::User, &pin) {
        Ok(()) | Err(Failure::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Failure::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
            Err(Error::Pin)
        }
        Err(Failure::Pkcs11(RvError::PinLocked, _)) => Err(Error::PinLocked),
        Err(source) => Err(failed("log in to the token")(source)),
    }
}

fn find_key(
    session: &Session,
    uri: &Pkcs11Uri,
    class: ObjectClass,
    kind: &'static str,
) -> Result<ObjectHandle> {
    let label = uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes()));
    let id = uri.id.clone().map(Attribute::Id);
    let template: Vec<_> = [Some(Attribute::Class(class)), label, id].into_iter().flatten().collect();
    let found = session.find_objects(&template).map_err(failed("find the key in the token"))?;
    match found.as_slice() {
        [key] => Ok(*key),
        found => Err(Error::TokenKeyCount { count: found.len(), kind }),
    }
}

fn read_public(session: &Session, key: ObjectHandle) -> Result<PublicKey> {
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    let attributes =
        session.get_attributes(key, &wanted).map_err(failed("read the public key in the token"))?;
    let (mut curve, mut point) = (None, None);
    for attribute in attributes {
        match attribute {
            Attribute::EcParams(bytes) => curve = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    let (Some(curve), Some(point)) = (curve, point) else { return Err(Error::TokenKeyKind) };
    if curve != P256 {
        return Err(Error::TokenKeyKind);
    }
    let bare = if point.len() == POINT_LEN { Some(&point[..]) } else { point.strip_prefix(&POINT_PREFIX) };
    PublicKey::from_point(bare.ok_or(Error::TokenKeyKind)?)
}

fn failed(action: &'static str) -> impl FnOnce(Failure) -> Error {
    move |source| Error::Token { action, source: Box::new(source) }
}
