//! `airlock keys rotate`, `revoke` and `add`: changes to a trust file.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use bundle_signer::trust::{Additions, Finding};
use bundle_signer::{PrivateKey, PublicKey, TrustFile};
use oci::Digest;
use private::{Readers, folder_of};
use serde_json::json;
use time::OffsetDateTime;

use super::added::additions;
use super::password::{Secret, ask};
use super::{files, write_new, write_pair};
use crate::cli::{AddKeys as Add, ChangeArg, Revoke, Rotate};
use crate::commands::{read, trust};
use crate::failure::{Status, Usage};
use crate::logged::Work;
use crate::printer::Printer;

pub(super) fn rotate(settings: &Rotate, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let (path, file, _lock) = open(&settings.change, work)?;
    let old = match (&settings.old, file.keys()) {
        (Some(old), _) => old.clone(),
        (None, [only]) => only.name().to_owned(),
        (None, _) => {
            let message = format!("`{}` has several keys", path.display());
            return Err(Usage { message, hint: "name the key to replace with --old NAME" }.into());
        }
    };
    let name = settings.name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (pair, public) = if let Some(public) = &settings.public_key {
        let failed = || format!("`{}` cannot be used", public.display());
        (None, PublicKey::from_pem(&read(public)?).with_context(failed)?)
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
    let kept = keep(&settings.change, &path, &file)?;
    if let Some(encrypted) = encrypted {
        write_pair(&settings.name, &encrypted, &pem)?;
    }
    let written = write(&settings.change, &path, kept, &changed)?;
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
    printer.result(&value, |_| {
        let made = made.as_ref().map_or_else(String::new, |(private, public)| {
            format!("wrote {} (keep it secret) and {}\n", private.display(), public.display())
        });
        format!(
            "{made}key hint {hint}\n{written}, sequence {}: `{name}` replaces `{old}`, and both are accepted\n\
             sign with `{name}` from now on; when every site has this file and nothing depends on `{old}` any more:\n  \
             airlock keys revoke {old} --reason replaced --trust {}\n",
            changed.sequence(),
            written.to.display(),
        )
    })?;
    Ok(Status::Done)
}

pub(super) fn revoke(settings: &Revoke, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let (path, file, _lock) = open(&settings.change, work)?;
    let hint = hint_of(&settings.revoked, &file, &path)?;
    if let Some(known) = file.revocations().iter().find(|known| known.hint() == hint) {
        let (key, date, reason) = (&settings.revoked, known.date(), known.reason());
        let message = format!("`{key}` was already revoked on {date}: {reason}");
        return Err(Usage { message, hint: "distribute the trust file to every site" }.into());
    }
    let today = || OffsetDateTime::now_utc().date().to_string();
    let date = settings.date.clone().unwrap_or_else(today);
    let changed = file.revoked(&hint, &settings.reason, &date)?;
    let kept = keep(&settings.change, &path, &file)?;
    let written = write(&settings.change, &path, kept, &changed)?;
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
    printer.result(&value, |_| {
        let name = name.as_ref().map_or_else(String::new, |name| format!(" (`{name}`)"));
        let findings: String = findings.iter().map(|found| format!("now: {}\n", found.text)).collect();
        let sequence = changed.sequence();
        format!("{written}, sequence {sequence}: {hint}{name} is revoked\n{findings}")
    })?;
    Ok(Status::Done)
}

pub(super) fn add(settings: &Add, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let (path, file, _lock) = open(&settings.change, work)?;
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
    let kept = keep(&settings.change, &path, &file)?;
    let written = write(&settings.change, &path, kept, &changed)?;
    work.evidence("added", &named.join(" "));
    work.digests([Digest::sha256(changed.to_yaml().as_bytes()).to_string()]);
    work.done()?;
    let sequence = changed.sequence();
    let findings = new_findings(Some(&file), &changed);
    print_findings(&findings, printer);
    let value = json!({
        "added": named, "trustFile": written.to, "sequence": sequence, "kept": written.kept, "findings": findings,
    });
    printer.result(&value, |_| format!("{written}, sequence {sequence}: added {}\n", named.join(", ")))?;
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
        let failed = || format!("`{key}` cannot be used");
        return Ok(PublicKey::from_pem(&read(path)?).with_context(failed)?.hint());
    }
    // The hint of a key that is not in the file.
    if STANDARD.decode(key).is_ok_and(|hash| hash.len() == 32) {
        return Ok(key.to_owned());
    }
    let names: Vec<_> = file.holders().map(|holder| format!("`{}`", holder.name())).collect();
    let message =
        format!("unknown key `{key}`: not a key or identity of `{}`, a hint or a file", trust.display());
    let message = format!("{message}; the trust file has {}", names.join(", "));
    Err(Usage { message, hint: "give a key's name in the trust file, its hint, or its public key file" }
        .into())
}

/// Opens the trust file, and locks its folder so that no other process changes it before this change is written.
fn open(change: &ChangeArg, work: &mut Work<'_>) -> anyhow::Result<(PathBuf, TrustFile, File)> {
    let Some(path) = change.trust.trust.clone() else {
        let message = "no trust file was given".to_owned();
        return Err(Usage { message, hint: "give --trust FILE; `airlock keys trust` creates one" }.into());
    };
    let folder = folder_of(&path);
    let opened = File::open(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let lock = private::hold(opened, folder, private::Hold::Alone, private::PATIENCE)?;
    let file = trust(&change.trust, work)?.with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok((path, file, lock))
}

/// The written files.
struct Written {
    to: PathBuf,
    /// The copy of the old file.
    kept: Option<PathBuf>,
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wrote {}", self.to.display())?;
        match &self.kept {
            None => Ok(()),
            Some(kept) => write!(f, " (the old file is kept as {})", kept.display()),
        }
    }
}

/// Copies the old file, with comments, to a name with its sequence number, if the change replaces it.
fn keep(change: &ChangeArg, path: &Path, old: &TrustFile) -> anyhow::Result<Option<PathBuf>> {
    if change.to.is_some() {
        return Ok(None);
    }
    let mut kept = path.file_name().unwrap_or_default().to_owned();
    kept.push(format!(".{}", old.sequence()));
    let kept = path.with_file_name(kept);
    let before = read(path)?;
    if input::read_text(&kept, input::MAX_SIZE).ok().as_deref() != Some(before.as_str()) {
        write_new(&kept, before.as_bytes(), Readers::All)?;
    }
    Ok(Some(kept))
}

/// Writes the changed file: to another path, or over the old file.
fn write(change: &ChangeArg, path: &Path, kept: Option<PathBuf>, new: &TrustFile) -> anyhow::Result<Written> {
    let text = new.to_yaml();
    if let Some(to) = &change.to {
        write_new(to, text.as_bytes(), Readers::All)?;
        return Ok(Written { to: to.clone(), kept: None });
    }
    crate::commands::write(path, text.as_bytes(), Readers::All)?;
    Ok(Written { to: path.to_owned(), kept })
}
