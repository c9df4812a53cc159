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
use crate::cli::{Bundle, KeyArg};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(crate) fn run(settings: &Bundle, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Bundle::Create { file, store, key, without_source, publish, repository, to } => {
            let name = file.display().to_string();
            let mut work = logs.begin(Kind::Sign, ("bundle", &name), Some(&store.store), printer)?;
            let into = publish.then_some(repository);
            let coverage = if *without_source { Coverage::WithoutSource } else { Coverage::Full };
            let result =
                create((file, &store.store), (key, coverage), (into, to.as_deref()), &mut work, printer);
            work.end(result)
        }
        Bundle::List(store) => {
            let bundles = listed(&Store::open_existing(&store.store)?)?;
            printer.result(&bundles, |bundles| table(bundles))?;
            Ok(Status::Done)
        }
    }
}

fn create(
    (file, store): (&Path, &Path),
    (key, coverage): (&KeyArg, Coverage),
    (into, to): (Option<&RepositoryName>, Option<&Path>),
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let config = BundleConfig::read(file)?;
    let store = Store::open_existing(store)?;
    let draft = serde_json::to_vec(&make(&config, &store)?)?;
    let key = private(key, printer)?;
    work.evidence("key", &key.public_key()?.hint());
    let signed = sign_bundle(&draft, coverage, &key)?;
    work.digests([Digest::sha256(signed.yaml().as_bytes()).to_string()]);
    for uncovered in signed.uncovered() {
        printer.say(&format!("not covered by the signature: {} ({})", uncovered.path(), uncovered.why()));
    }
    created(&config, &signed, (into.map(|repository| (&store, repository)), to), work, printer)
}

fn created(
    config: &BundleConfig,
    signed: &SignedBundle,
    (into, to): (Option<(&Store, &RepositoryName)>, Option<&Path>),
    work: &mut Work<'_>,
    printer: &Printer,
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
