//! The site's key for cosignatures: `key.pem`, created once, and `key.pub`, which senders add to their trust files.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci::Digest;
use tlog::SigningKey;
use tlog::note::KeyKind;

use super::Witness;
use crate::bundle::Error;
use crate::drive_log::{DriveLogError, publish, read_file};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";
const MOST: u64 = 4096;

impl Witness {
    /// The site's key. It is created only if the site never had a key, because a new key makes the site another witness.
    pub(super) fn key(&self) -> Result<SigningKey, Error> {
        let path = self.root.join("key.pem");
        let key = match read_file(&path, MOST)? {
            Some(bytes) => parse(&bytes).ok_or_else(|| DriveLogError::Record(path).into()).and_then(|key| {
                publish_public(&self.root, &key)?;
                Ok(key)
            }),
            None if self.has_lost_key()? => Err(DriveLogError::KeyMissing(path).into()),
            None => make(&self.root),
        }?;
        self.note_key()?;
        Ok(key)
    }

    /// Whether the site had a key that is now missing.
    pub(super) fn has_lost_key(&self) -> Result<bool, Error> {
        let exists = self.root.join("key.pem").exists();
        Ok(!exists && (self.root.join("key.pub").exists() || self.had_key()?))
    }
}

fn make(root: &Path) -> Result<SigningKey, Error> {
    let pkcs8 = SigningKey::generate().map_err(DriveLogError::Own)?;
    let key = named(&pkcs8).map_err(DriveLogError::Own)?;
    let encoded = BASE64_STANDARD.encode(&pkcs8);
    let lines = encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    let pem = format!("{BEGIN}{}{END}", lines.collect::<String>());
    // The private key first: a public key alone means that the private key was lost.
    publish(&root.join("key.pem"), pem.as_bytes())?;
    publish_public(root, &key)?;
    Ok(key)
}

/// Writes the public key if it does not exist.
fn publish_public(root: &Path, key: &SigningKey) -> Result<(), Error> {
    let path = root.join("key.pub");
    if path.exists() {
        return Ok(());
    }
    publish(&path, format!("{}\n", key.verifier()).as_bytes())
}

fn parse(bytes: &[u8]) -> Option<SigningKey> {
    let lines = std::str::from_utf8(bytes).ok()?.strip_prefix(BEGIN)?.strip_suffix(END)?;
    named(&BASE64_STANDARD.decode(lines.replace('\n', "")).ok()?).ok()
}

/// A witness is named after its key, so that names are unique.
fn named(pkcs8: &[u8]) -> tlog::Result<SigningKey> {
    let public = SigningKey::new("site", KeyKind::Cosignature, pkcs8)?.verifier();
    let digest = Digest::sha256(public.public());
    SigningKey::new(&format!("site-{}.airlock.local", &digest.hex()[..16]), KeyKind::Cosignature, pkcs8)
}
