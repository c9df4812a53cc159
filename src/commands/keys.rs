//! `airlock keys`, and the keys that other commands sign with.
//!
//! - `show`: public keys; `password`: sources of passwords and PINs
//! - `change`: changes to a trust file; `added`: entries of a trust file; `trust_file`: the file that is changed

mod added;
mod change;
mod password;
mod show;
mod trust_file;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::{Ed25519Key, KeyFile, Pkcs11Uri, PrivateKey};
use clap::{Args, Subcommand, ValueEnum};
use private::Readers;
use serde_json::json;

use self::added::TrustKeys;
use self::change::{Add, Revoke, Rotate};
use self::password::{Secret, ask, first_line, tried};
use self::show::{Show, show};
use crate::cli::PasswordArg;
use crate::env;
use crate::failure::{Status, Usage};
use crate::files::{NewFiles, read, warn_of_readable, write_new};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create a key pair: NAME.key, encrypted in cosign's format, and NAME.pub.
    Generate {
        /// The name of the key.
        #[arg(default_value = "airlock")]
        name: PathBuf,
        /// The kind of key.
        #[arg(long = "type", value_enum, default_value_t = KeyType::EcdsaP256)]
        kind: KeyType,
        #[command(flatten)]
        password: PasswordArg,
    },
    /// Import a private key of another program as NAME.key and NAME.pub.
    Import(Import),
    /// Show the public key, its hint and its fingerprint.
    Show(Show),
    /// Create a key pair that replaces a key of a trust file. The old key stays accepted.
    Rotate(Rotate),
    /// Revoke a key in a trust file.
    Revoke(Revoke),
    /// Add keys, an identity, logs or witnesses to a trust file.
    Add(Add),
    /// Write a trust file that accepts these public keys, each named after its file.
    Trust(TrustKeys),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// For images, drives and package bundles.
    EcdsaP256,
    /// For transparency logs and witnesses.
    Ed25519,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock keys import cosign.key release")]
pub(crate) struct Import {
    /// An encrypted cosign key, or an unencrypted PKCS#8 or SEC1 key.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The name of the new files.
    #[arg(default_value = "airlock")]
    pub(crate) name: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
    /// A file whose first line is the password of FILE. Default: the new password.
    #[arg(long, value_name = "FILE")]
    pub(crate) source_password_file: Option<PathBuf>,
}

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
    let mut work = logs.begin(kind, object, &name.display().to_string(), None, printer)?;
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
            write_and_print(name, &key, &password, work, printer)
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
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let key_public = key.public_key()?;
    write_pair(name, &key.to_encrypted_pem(password)?, &key_public.to_pem())?.keep();
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

fn import(settings: &Import, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let failed = || format!("`{}` cannot be imported", settings.file.display());
    let text = read_private(&settings.file, printer)?;
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
    write_and_print(&settings.name, &key, &password, work, printer)
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

/// Writes both files of a pair, or none: half a pair is useless and would block the next attempt.
fn write_pair(name: &Path, private: &str, public: &str) -> anyhow::Result<NewFiles> {
    let (private_path, public_path) = files(name);
    let mut new = NewFiles::default();
    write_new(&private_path, private.as_bytes(), Readers::Owner)?;
    new.add(&private_path);
    write_new(&public_path, public.as_bytes(), Readers::All)?;
    new.add(&public_path);
    Ok(new)
}

/// Reads a file with a private key, and warns if others can read it.
fn read_private(path: &Path, printer: &Printer) -> anyhow::Result<String> {
    let text = read(path)?;
    if text.contains("PUBLIC KEY-----") && !text.contains("PRIVATE KEY-----") {
        let message = format!("`{}` is a public key", path.display());
        return Err(Usage { message, hint: "give the private key, such as the file NAME.key" }.into());
    }
    warn_of_readable(path, &text, printer);
    Ok(text)
}

/// Opens a private key: a file with its password, or a key in a token with the PIN.
pub(crate) fn load(key: &Path, password: &PasswordArg, printer: &Printer) -> anyhow::Result<PrivateKey> {
    if let Some(uri) = token_uri(key) {
        return in_token(uri, password);
    }
    let text = read_private(key, printer)?;
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
