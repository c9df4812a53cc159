//! `airlock keys rotate`, `revoke` and `add`: changes to a trust file.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use bundle_signer::trust::{Additions, Finding};
use bundle_signer::{PrivateKey, TrustFile};
use clap::Args;
use oci::Digest;
use serde_json::json;
use time::OffsetDateTime;

use super::added::{AddedArg, additions};
use super::password::{Secret, ask};
use super::trust_file::Change;
use super::{files, write_pair};
use crate::cli::{PasswordArg, TrustArg};
use crate::failure::{Missing, Status, Usage};
use crate::logged::Work;
use crate::printer::Printer;
use crate::trust_input::signer_key;

#[derive(Debug, Args)]
#[command(after_help = "Both keys are accepted until the old one is revoked, and count as one signer.\n\
    Example: airlock keys rotate release-2027 --old release-2026 --trust trust.yaml")]
pub(crate) struct Rotate {
    /// The name of the new key and its files.
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
    /// The name of the old key in the trust file. Default: the only key.
    #[arg(long, value_name = "NAME")]
    pub(crate) old: Option<String>,
    /// Use this existing public key, such as a key in a token, instead of creating a pair.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) change: ChangeArg,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
}

#[derive(Debug, Args)]
#[command(after_help = "All of the key's signatures are refused, including old ones.\n\
    Example: airlock keys revoke release-2026 --reason 'laptop stolen' --trust trust.yaml")]
pub(crate) struct Revoke {
    /// The key or identity: its name in the trust file, its hint, or its public key file.
    #[arg(value_name = "KEY")]
    pub(crate) revoked: String,
    /// The reason, which errors show.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// The date, for information. Default: today (UTC).
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) date: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArg,
}

#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "The file's sequence number increases by one, and the old file is kept.\n\
    Examples:\n  \
    airlock keys add --log /media/usb/key.pub --trust trust.yaml\n  \
    airlock keys add second.pub --witness site-0123456789abcdef.airlock.local+5e6f7a8b+BL... --trust trust.yaml"
)]
pub(crate) struct Add {
    /// Public keys, PEM, each named after its file.
    #[arg(value_name = "PUBLIC_KEY")]
    pub(crate) keys: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) added: AddedArg,
    #[command(flatten)]
    pub(crate) change: ChangeArg,
}

/// The trust file to change.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChangeArg {
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    /// Write the changed trust file here, instead of replacing it; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

pub(super) fn rotate(settings: &Rotate, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let (change, file) = Change::open(&settings.change, work)?;
    let old = match (&settings.old, file.keys()) {
        (Some(old), keys) if !keys.iter().any(|key| key.name() == old) => {
            return Err(unknown(old, &file, &change.path).into());
        }
        (Some(old), _) => old.clone(),
        (None, [only]) => only.name().to_owned(),
        (None, _) => {
            let message = format!("`{}` has several keys", change.path.display());
            return Err(Usage { message, hint: "name the key to replace with --old NAME" }.into());
        }
    };
    let name = settings.name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (pair, public) = if let Some(public) = &settings.public_key {
        (None, signer_key(public)?)
    } else {
        let key = PrivateKey::generate()?;
        let public = key.public_key()?;
        (Some(key), public)
    };
    let hint = public.hint();
    // Everything that can be refused is refused before anything is written.
    let pem = public.to_pem();
    let changed = file.rotated(&old, &name, public)?;
    let encrypted = pair.map(|key| -> anyhow::Result<_> {
        Ok(key.to_encrypted_pem(&ask(&settings.password, Secret::NewPassword)?)?)
    });
    let encrypted = encrypted.transpose()?;
    let new = encrypted.map(|encrypted| write_pair(&settings.name, &encrypted, &pem)).transpose()?;
    let written = change.write(&file, &changed, new)?;
    work.evidence("key", &hint);
    work.evidence("replaces", &old);
    work.digests([Digest::sha256(changed.to_yaml().as_bytes()).to_string()]);
    work.done()?;
    let made = settings.public_key.is_none().then(|| files(&settings.name));
    let value = json!({
        "old": old, "new": name, "keyHint": hint, "trustFile": written.to, "sequence": changed.sequence(),
        "kept": written.kept, "privateKey": made.as_ref().map(|(private, _)| private),
        "publicKey": settings.public_key.as_ref().or(made.as_ref().map(|(_, public)| public)),
    });
    printer.written(written.output(), &written.text, &value, |_| {
        let made = made.as_ref().map_or_else(String::new, |(private, public)| {
            format!("wrote {} (keep it secret) and {}\n", private.display(), public.display())
        });
        format!(
            "{made}key hint {hint}\n{written}, sequence {}: `{name}` replaces `{old}`, and both are accepted\n\
             sign with `{name}` from now on; when every site has this file and nothing depends on `{old}` anymore:\n  \
             airlock keys revoke {old} --reason replaced --trust {}\n",
            changed.sequence(),
            written.to.display(),
        )
    })?;
    Ok(Status::Done)
}

pub(super) fn revoke(settings: &Revoke, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let (change, file) = Change::open(&settings.change, work)?;
    let hint = hint_of(&settings.revoked, &file, &change.path)?;
    if let Some(known) = file.revocations().iter().find(|known| known.hint() == hint) {
        let (key, date, reason) = (&settings.revoked, known.date(), known.reason());
        let message = format!("`{key}` was already revoked on {date}: {reason}");
        return Err(Usage { message, hint: "distribute the trust file to every site" }.into());
    }
    let today = || OffsetDateTime::now_utc().date().to_string();
    let date = settings.date.clone().unwrap_or_else(today);
    let changed = file.revoked(&hint, &settings.reason, &date)?;
    let written = change.write(&file, &changed, None)?;
    // Findings are reported, but do not prevent the change: a stolen key cannot wait until the rules are fixed.
    let findings = new_findings(Some(&file), &changed);
    let name = file.holder(&hint).map(|holder| holder.name().to_owned());
    work.evidence("key", &hint);
    work.evidence("reason", &settings.reason);
    work.digests([Digest::sha256(changed.to_yaml().as_bytes()).to_string()]);
    work.done()?;
    let value = json!({
        "name": name, "keyHint": hint, "reason": settings.reason, "date": date, "trustFile": written.to,
        "sequence": changed.sequence(), "kept": written.kept, "findings": findings,
    });
    printer.written(written.output(), &written.text, &value, |_| {
        let name = name.as_ref().map_or_else(String::new, |name| format!(" (`{name}`)"));
        let findings: String = findings.iter().map(|found| format!("now: {}\n", found.text)).collect();
        let sequence = changed.sequence();
        format!("{written}, sequence {sequence}: {hint}{name} is revoked\n{findings}")
    })?;
    Ok(Status::Done)
}

pub(super) fn add(settings: &Add, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let (change, file) = Change::open(&settings.change, work)?;
    let additions = additions(&settings.keys, &settings.added)?;
    let Additions { keys, identities, logs, witnesses, .. } = &additions;
    let logged = keys.iter().map(|(name, _)| name).chain(logs.iter().chain(witnesses).map(|(name, _)| name));
    let known = identities.iter().map(|identity| identity.name().to_owned());
    let named: Vec<String> = logged.cloned().chain(known).collect();
    if named.is_empty() {
        let message = "nothing to add was given".to_owned();
        return Err(
            Usage { message, hint: "give public keys, an identity, --log KEY or --witness KEY" }.into()
        );
    }
    let changed = file.extended(additions)?;
    let written = change.write(&file, &changed, None)?;
    work.evidence("added", &named.join(" "));
    work.digests([Digest::sha256(changed.to_yaml().as_bytes()).to_string()]);
    work.done()?;
    let sequence = changed.sequence();
    let findings = new_findings(Some(&file), &changed);
    print_findings(&findings, printer);
    let value = json!({
        "added": named, "trustFile": written.to, "sequence": sequence, "kept": written.kept, "findings": findings,
    });
    let added = named.join(", ");
    printer.written(written.output(), &written.text, &value, |_| {
        format!("{written}, sequence {sequence}: added {added}\n")
    })?;
    Ok(Status::Done)
}

/// The findings about a trust file that the change introduced.
pub(super) fn new_findings(before: Option<&TrustFile>, after: &TrustFile) -> Vec<Finding> {
    let known = before.map(TrustFile::findings).unwrap_or_default();
    after.findings().into_iter().filter(|found| !known.contains(found)).collect()
}

/// Prints findings to standard error, as `airlock trust check` words them.
pub(super) fn print_findings(findings: &[Finding], printer: &Printer) {
    for found in findings {
        printer.say(&format!("warning: {}", found.text));
    }
}

/// The hint of a key, log or witness by its name in the file, its hint, or its public key file.
fn hint_of(key: &str, file: &TrustFile, trust: &Path) -> anyhow::Result<String> {
    if let Some(log) = file.logs().iter().chain(file.witnesses()).find(|log| log.name() == key) {
        return Ok(log.hint());
    }
    if let Some(known) = file.holders().find(|known| known.name() == key || known.hint() == key) {
        return Ok(known.hint().to_owned());
    }
    let path = Path::new(key);
    if path.exists() {
        return Ok(signer_key(path)?.hint());
    }
    // The hint of a key that is not in the file.
    if STANDARD.decode(key).is_ok_and(|hash| hash.len() == 32) {
        return Ok(key.to_owned());
    }
    Err(unknown(key, file, trust).into())
}

/// No key or identity of the trust file has this name.
fn unknown(key: &str, file: &TrustFile, trust: &Path) -> Missing {
    let names: Vec<_> = file.holders().map(|holder| format!("`{}`", holder.name())).collect();
    let message =
        format!("unknown key `{key}`: not a key or identity of `{}`, a hint or a file", trust.display());
    let message = format!("{message}; the trust file has {}", names.join(", "));
    Missing { message, hint: Some("give a key's name in the trust file, its hint, or its public key file") }
}
