//! `airlock bundle`: bundles of packages, made, signed, published and listed.

use std::path::Path;

use anyhow::Context as _;
use audit::Kind;
use bundle_signer::eksa::{Coverage, SignedBundle, sign_bundle};
use oci::{Digest, RepositoryName};
use packager::package_bundle::{BundleConfig, Published, listed, make, publish};
use serde_json::json;
use store::Store;

use super::sign::private;
use crate::cli::{Bundle, CreateBundle};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(crate) fn run(settings: &Bundle, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Bundle::Create(settings) => {
            let name = settings.file.display().to_string();
            let store = settings.store.store.as_path();
            let mut work = logs.begin(Kind::Sign, ("manifest", &name), Some(store), printer)?;
            let result = create(settings, &mut work, printer);
            work.end(result)
        }
        Bundle::List(store) => {
            let bundles = listed(&Store::open_existing(&store.store)?)?;
            printer.result(&bundles, |bundles| table(bundles))?;
            Ok(Status::Done)
        }
    }
}

fn create(settings: &CreateBundle, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let config = BundleConfig::read(&settings.file)?;
    let store = Store::open_existing(&settings.store.store)?;
    let draft = serde_json::to_vec(&make(&config, &store)?)?;
    let coverage = if settings.without_source { Coverage::WithoutSource } else { Coverage::Full };
    let key = private(&settings.key, printer)?;
    let signed = sign_bundle(&draft, coverage, &key)?;
    work.evidence("key", &key.public_key()?.hint());
    work.digests([Digest::sha256(signed.yaml().as_bytes()).to_string()]);
    for uncovered in signed.uncovered() {
        printer.say(&format!("not covered by the signature: {} ({})", uncovered.path(), uncovered.why()));
    }
    let into = settings.publish.then_some((&store, &settings.repository));
    created(&config, &signed, into, settings.to.as_deref(), (work, printer))
}

fn created(
    config: &BundleConfig,
    signed: &SignedBundle,
    into: Option<(&Store, &RepositoryName)>,
    to: Option<&Path>,
    (work, printer): (&mut Work<'_>, &Printer),
) -> anyhow::Result<Status> {
    if let Some(path) = to {
        std::fs::write(path, signed.yaml()).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let published = into.map(|(store, repository)| publish(store, repository, config.name(), signed.yaml()));
    let published = published.transpose()?;
    work.digests(published.iter().map(|published| published.digest.to_string()));
    work.done()?;
    if to.is_none() && published.is_none() {
        printer.data(signed.yaml())?;
        return Ok(Status::Done);
    }
    let value = json!({ "file": to, "published": published, "notCovered": signed.uncovered() });
    printer.result(&value, |_| {
        let mut text = to.map(|path| format!("wrote {}\n", path.display())).unwrap_or_default();
        text.extend(published.iter().map(|published| table(std::slice::from_ref(published))));
        text
    })?;
    Ok(Status::Done)
}

fn table(bundles: &[Published]) -> String {
    let line = |bundle: &Published| {
        let tags = bundle.tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let name = bundle.name.as_deref().unwrap_or("(not a bundle)");
        format!(
            "{name}\n  {}:{tags}\n  {}\n  {} packages: {}\n",
            bundle.repository,
            bundle.digest,
            bundle.packages.len(),
            bundle.packages.join(", ")
        )
    };
    bundles.iter().map(line).collect()
}
