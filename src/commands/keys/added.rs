//! Entries of a trust file, for `airlock keys trust` and `airlock keys add`.

use std::path::PathBuf;

use bundle_signer::keyless::{Identity, Matcher, TrustedRoot};
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::trust::{Additions, ContentKind};
use bundle_signer::{TrustFile, TrustedIdentity};
use clap::Args;
use oci::Digest;
use serde_json::json;

use super::change::{new_findings, print_findings};
use crate::failure::{Status, Usage};
use crate::files::{Output, read};
use crate::logged::Work;
use crate::printer::{Printer, count};
use crate::trust_input::{log_keys, signer_keys};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock keys trust release.pub --to trust.yaml\n  \
    airlock keys trust release.pub --sign signature,driveManifest,packageBundle --to trust.yaml\n  \
    airlock keys trust --certificate-identity ci@example.com --certificate-oidc-issuer https://accounts.example.com \
    --trusted-root trusted_root.json --to trust.yaml")]
pub(crate) struct TrustKeys {
    /// Public key files, PEM.
    #[arg(required_unless_present = "subject", value_name = "PUBLIC_KEY")]
    pub(crate) keys: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) added: AddedArg,
    /// The trust file; `-` is standard output.
    #[arg(long, default_value = "trust.yaml", value_name = "FILE")]
    pub(crate) to: PathBuf,
}

/// Entries of a trust file besides keys, and the kinds that the keys may sign.
#[derive(Debug, Args)]
pub(crate) struct AddedArg {
    /// A sender's log that drives must include: its key, or the file `log/key.pub` of the sender's store.
    #[arg(long, value_name = "KEY")]
    pub(crate) log: Vec<String>,
    /// A site whose cosignatures are accepted: its key, or the file `key.pub` of a return medium.
    #[arg(long, value_name = "KEY")]
    pub(crate) witness: Vec<String>,
    /// The kinds that the keys, or the identity, may sign: `signature`, `driveManifest`, `packageBundle`, ...
    /// Default: images and drives (`signature,driveManifest`) for keys, images for an identity.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) sign: Vec<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArg,
}

/// A signer with certificates instead of a key.
#[derive(Debug, Args)]
pub(crate) struct IdentityArg {
    /// A signer with certificates instead of a key: the subject of its certificates, an email address or the URI of a
    /// workflow.
    #[arg(long, value_name = "SUBJECT", group = "subject", requires = "issuer")]
    pub(crate) certificate_identity: Option<String>,
    /// A regular expression that must match the whole subject, instead of an exact subject.
    #[arg(long, value_name = "PATTERN", group = "subject", requires = "issuer")]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// The OIDC issuer in its certificates.
    #[arg(long, value_name = "URL", group = "issuer", requires = "subject")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// A regular expression that must match the whole issuer, instead of an exact issuer.
    #[arg(long, value_name = "PATTERN", group = "issuer", requires = "subject")]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
    /// A `trusted_root.json` with the accepted CAs, logs and timestamp authorities. It is copied into the trust file.
    /// Default: the root of sigstore's public instance.
    #[arg(long, value_name = "FILE", requires = "subject")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// The name of the identity in the trust file. Default: the subject.
    #[arg(long, value_name = "NAME", requires = "subject")]
    pub(crate) identity_name: Option<String>,
}

/// Writes a trust file that accepts the keys for the given kinds.
pub(super) fn trust(settings: &TrustKeys, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let to = Output::of(&settings.to)?;
    if let Output::File(path) = to
        && path.is_file()
    {
        let message = format!("`{}` already exists and is not overwritten", path.display());
        let hint = "give another file name, or add to this file with `airlock keys add`";
        return Err(Usage { message, hint }.into());
    }
    let Additions { keys, sign, identities, logs, witnesses } = additions(&settings.keys, &settings.added)?;
    let in_file = keys.len();
    let trust = if keys.is_empty() {
        TrustFile::of_identities(identities)?
    } else {
        TrustFile::new(keys)?.limited_to(&sign).with_identities(identities)?
    };
    let may: Vec<_> = trust.holders().flat_map(|holder| holder.roles().unwrap_or_default()).collect();
    let may: Vec<_> = may.iter().map(ToString::to_string).collect();
    let trust = trust.with_logs(logs, witnesses)?;
    let text = trust.to_yaml();
    to.create(&text)?;
    let findings = new_findings(None, &trust);
    print_findings(&findings, printer);
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    work.done()?;
    let identity = if settings.added.identity.is_given() { " and an identity" } else { "" };
    let sign = may.first().cloned().unwrap_or_default();
    let value = json!({ "trustFile": settings.to, "keys": in_file, "sign": may, "findings": findings });
    printer.written(to, &text, &value, |_| {
        let accepted = if in_file == 0 { "an identity".to_owned() } else { count(in_file, "key") + identity };
        format!(
            "wrote {}, which accepts {accepted} for: {sign}\nto accept other kinds, such as packageBundle, use --sign\n",
            settings.to.display()
        )
    })?;
    Ok(Status::Done)
}

/// Reads all given entries. Unless kinds are given, a key may sign images and drives.
pub(super) fn additions(keys: &[PathBuf], added: &AddedArg) -> anyhow::Result<Additions> {
    let sign = added.sign.iter().map(|kind| ContentKind::parse(kind)).collect::<Result<Vec<_>, _>>()?;
    let signature = || ContentKind::Statement(COSIGN_SIGN.to_owned());
    let identity_sign = if sign.is_empty() { vec![signature()] } else { sign.clone() };
    let sign = if sign.is_empty() { vec![signature(), ContentKind::Drive] } else { sign };
    Ok(Additions {
        keys: signer_keys(keys)?,
        sign,
        identities: identity(&added.identity, identity_sign)?.into_iter().collect(),
        logs: log_keys(&added.log)?,
        witnesses: log_keys(&added.witness)?,
    })
}

/// The identity, if one is given. Its root is copied, so that the trust file is self-contained.
fn identity(arg: &IdentityArg, sign: Vec<ContentKind>) -> anyhow::Result<Option<TrustedIdentity>> {
    let subject = matcher(arg.certificate_identity.as_deref(), arg.certificate_identity_regexp.as_deref());
    let issuer =
        matcher(arg.certificate_oidc_issuer.as_deref(), arg.certificate_oidc_issuer_regexp.as_deref());
    let (Some(subject), Some(issuer)) = (subject, issuer) else { return Ok(None) };
    let root = match &arg.trusted_root {
        Some(path) => read(path)?,
        None => TrustedRoot::embedded_json().to_owned(),
    };
    let name = arg.identity_name.as_deref().unwrap_or(subject.text());
    Ok(Some(TrustedIdentity::new(name, Identity::new(subject, issuer)?, &root, sign)?))
}

fn matcher<'a>(exact: Option<&'a str>, pattern: Option<&'a str>) -> Option<Matcher<'a>> {
    exact.map(Matcher::Exact).or(pattern.map(Matcher::Pattern))
}

impl IdentityArg {
    fn is_given(&self) -> bool {
        self.certificate_identity.is_some() || self.certificate_identity_regexp.is_some()
    }
}
