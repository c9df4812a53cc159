//! Trust files and public keys that the user gives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bundle_signer::{PublicKey, PublicKeyFile, TrustFile};
use tlog::VerifierKey;

use crate::cli::TrustArg;
use crate::failure::{Usage, unusable};
use crate::files::read;
use crate::logged::Work;
use crate::printer::Printer;

/// How many characters of a key's fingerprint name a key whose file has no name.
const NAME_LEN: usize = 16;

/// The trust file, if one is given. The event of the work records it.
pub(crate) fn trust(arg: &TrustArg, work: &mut Work<'_>) -> anyhow::Result<Option<TrustFile>> {
    let Some(path) = &arg.trust else { return Ok(None) };
    let text = read(path)?;
    work.policy(path, &text);
    let trust = parse_trust(path, &text, work.printer())?;
    note_roots(&trust, work);
    Ok(Some(trust))
}

/// Records the trusted roots of a trust file in the event of the work.
pub(crate) fn note_roots(trust: &TrustFile, work: &mut Work<'_>) {
    // The digest of the file does not cover a root that the file references by path.
    let roots: BTreeSet<_> =
        trust.identities().iter().map(|known| known.root().digest().to_string()).collect();
    if !roots.is_empty() {
        work.evidence("trustedRoots", &roots.into_iter().collect::<Vec<_>>().join(" "));
    }
}

/// Parses a trust file, and warns about an entry by which older versions let a key sign more than intended.
pub(crate) fn parse_trust(path: &Path, text: &str, printer: &Printer) -> anyhow::Result<TrustFile> {
    let trust = trust_of(path, text)?;
    if let Some(warning) = trust.warning(text) {
        printer.complain(&format!("warning: {}, {warning}", path.display()));
    }
    Ok(trust)
}

/// Parses a trust file.
pub(crate) fn trust_of(path: &Path, text: &str) -> anyhow::Result<TrustFile> {
    let trust = TrustFile::parse_in(text, input::folder_of(path));
    trust.map_err(unusable(format!("`{}` cannot be used", path.display())))
}

/// Public keys of signers, each named after its file.
pub(crate) fn signer_keys(paths: &[PathBuf]) -> anyhow::Result<Vec<(String, PublicKey)>> {
    let key = |path: &PathBuf| {
        let key = signer_key(path)?;
        // A pipe is named by a number.
        let name = if path.is_file() {
            path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        } else {
            PublicKeyFile::Ecdsa(key.clone()).fingerprint().chars().take(NAME_LEN).collect()
        };
        Ok((name, key))
    };
    paths.iter().map(key).collect()
}

/// The public key of a signer.
pub(crate) fn signer_key(path: &Path) -> anyhow::Result<PublicKey> {
    let text = read(path)?;
    if text.trim_end().parse::<VerifierKey>().is_ok() {
        let message = format!("`{}` is the key of a log or of a witness, not of a signer", path.display());
        return Err(Usage { message, hint: "give a log's key with --log, a site's with --witness" }.into());
    }
    PublicKey::from_pem(&text).map_err(unusable(format!("`{}` cannot be used", path.display())))
}

/// Keys of logs or witnesses, each under its own name.
pub(crate) fn log_keys(texts: &[String]) -> anyhow::Result<Vec<(String, VerifierKey)>> {
    let key = |text: &String| {
        let key = log_key(text)?;
        Ok((key.name().to_owned(), key))
    };
    texts.iter().map(key).collect()
}

/// The key of a log or of a witness: the key itself, or a file that contains it. The content of another file is not
/// printed: it may be a private key.
pub(crate) fn log_key(text: &str) -> anyhow::Result<VerifierKey> {
    let hint = "a log's key is the file `log/key.pub` of its store, a site's the `key.pub` that it returned; both have the \
                form NAME+ID+BASE64";
    let path = Path::new(text);
    let is_key = text.contains('+') && !path.exists();
    let content = if is_key { text.to_owned() } else { read(path)? };
    if content.contains("-----BEGIN") {
        let text = if is_key { "the key" } else { &format!("`{text}`") };
        let message = format!("{text} is a PEM key of a signer, not the key of a log or of a witness");
        return Err(Usage { message, hint }.into());
    }
    content.trim_end().parse().map_err(|error| {
        let reason = match error {
            tlog::Error::Key { defect, .. } => defect.to_owned(),
            other => other.to_string(),
        };
        Usage { message: format!("`{text}` is not the key of a log or of a witness: {reason}"), hint }.into()
    })
}
