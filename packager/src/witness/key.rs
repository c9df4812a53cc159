//! The site's key for cosignatures: `key.pem`, made once, and `key.pub`, which senders put into their trust files.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci::Digest;
use tlog::SigningKey;
use tlog::note::KeyKind;

use crate::bundle::Error;
use crate::drive_log::{Publish, Refusal, read_file};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";
const MOST: u64 = 4096;

/// The key, which is made if there is none.
pub(super) fn own(root: &Path) -> Result<SigningKey, Error> {
    let path = root.join("key.pem");
    if let Some(bytes) = read_file(&path, MOST)? {
        return parse(&bytes).ok_or_else(|| Refusal::Record(path).into());
    }
    let pkcs8 = SigningKey::generate().map_err(Refusal::Own)?;
    let key = named(&pkcs8).map_err(Refusal::Own)?;
    let encoded = BASE64_STANDARD.encode(&pkcs8);
    let lines = encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    let pem = format!("{BEGIN}{}{END}", lines.collect::<String>());
    // The public half first: with the private one, the key is there.
    Publish::one(&root.join("key.pub"), format!("{}\n", key.verifier()).as_bytes(), 0o644)?;
    Publish::one(&path, pem.as_bytes(), 0o600)?;
    Ok(key)
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
