//! `airlock bundle`: creates, signs, publishes and lists package bundles.

use std::path::PathBuf;

use audit::EventType;
use bundle_signer::eksa::{Coverage, SignedBundle, sign_bundle, verify_package_bundle};
use bundle_signer::trust::ContentKind;
use bundle_signer::{PublicKey, TrustFile};
use clap::{Args, Subcommand};
use mirror::lock::Lock;
use oci::Digest;
use package_api::BundleName;
use package_bundle::{BundleConfig, Published, add_and_write, listed, make, publish, published};
use serde_json::json;
use store::Store;

use super::sign::{private, say_uncovered};
use crate::cli::{KeyArg, StoreArg};
use crate::failure::Status;
use crate::files::Output;
use crate::logged::{Logs, Work, acting};
use crate::printer::{Printer, count, row};
use crate::progress::Progress;

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Create and sign a package bundle from charts in a store.
    #[command(
        after_help = "Example: airlock bundle create -f packages.yaml --store store --key release.key --publish"
    )]
    Create(CreateBundle),
    /// List the bundles of a store.
    List(StoreArg),
}

#[derive(Args, Debug)]
pub(crate) struct CreateBundle {
    /// The file that lists the packages; see docs/packages.md.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// Leave the charts' registries and repositories out of the signature, as AWS does.
    #[arg(long)]
    pub(crate) without_source: bool,
    /// Publish the bundle to the store, where the controller finds it.
    #[arg(long)]
    pub(crate) publish: bool,
    /// Replace a published bundle of the same name.
    #[arg(long, requires = "publish")]
    pub(crate) replace: bool,
    /// The repository to publish to.
    #[arg(
        long,
        value_name = "REPOSITORY",
        requires = "publish",
        default_value = "eks-anywhere-packages-bundles"
    )]
    pub(crate) repository: oci::RepositoryName,
    /// The lock file of `airlock mirror` to add the bundle to, so that `airlock pack` includes it.
    #[arg(long, value_name = "FILE", requires = "publish")]
    pub(crate) lock: Option<PathBuf>,
    /// The output file; `-` is standard output. Default: standard output, unless the bundle is published.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

pub(crate) fn run(settings: &Bundle, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Bundle::Create(settings) => {
            let name = settings.file.display().to_string();
            let store = settings.store.store.as_path();
            let mut work = logs.begin(EventType::Sign, "manifest", &name, Some(store), printer)?;
            let result = create(settings, &mut work, printer);
            work.end(result)
        }
        Bundle::List(store) => {
            let bundles = listed(&Store::open_existing(&store.store)?)?;
            printer.result(&bundles, |bundles| table(bundles))?;
            if bundles.is_empty() {
                printer.say("no bundles in this store; `airlock bundle create --publish` publishes one");
            }
            Ok(Status::Done)
        }
    }
}

fn create(settings: &CreateBundle, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let to = settings.to.as_deref().map(Output::of).transpose()?;
    let config = BundleConfig::read(&settings.file)?;
    let store = Store::open_existing(&settings.store.store)?;
    acting(&store, "bundle create");
    let lock = settings.lock.as_deref().map(Lock::read).transpose()?;
    let draft = serde_json::to_vec(&make(&config, &store, &Progress::new(printer))?)?;
    let coverage = if settings.without_source { Coverage::WithoutSource } else { Coverage::Full };
    let key = private(&settings.key, printer)?;
    let signed = sign_bundle(&draft, coverage, &key)?;
    work.evidence("key", &key.public_key()?.hint());
    work.digests([Digest::sha256(signed.yaml().as_bytes()).to_string()]);
    say_uncovered(&signed, printer);
    if let Some(to) = to {
        to.replace(signed.yaml())?;
    }
    let publish = || publish_once(settings, &store, config.name(), &signed, &key.public_key()?);
    let published = settings.publish.then(publish).transpose()?;
    if let (Some(path), Some(lock), Some(published)) = (&settings.lock, lock, &published) {
        add_and_write(path, lock, &store, published)?;
    }
    work.digests(published.iter().map(|published| published.digest.to_string()));
    work.done()?;
    print_bundle(&signed, to, published.as_ref(), printer)
}

/// Publishes a bundle, unless it is already published by the same key with the same content.
fn publish_once(
    settings: &CreateBundle,
    store: &Store,
    name: &BundleName,
    signed: &SignedBundle,
    key: &PublicKey,
) -> anyhow::Result<Published> {
    let repository = &settings.repository;
    if !settings.replace
        && let Some((known, text)) = published(store, repository, name)?
    {
        let trust =
            TrustFile::new(vec![("own".to_owned(), key.clone())])?.limited_to(&[ContentKind::PackageBundle]);
        let spec = |text: &str| -> Option<serde_json::Value> {
            let verified = verify_package_bundle(text.as_bytes(), &trust).ok()?;
            Some(verified.whole()["spec"].clone())
        };
        let before = spec(&text);
        if before.is_none() || before != spec(signed.yaml()) {
            return Err(package_bundle::Error::Published(name.clone()).into());
        }
        return Ok(known);
    }
    Ok(publish(store, repository, name, signed.yaml())?)
}

fn print_bundle(
    signed: &SignedBundle,
    to: Option<Output<'_>>,
    published: Option<&Published>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    if to.is_none() && published.is_none() {
        printer.data(signed.yaml())?;
        return Ok(Status::Done);
    }
    let path = to.map(Output::path);
    let value = json!({ "file": path, "published": published, "notCovered": signed.uncovered() });
    let text = |_: &_| {
        let mut text = path.map(|path| format!("wrote {}\n", path.display())).unwrap_or_default();
        text.extend(published.map(|published| table(std::slice::from_ref(published))));
        text
    };
    match to {
        Some(to) => printer.written(to, signed.yaml(), &value, text)?,
        None => printer.result(&value, text)?,
    }
    Ok(Status::Done)
}

fn table(bundles: &[Published]) -> String {
    let line = |bundle: &Published| {
        let tags = bundle.tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let name = bundle.name.as_deref().unwrap_or("(not a bundle)");
        let (number, packages) = (bundle.packages.len(), bundle.packages.join(", "));
        row(name)
            + &row(&format!("  {}:{tags}", bundle.repository))
            + &row(&format!("  {}", bundle.digest))
            + &row(&format!("  {}: {packages}", count(number, "package")))
    };
    bundles.iter().map(line).collect()
}
