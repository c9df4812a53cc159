//! `airlock keys`, and passwords.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use audit::Kind;
use bundle_signer::{PrivateKey, PublicKey, TrustFile};
use oci::Digest;
use serde_json::json;
use tlog::VerifierKey;

use crate::cli::Keys;
use crate::commands::{read, warn_of_readable};
use crate::env;
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(crate) fn run(settings: &Keys, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let (kind, object, name) = match settings {
        Keys::Generate { name, .. } => (Kind::KeyGenerate, "key", name),
        Keys::Trust { to, .. } => (Kind::PolicyWrite, "policy", to),
    };
    let mut work = logs.begin(kind, (object, &name.display().to_string()), None, printer)?;
    let result = make(settings, &mut work, printer);
    work.end(result)
}

fn make(settings: &Keys, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Keys::Generate { name, password_file } => {
            let password = password(password_file.as_deref(), true)?;
            let hint = generate(name, &password)?;
            let (private, public) = files(name);
            work.evidence("key", &hint);
            work.digests([Digest::sha256(read(&public)?.as_bytes()).to_string()]);
            work.done()?;
            let value = json!({ "privateKey": private, "publicKey": public, "keyHint": hint });
            printer.result(&value, |_| {
                format!(
                    "wrote {} (keep it secret) and {}\nkey hint {hint}\n",
                    private.display(),
                    public.display()
                )
            })?;
        }
        Keys::Trust { keys, log, witness, to } => {
            let count = trust(keys, (log, witness), to)?;
            work.digests([Digest::sha256(read(to)?.as_bytes()).to_string()]);
            work.done()?;
            printer.result(&json!({ "trustFile": to, "keys": count }), |_| {
                format!("wrote {}, which accepts {count} keys\n", to.display())
            })?;
        }
    }
    Ok(Status::Done)
}

/// Writes a key pair; never over an existing one.
pub(crate) fn generate(name: &Path, password: &[u8]) -> anyhow::Result<String> {
    let key = PrivateKey::generate()?;
    let public = key.public_key()?;
    let (private_path, public_path) = files(name);
    write_new(&private_path, key.to_encrypted_pem(password)?.as_bytes(), 0o600)?;
    if let Err(error) = write_new(&public_path, public.to_pem().as_bytes(), 0o644) {
        // Half a pair is of no use and would stop the next try.
        let _ = std::fs::remove_file(&private_path);
        return Err(error);
    }
    Ok(public.hint())
}

/// The files of a pair; a dot in the name, as in `release-1.2`, belongs to it.
fn files(name: &Path) -> (PathBuf, PathBuf) {
    let with = |suffix: &str| {
        let mut file = name.file_name().unwrap_or_default().to_owned();
        file.push(suffix);
        name.with_file_name(file)
    };
    (with(".key"), with(".pub"))
}

/// Writes a trust file that accepts the keys.
pub(crate) fn trust(
    keys: &[std::path::PathBuf],
    (logs, witnesses): (&[String], &[String]),
    to: &Path,
) -> anyhow::Result<usize> {
    let mut named = Vec::new();
    for path in keys {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let key = PublicKey::from_pem(&read(path)?)
            .with_context(|| format!("`{}` cannot be used", path.display()))?;
        named.push((name, key));
    }
    let trust = TrustFile::new(named)?.with_logs(log_keys(logs)?, log_keys(witnesses)?)?;
    write_new(to, trust.to_yaml().as_bytes(), 0o644)?;
    Ok(keys.len())
}

/// Keys of logs or witnesses, as text or in files, each under its own name.
fn log_keys(texts: &[String]) -> anyhow::Result<Vec<(String, VerifierKey)>> {
    let key = |text: &String| {
        let content = if text.contains('+') { text.clone() } else { read(Path::new(text))? };
        let key: VerifierKey =
            content.trim_end().parse().with_context(|| format!("`{text}` cannot be used"))?;
        Ok((key.name().to_owned(), key))
    };
    texts.iter().map(key).collect()
}

/// Loads a private key with its password.
pub(crate) fn load(
    path: &Path,
    password_file: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<PrivateKey> {
    let text = read(path)?;
    warn_of_readable(path, printer);
    let password = password(password_file, false)?;
    PrivateKey::from_pem(&text, &password).map_err(|error| {
        let message = format!("`{}` cannot be used: {error}", path.display());
        match error {
            bundle_signer::Error::Password => Usage { message, hint: tried(password_file) }.into(),
            error => anyhow::Error::from(error).context(format!("`{}` cannot be used", path.display())),
        }
    })
}

/// Where a wrong password came from.
fn tried(file: Option<&Path>) -> &'static str {
    if file.is_some() {
        return "the password was the first line of --password-file";
    }
    match env::KEY_PASSWORD.iter().position(|name| std::env::var_os(name).is_some()) {
        Some(0) => "the password came from AIRLOCK_KEY_PASSWORD: correct or unset it, or use --password-file",
        Some(_) => "the password came from COSIGN_PASSWORD: correct it, or set AIRLOCK_KEY_PASSWORD",
        None => "try again, set AIRLOCK_KEY_PASSWORD, or use --password-file",
    }
}

/// The password: from a file, the environment, or the terminal; never from the command line.
fn password(file: Option<&Path>, new: bool) -> anyhow::Result<Vec<u8>> {
    if let Some(path) = file {
        let text = read(path)?;
        return Ok(text.lines().next().unwrap_or_default().as_bytes().to_vec());
    }
    if let Some(password) = env::KEY_PASSWORD.iter().find_map(std::env::var_os) {
        return Ok(password.into_encoded_bytes());
    }
    if !std::io::stdin().is_terminal() {
        let hint = "set AIRLOCK_KEY_PASSWORD, or use --password-file";
        return Err(Usage { message: "the private key needs a password".to_owned(), hint }.into());
    }
    let password = rpassword::prompt_password("Password for the private key: ")?;
    if new && rpassword::prompt_password("Again: ")? != password {
        let hint = "run the command again";
        return Err(Usage { message: "the two passwords differ".to_owned(), hint }.into());
    }
    Ok(password.into_bytes())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).with_context(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written.with_context(failed)
}
