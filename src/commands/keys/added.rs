//! What goes into a trust file: `airlock keys trust`, and the same of `airlock keys add`.

use std::path::PathBuf;

use bundle_signer::keyless::{Identity, TrustedRoot, Wanted};
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::trust::{Additions, What};
use bundle_signer::{TrustFile, TrustedIdentity};
use oci::Digest;
use private::Readers;
use serde_json::json;

use super::change::{news, warn_of};
use super::{log_keys, named_keys, write_new};
use crate::cli::{AddedArg, IdentityArg, TrustKeys};
use crate::commands::read;
use crate::failure::Status;
use crate::logged::Work;
use crate::printer::{Printer, count};

/// Writes a trust file that accepts the keys, each for what is said.
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
    let news = news(None, &trust);
    warn_of(&news, printer);
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    work.done()?;
    let someone = if settings.added.identity.is_given() { " and an identity" } else { "" };
    let sign = may.first().cloned().unwrap_or_default();
    printer.result(&json!({ "trustFile": to, "keys": in_file, "sign": may, "findings": news }), |_| {
        let accepted = if in_file == 0 { "an identity".to_owned() } else { count(in_file, "key") + someone };
        format!(
            "wrote {}, which accepts {accepted} for: {sign}\n--sign names other kinds, such as packageBundle\n",
            to.display()
        )
    })?;
    Ok(Status::Done)
}

/// Everything that was named, read. A key signs images and drives, and nothing else that is not named.
pub(super) fn additions(keys: &[PathBuf], added: &AddedArg) -> anyhow::Result<Additions> {
    let sign = added.sign.iter().map(|kind| What::parse(kind)).collect::<Result<Vec<_>, _>>()?;
    let signature = || What::Statement(COSIGN_SIGN.to_owned());
    let of_someone = if sign.is_empty() { vec![signature()] } else { sign.clone() };
    let sign = if sign.is_empty() { vec![signature(), What::Drive] } else { sign };
    Ok(Additions {
        keys: named_keys(keys)?,
        sign,
        identities: identity(&added.identity, of_someone)?.into_iter().collect(),
        logs: log_keys(&added.log)?,
        witnesses: log_keys(&added.witness)?,
    })
}

/// The identity, if one was named; its root is read, so that the trust file stands by itself.
fn identity(arg: &IdentityArg, sign: Vec<What>) -> anyhow::Result<Option<TrustedIdentity>> {
    let subject = wanted(arg.certificate_identity.as_deref(), arg.certificate_identity_regexp.as_deref());
    let issuer =
        wanted(arg.certificate_oidc_issuer.as_deref(), arg.certificate_oidc_issuer_regexp.as_deref());
    let (Some(subject), Some(issuer)) = (subject, issuer) else { return Ok(None) };
    let root = match &arg.trusted_root {
        Some(path) => read(path)?,
        None => TrustedRoot::embedded_json().to_owned(),
    };
    let name = arg.identity_name.as_deref().unwrap_or(subject.text());
    Ok(Some(TrustedIdentity::new(name, Identity::new(subject, issuer)?, &root, sign)?))
}

fn wanted<'a>(exact: Option<&'a str>, pattern: Option<&'a str>) -> Option<Wanted<'a>> {
    exact.map(Wanted::Exact).or(pattern.map(Wanted::Pattern))
}

impl IdentityArg {
    fn is_given(&self) -> bool {
        self.certificate_identity.is_some() || self.certificate_identity_regexp.is_some()
    }
}
