//! `airlock sign bundle`: signs a package bundle in place.

use std::path::PathBuf;

use anyhow::Context as _;
use audit::EventType;
use bundle_signer::eksa::{Coverage, SignedBundle, cosign_bundle, sign_bundle};
use clap::{Args, Subcommand};
use oci::Digest;
use serde_json::json;

use super::private;
use crate::cli::KeyArg;
use crate::failure::{Status, unusable};
use crate::files::{Output, read};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum SignFile {
    /// Sign an EKS Anywhere `PackageBundle` in place, as its controller requires.
    #[command(
        after_help = "Example: airlock sign bundle package-bundle.yaml --key release.key --to signed.yaml"
    )]
    Bundle(SignBundle),
}

#[derive(Args, Debug)]
pub(crate) struct SignBundle {
    /// The manifest.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    key: KeyArg,
    /// Leave the charts' registries and repositories out of the signature, as AWS does.
    #[arg(long, conflicts_with = "add")]
    without_source: bool,
    /// Add a signature to existing ones, for trust files with thresholds.
    #[arg(long)]
    add: bool,
    /// The output file. Default, and with `-`: standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run(settings: &SignBundle, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let name = settings.file.display().to_string();
    let mut work = logs.begin(EventType::Sign, "manifest", &name, None, printer)?;
    let result = sign(settings, &mut work, printer);
    work.end(result)
}

fn sign(settings: &SignBundle, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let SignBundle { file, key, without_source, add, to } = settings;
    let to = to.as_deref().map_or(Ok(Output::Stdout), Output::of)?;
    let text = read(file)?;
    work.digests([Digest::sha256(text.as_bytes()).to_string()]);
    let key = private(key, printer)?;
    work.evidence("key", &key.public_key()?.hint());
    let refused = format!("`{}` cannot be signed", file.display());
    let coverage = if *without_source { Coverage::WithoutSource } else { Coverage::Full };
    let signed = if *add {
        // The existing signatures are checked, so this is a refusal.
        cosign_bundle(text.as_bytes(), &key).context(refused)?
    } else {
        sign_bundle(text.as_bytes(), coverage, &key).map_err(unusable(refused))?
    };
    work.digests([Digest::sha256(signed.yaml().as_bytes()).to_string()]);
    say_uncovered(&signed, printer);
    to.replace(signed.yaml())?;
    work.done()?;
    if let Output::File(path) = to {
        let value = json!({ "file": path, "notCovered": signed.uncovered() });
        printer.result(&value, |_| format!("wrote {}\n", path.display()))?;
    } else {
        printer.data(signed.yaml())?;
    }
    Ok(Status::Done)
}

/// Lists the fields that the signature does not cover.
pub(in crate::commands) fn say_uncovered(signed: &SignedBundle, printer: &Printer) {
    for uncovered in signed.uncovered() {
        printer.say(&format!("not covered by the signature: {} ({})", uncovered.path(), uncovered.reason()));
    }
}
