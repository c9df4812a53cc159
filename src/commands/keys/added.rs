//! Entries of a trust file, for `airlock keys trust` and `airlock keys add`.

use std::path::PathBuf;

use bundle_signer::keyless::{Identity, Matcher, TrustedRoot};
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::trust::{Additions, ContentKind};
use bundle_signer::{TrustFile, TrustedIdentity};
use oci::Digest;
use private::Readers;
use serde_json::json;

use super::change::{new_findings, print_findings};
use super::{log_keys, named_keys, write_new};
use crate::cli::{AddedArg, IdentityArg, TrustKeys};
use crate::commands::read;
use crate::failure::Status;
use crate::logged::Work;
use crate::printer::{Printer, count};

/// Writes a trust file that accepts the keys for the given kinds.
pub(super) fn trust(settings: &TrustKeys, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let Additions { keys, sign, identities, logs, witnesses } = additions(&settings.keys, &settings.added)?;
    let (in_file, to) = (keys.len(), &settings.to);
    let trust = if keys.is_empty() {
        TrustFile::of_identities(identities)?
    } else {
        TrustFile::new(keys)?.limited_to(&sign).with_identities(identities)?
    };
    let may: Vec<_> = trust.holders().flat_map(|holder| holder.roles().unwrap_or_default()).collect();
    let may: Vec<_> = may.iter().map(ToString::to_string).collect();
    let trust = trust.with_logs(logs, witnesses)?;
    let text = trust.to_yaml();
    write_new(to, text.as_bytes(), Readers::All)?;
    let findings = new_findings(None, &trust);
    print_findings(&findings, printer);
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    work.done()?;
    let identity = if settings.added.identity.is_given() { " and an identity" } else { "" };
    let sign = may.first().cloned().unwrap_or_default();
    printer.result(&json!({ "trustFile": to, "keys": in_file, "sign": may, "findings": findings }), |_| {
        let accepted = if in_file == 0 { "an identity".to_owned() } else { count(in_file, "key") + identity };
        format!(
            "wrote {}, which accepts {accepted} for: {sign}\nto accept other kinds, such as packageBundle, use --sign\n",
            to.display()
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
        keys: named_keys(keys)?,
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
