//! The site's key for cosignatures: `key.pem`, made once, and `key.pub`, which senders put into their trust files.

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
    /// The site's key, which is made if there never was one: another key is another site.
    pub(super) fn key(&self) -> Result<SigningKey, Error> {
        let path = self.root.join("key.pem");
        let key = match read_file(&path, MOST)? {
            Some(bytes) => parse(&bytes).ok_or_else(|| DriveLogError::Record(path).into()).and_then(|key| {
                publish_public(&self.root, &key)?;
                Ok(key)
            }),
            None if self.has_lost_key()? => Err(DriveLogError::KeyGone(path).into()),
            None => make(&self.root),
        }?;
        self.note_key()?;
        Ok(key)
    }

    /// Whether there was a key, and is none.
    pub(super) fn has_lost_key(&self) -> Result<bool, Error> {
        let is_there = self.root.join("key.pem").exists();
        Ok(!is_there && (self.root.join("key.pub").exists() || self.had_key()?))
    }
}

fn make(root: &Path) -> Result<SigningKey, Error> {
    let pkcs8 = SigningKey::generate().map_err(DriveLogError::Own)?;
    let key = named(&pkcs8).map_err(DriveLogError::Own)?;
    let encoded = BASE64_STANDARD.encode(&pkcs8);
    let lines = encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    let pem = format!("{BEGIN}{}{END}", lines.collect::<String>());
    // The private half first: a public one alone is what is left of a key that was lost.
    publish(&root.join("key.pem"), pem.as_bytes())?;
    publish_public(root, &key)?;
    Ok(key)
}

/// Writes the public half where it is not there.
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

/// A witness is named after its key, so that no two have one name.
fn named(pkcs8: &[u8]) -> tlog::Result<SigningKey> {
    let public = SigningKey::new("site", KeyKind::Cosignature, pkcs8)?.verifier();
    let digest = Digest::sha256(public.public());
    SigningKey::new(&format!("site-{}.airlock.local", &digest.hex()[..16]), KeyKind::Cosignature, pkcs8)
}
