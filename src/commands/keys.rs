//! `airlock keys`, and the keys that other commands sign with.
//!
//! - `password`: sources of passwords and PINs; `change`: changes to a trust file; `added`: entries of a trust file

mod added;
mod change;
mod password;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::{Ed25519Key, KeyFile, Pkcs11Uri, PrivateKey, PublicKey, PublicKeyFile};
use private::{Existing, Readers};
use serde_json::json;
use tlog::VerifierKey;
use tlog::note::KeyKind;

use self::password::{Secret, ask, first_line, tried};
use crate::cli::{ImportKey, KeyType, Keys, PasswordArg, Show};
use crate::commands::{read, warn_of_readable};
use crate::env;
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(crate) fn run(settings: &Keys, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let (revoked, changed);
    let (kind, object, name) = match settings {
        Keys::Show(settings) => return show(settings, printer),
        Keys::Generate { name, .. } => (EventType::KeyGenerate, "key", name),
        Keys::Import(settings) => (EventType::KeyImport, "key", &settings.name),
        Keys::Rotate(settings) => (EventType::KeyRotate, "key", &settings.name),
        Keys::Revoke(settings) => {
            revoked = PathBuf::from(&settings.revoked);
            (EventType::KeyRevoke, "key", &revoked)
        }
        Keys::Add(settings) => {
            let change = &settings.change;
            changed = change.to.clone().or_else(|| change.trust.trust.clone()).unwrap_or_default();
            (EventType::PolicyWrite, "policy", &changed)
        }
        Keys::Trust(settings) => (EventType::PolicyWrite, "policy", &settings.to),
    };
    let mut work = logs.begin(kind, (object, &name.display().to_string()), None, printer)?;
    let result = act(settings, &mut work, printer);
    work.end(result)
}

fn act(settings: &Keys, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Keys::Generate { name, kind, password } => {
            let password = ask(password, Secret::NewPassword)?;
            let key = match kind {
                KeyType::EcdsaP256 => KeyFile::Ecdsa(PrivateKey::generate()?),
                KeyType::Ed25519 => KeyFile::Ed25519(Ed25519Key::generate()?),
            };
            write_and_print(name, &key, &password, (work, printer))
        }
        Keys::Import(settings) => import(settings, work, printer),
        Keys::Show(settings) => show(settings, printer),
        Keys::Rotate(settings) => change::rotate(settings, work, printer),
        Keys::Revoke(settings) => change::revoke(settings, work, printer),
        Keys::Add(settings) => change::add(settings, work, printer),
        Keys::Trust(settings) => added::trust(settings, work, printer),
    }
}

/// Writes a key pair and prints its files.
fn write_and_print(
    name: &Path,
    key: &KeyFile,
    password: &[u8],
    (work, printer): (&mut Work<'_>, &Printer),
) -> anyhow::Result<Status> {
    let key_public = key.public_key()?;
    write_pair(name, &key.to_encrypted_pem(password)?, &key_public.to_pem())?;
    let (private, public) = files(name);
    let hint = key_public.hint();
    work.evidence("key", &hint);
    work.digests([format!("sha256:{}", key_public.fingerprint())]);
    work.done()?;
    let value = json!({
        "privateKey": private, "publicKey": public, "keyHint": hint, "type": key_public.kind(),
    });
    printer.result(&value, |_| {
        format!("wrote {} (keep it secret) and {}\nkey hint {hint}\n", private.display(), public.display())
    })?;
    Ok(Status::Done)
}

fn import(settings: &ImportKey, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let failed = || format!("`{}` cannot be imported", settings.file.display());
    let text = read(&settings.file)?;
    warn_of_readable(&settings.file, printer);
    let password = ask(&settings.password, Secret::NewPassword)?;
    let key = if KeyFile::is_plain(&text) {
        KeyFile::from_plain_pem(&text).with_context(failed)?
    } else {
        let source = match &settings.source_password_file {
            Some(path) => first_line(path)?,
            None => password.clone(),
        };
        KeyFile::from_pem(&text, &source).with_context(failed)?
    };
    write_and_print(&settings.name, &key, &password, (work, printer))
}

fn show(settings: &Show, printer: &Printer) -> anyhow::Result<Status> {
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
        warn_of_readable(path, printer);
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

/// The files of a pair. A dot in the name, as in `release-1.2`, is part of it.
fn files(name: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix: &str| {
        let mut file = name.file_name().unwrap_or_default().to_owned();
        file.push(suffix);
        name.with_file_name(file)
    };
    (with(".key"), with(".pub"))
}

/// Writes both files of a pair, or none.
fn write_pair(name: &Path, private: &str, public: &str) -> anyhow::Result<()> {
    let (private_path, public_path) = files(name);
    write_new(&private_path, private.as_bytes(), Readers::Owner)?;
    if let Err(error) = write_new(&public_path, public.as_bytes(), Readers::All) {
        // Half a pair is useless and would block the next attempt.
        let _ = std::fs::remove_file(&private_path);
        return Err(error);
    }
    Ok(())
}

/// Public keys, each named after its file.
fn named_keys(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, PublicKey)>> {
    let key = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = read(path)?;
        if text.trim_end().parse::<VerifierKey>().is_ok() {
            let message =
                format!("`{}` is the key of a log or of a witness, not of a signer", path.display());
            return Err(
                Usage { message, hint: "give a log's key with --log, a site's with --witness" }.into()
            );
        }
        let key = PublicKey::from_pem(&text);
        Ok((name, key.with_context(|| format!("`{}` cannot be used", path.display()))?))
    };
    paths.iter().map(key).collect()
}

/// Keys of logs or witnesses, as text or in files, each under its own name.
fn log_keys(texts: &[String]) -> anyhow::Result<Vec<(String, VerifierKey)>> {
    let key = |text: &String| {
        let content = if text.contains('+') { text.clone() } else { read(Path::new(text))? };
        let parsed = content.trim_end().parse::<VerifierKey>();
        if parsed.is_err() && content.contains("-----BEGIN") {
            let message = format!("`{text}` is a PEM key of a signer, not the key of a log or of a witness");
            let hint = "a log's key is the file `log/key.pub` of its store, a site's the `key.pub` that it returned; both \
                        have the form NAME+ID+BASE64";
            return Err(Usage { message, hint }.into());
        }
        let key = parsed.with_context(|| format!("`{text}` cannot be used"))?;
        Ok((key.name().to_owned(), key))
    };
    texts.iter().map(key).collect()
}

/// Opens a private key: a file with its password, or a key in a token with the PIN.
pub(crate) fn load(key: &Path, password: &PasswordArg, printer: &Printer) -> anyhow::Result<PrivateKey> {
    if let Some(uri) = token_uri(key) {
        return in_token(uri, password);
    }
    let text = read(key)?;
    warn_of_readable(key, printer);
    let secret = ask(password, Secret::Password)?;
    PrivateKey::from_pem(&text, &secret).map_err(|error| unusable(key, password, error))
}

fn unusable(path: &Path, password: &PasswordArg, error: bundle_signer::Error) -> anyhow::Error {
    let message = format!("`{}` cannot be used", path.display());
    match error {
        bundle_signer::Error::Password => {
            Usage { message: format!("{message}: {error}"), hint: tried(password) }.into()
        }
        error => anyhow::Error::from(error).context(message),
    }
}

fn token_uri(key: &Path) -> Option<&str> {
    key.to_str().filter(|text| Pkcs11Uri::has_scheme(text))
}

/// The key in a token that a URI names. The URI is never shown: it could contain a PIN.
fn in_token(uri: &str, password: &PasswordArg) -> anyhow::Result<PrivateKey> {
    let uri = Pkcs11Uri::parse(uri)?;
    PrivateKey::check_token_support()?;
    let module = uri.module().cloned().or_else(|| std::env::var_os(env::PKCS11_MODULE).map(PathBuf::from));
    let module = module.ok_or(bundle_signer::Error::NoModule)?;
    let flagged = password.password_file.is_some() || password.password_fd.is_some();
    let pin = match uri.pin_file().filter(|_| !flagged) {
        Some(file) => first_line(file)?,
        None => ask(password, Secret::Pin)?,
    };
    Ok(PrivateKey::in_token(&uri, &module, &pin)?)
}

fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> anyhow::Result<()> {
    match private::publish(path, bytes, Existing::Keep, readers) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let message = format!("`{}` already exists and is not overwritten", path.display());
            let hint =
                "give another file name, or move this file; to add to a trust file, use `airlock keys add`";
            Err(Usage { message, hint }.into())
        }
        written => written.with_context(|| format!("cannot write `{}`", path.display())),
    }
}
