//! `airlock verify-manifest`: verifies manifests that AWS signed.

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::TrustFile;
use bundle_signer::eksa::{
    Manifest, bundles_keys, distro_keys, package_keys, verify_bundles, verify_package_bundle, verify_release,
};
use oci::Digest;
use serde_json::json;

use crate::cli::{TrustArg, VerifyManifest};
use crate::commands::{read, trust};
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::{Printer, row};

pub(crate) fn run(settings: &VerifyManifest, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let name = settings.file.display().to_string();
    let mut work = logs.begin(EventType::Verify, ("manifest", &name), None, printer)?;
    let result = verify_file(settings, &mut work, printer);
    work.end(result)
}

fn verify_file(settings: &VerifyManifest, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let text = read(&settings.file)?;
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    let file = settings.file.display();
    let own = trust(&TrustArg { trust: settings.trust.clone() }, work)?;
    let keys = |aws: fn() -> bundle_signer::Result<TrustFile>| own.clone().map_or_else(aws, Ok);
    let value = gostd::yaml::parse(&text, &gostd::Limits::default()).map_err(|error| Usage {
        message: format!("`{file}` is not a manifest: {error}"),
        hint: "give a PackageBundle, Bundles or Release",
    })?;
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let verified = match (kind.as_str(), &settings.bundles) {
        ("PackageBundle", None) => verify_package_bundle(text.as_bytes(), &keys(package_keys)?),
        ("Bundles", None) => verify_bundles(text.as_bytes(), &keys(bundles_keys)?),
        ("Release", Some(path)) => {
            verify_release(text.as_bytes(), read(path)?.as_bytes(), &keys(distro_keys)?)
        }
        ("Release", None) => {
            let hint = "give the Bundles of EKS Anywhere that contain it: --bundles FILE";
            return Err(Usage { message: "a Release does not contain its signature".to_owned(), hint }.into());
        }
        _ => {
            let message = format!("`{file}` is a `{kind}`, which this command does not verify");
            return Err(Usage {
                message,
                hint: "give a PackageBundle, Bundles, or a Release with --bundles",
            }
            .into());
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
