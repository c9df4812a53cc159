//! `airlock verify-manifest`: verifies manifests that AWS signed.

use std::path::PathBuf;

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::TrustFile;
use bundle_signer::eksa::{Manifest, UnverifiedManifest, bundles_keys, distro_keys, package_keys};
use clap::Args;
use oci::Digest;
use serde_json::json;

use crate::cli::TrustArg;
use crate::failure::{Status, Usage};
use crate::files::read;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, row};
use crate::trust_input::trust;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock verify-manifest package-bundle.yaml\n  \
    airlock verify-manifest kubernetes-1-31-eks-1.yaml --bundles bundle-release.yaml")]
pub(crate) struct VerifyManifest {
    /// A `PackageBundle`, `Bundles`, or `Release` of EKS.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// For a `Release`: the `Bundles` that contain its signature.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundles: Option<PathBuf>,
    /// A trust file with the accepted keys. Default: AWS's keys.
    #[arg(long = "trust", id = "manifest_trust", value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

pub(crate) fn run(settings: &VerifyManifest, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let name = settings.file.display().to_string();
    let mut work = logs.begin(EventType::Verify, "manifest", &name, None, printer)?;
    let result = verify_file(settings, &mut work, printer);
    work.end(result)
}

fn verify_file(settings: &VerifyManifest, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let text = read(&settings.file)?;
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    let file = settings.file.display();
    let own = trust(&TrustArg { trust: settings.trust.clone() }, work)?;
    let keys = |aws: fn() -> bundle_signer::Result<TrustFile>| own.clone().map_or_else(aws, Ok);
    let manifest = UnverifiedManifest::read(text.as_bytes());
    let kind = manifest.as_ref().map_or_else(|_| kind_of(&text), |manifest| Ok(manifest.kind().to_owned()));
    let kind = kind.map_err(|error| Usage {
        message: format!("`{file}` is not a manifest: {error}"),
        hint: "give a PackageBundle, Bundles or Release",
    })?;
    let verified = match (kind.as_str(), &settings.bundles) {
        ("PackageBundle", None) => {
            let keys = keys(package_keys)?;
            manifest.and_then(|manifest| manifest.verify_package_bundle(&keys))
        }
        ("Bundles", None) => {
            let keys = keys(bundles_keys)?;
            manifest.and_then(|manifest| manifest.verify_bundles(&keys))
        }
        ("Release", Some(path)) => {
            let (bundles, keys) = (read(path)?, keys(distro_keys)?);
            manifest.and_then(|manifest| manifest.verify_release(bundles.as_bytes(), &keys))
        }
        ("Release", None) => {
            let hint = "give the Bundles of EKS Anywhere that contain it: --bundles FILE";
            return Err(Usage { message: "a Release does not contain its signature".to_owned(), hint }.into());
        }
        (other, _) => {
            let message = match other {
                "" => format!("`{file}` is not a manifest: it has no `kind`"),
                kind => format!("`{file}` is a `{kind}`, which this command does not verify"),
            };
            let hint = "give a PackageBundle, Bundles, or a Release with --bundles";
            return Err(Usage { message, hint }.into());
        }
    };
    let manifest = verified.with_context(|| format!("`{file}` is refused"))?;
    let signer = manifest.signed().signer();
    work.evidence("signer", &manifest.by().join(" "));
    work.evidence("key", signer.hint());
    work.done()?;
    let value = json!({
        "file": settings.file, "kind": kind, "signer": signer.name(), "keyHint": signer.hint(),
        "signers": manifest.by(),
        "notCovered": manifest.uncovered(),
    });
    printer.result(&value, |_| report(&kind, &manifest))?;
    Ok(Status::Done)
}

/// The kind of a text that cannot be read as a signed manifest, which may be the reason why.
fn kind_of(text: &str) -> Result<String, gostd::yaml::Error> {
    let value = gostd::yaml::parse(text, &gostd::Limits::default())?;
    Ok(value["kind"].as_str().unwrap_or_default().to_owned())
}

fn report(kind: &str, manifest: &Manifest) -> String {
    let signer = manifest.signed().signer();
    let uncovered = manifest.uncovered();
    let lines = uncovered.iter().map(|value| row(&format!("  {} ({})", value.path(), value.reason())));
    let others: Vec<_> = manifest.by().iter().filter(|name| *name != signer.name()).cloned().collect();
    let others = if others.is_empty() { String::new() } else { format!(" and by {}", others.join(", ")) };
    row(&format!("{kind} signed by {} ({}){others}", signer.name(), signer.hint()))
        + &format!("{} values are not covered by the signature:\n", uncovered.len())
        + &lines.collect::<String>()
}
