//! A log's key: `key.pem`, generated once, and `key.pub`, the public key in the format that `--key` accepts.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use private::{Existing, Readers};
use tlog::note::KeyKind;
use tlog::{Hash, SigningKey, VerifierKey};

use crate::{Error, Result};

const PRIVATE: &str = "key.pem";
const PUBLIC: &str = "key.pub";
const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";

/// Generates a log's key in its folder.
pub(super) fn generate(log: &Path) -> Result<SigningKey> {
    let pkcs8 = SigningKey::generate()?;
    let key = with_name(&pkcs8)?;
    let encoded = BASE64_STANDARD.encode(&pkcs8);
    let lines = encoded.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    write(&log.join(PRIVATE), &format!("{BEGIN}{}{END}", lines.collect::<String>()))?;
    write(&log.join(PUBLIC), &format!("{}\n", key.verifier()))?;
    Ok(key)
}

/// The maximum size of a key file.
const MAX_SIZE: u64 = 64 << 10;

/// Reads a log's private key.
pub(super) fn load(log: &Path) -> Result<SigningKey> {
    let path = log.join(PRIVATE);
    let text = input::read_text(&path, MAX_SIZE).map_err(Error::io("read", &path))?;
    let pkcs8 = text
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END))
        .and_then(|lines| BASE64_STANDARD.decode(lines.replace('\n', "")).ok())
        .ok_or_else(|| Error::Key(path.clone()))?;
    with_name(&pkcs8).map_err(|source| Error::Unusable { path, source })
}

/// Reads a log's public key from the log's own folder.
pub(super) fn own(log: &Path) -> Result<VerifierKey> {
    read(&log.join(PUBLIC))
}

/// Reads a public key.
pub(super) fn read(path: &Path) -> Result<VerifierKey> {
    let text = input::read_text(path, MAX_SIZE).map_err(Error::io("read", path))?;
    text.trim_end().parse().map_err(|source| Error::Unusable { path: path.to_owned(), source })
}

/// The key with the log's name, which is derived from the key, so that no two logs have the same name.
fn with_name(pkcs8: &[u8]) -> tlog::Result<SigningKey> {
    let public = SigningKey::new("log", KeyKind::Ed25519, pkcs8)?.verifier();
    let hash = Hash::leaf(public.public());
    let hex: String = hash.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    SigningKey::new(&format!("log-{hex}.airlock.local"), KeyKind::Ed25519, pkcs8)
}

fn write(path: &Path, text: &str) -> Result<()> {
    private::publish(path, text.as_bytes(), Existing::Keep, Readers::Owner).map_err(Error::io("write", path))
}
