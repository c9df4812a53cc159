//! `airlock keys show`.

use std::path::PathBuf;

use anyhow::Context as _;
use bundle_signer::{KeyFile, PublicKeyFile};
use clap::Args;
use serde_json::json;
use tlog::note::KeyKind;

use super::password::{Secret, ask};
use super::{in_token, token_uri, unusable};
use crate::cli::PasswordArg;
use crate::failure::{Status, Usage};
use crate::files::{read, warn_of_readable};
use crate::printer::Printer;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock keys show release.pub\n  \
    airlock keys show 'pkcs11:token=release;object=2026' --pem > release.pub\n  \
    airlock keys show log.pub --note-name log.example")]
pub(crate) struct Show {
    /// A public key, a private key, or a `pkcs11:` URI.
    #[arg(value_name = "FILE|URI")]
    pub(crate) shown: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
    /// Print only the public key.
    #[arg(long)]
    pub(crate) pem: bool,
    /// For an Ed25519 key: also print it as log and witness keys with this name (signed-note).
    #[arg(long, value_name = "NAME")]
    pub(crate) note_name: Option<String>,
}

pub(super) fn show(settings: &Show, printer: &Printer) -> anyhow::Result<Status> {
    let path = &settings.shown;
    let (origin, key) = find_public(settings, printer)?;
    if settings.pem {
        printer.data(&key.to_pem())?;
        return Ok(Status::Done);
    }
    let notes = match (&settings.note_name, &key) {
        (None, _) => None,
        (Some(name), PublicKeyFile::Ed25519(key)) => {
            let named = |kind| key.verifier(name, kind).map(|key| key.to_string());
            Some((named(KeyKind::Ed25519)?, named(KeyKind::Cosignature)?))
        }
        (Some(_), PublicKeyFile::Ecdsa(_)) => {
            let message = "log and witness keys must be Ed25519 keys".to_owned();
            return Err(
                Usage { message, hint: "create one with `airlock keys generate --type ed25519`" }.into()
            );
        }
    };
    let (kind, hint, sha256, pem) = (key.kind(), key.hint(), key.fingerprint(), key.to_pem());
    let value = json!({
        "key": path, "holds": origin, "type": kind, "keyHint": hint, "sha256": sha256, "publicKey": pem,
        "logKey": notes.as_ref().map(|(log, _)| log), "witnessKey": notes.as_ref().map(|(_, witness)| witness),
    });
    printer.result(&value, |_| {
        let notes = notes.as_ref().map_or_else(String::new, |(log, witness)| {
            format!("log key      {log}\nwitness key  {witness}\n")
        });
        format!("type         {kind}, {origin}\nkey hint     {hint}\nsha256       {sha256}\n{notes}{pem}")
    })?;
    Ok(Status::Done)
}

/// The public key to show, and its origin.
fn find_public(settings: &Show, printer: &Printer) -> anyhow::Result<(&'static str, PublicKeyFile)> {
    let path = &settings.shown;
    if let Some(uri) = token_uri(path) {
        let key = in_token(uri, &settings.password)?;
        return Ok(("private key in a token", PublicKeyFile::Ecdsa(key.public_key()?)));
    }
    let text = read(path)?;
    if text.contains("PRIVATE KEY-----") {
        warn_of_readable(path, &text, printer);
        let key = if KeyFile::is_plain(&text) {
            KeyFile::from_plain_pem(&text).with_context(|| format!("`{}` cannot be used", path.display()))?
        } else {
            let password = ask(&settings.password, Secret::Password)?;
            KeyFile::from_pem(&text, &password).map_err(|error| unusable(path, &settings.password, error))?
        };
        return Ok(("private key", key.public_key()?));
    }
    let failed = || format!("`{}` cannot be used", path.display());
    Ok(("public key", PublicKeyFile::from_pem(&text).with_context(failed)?))
}
