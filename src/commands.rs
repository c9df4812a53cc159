//! The verbs. Each takes what was typed and a printer, and says how it ended.

mod chart;
mod image;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod mirror;
pub(crate) mod pack;
pub(crate) mod serve;
mod sign;
mod store;
mod tls;
mod trust;
pub(crate) mod verify;
mod verify_image;
mod verify_manifest;

use std::path::Path;

use anyhow::Context as _;
use bundle_signer::TrustFile;
use clap::CommandFactory as _;

use crate::cli::{Cli, Command, TrustArg};
use crate::failure::Status;
use crate::printer::Printer;
use crate::quickstart;

pub(crate) async fn run(command: Command, printer: &Printer) -> anyhow::Result<Status> {
    match command {
        Command::Mirror(settings) => mirror::run(&settings, printer).await,
        Command::Pack(settings) => pack::run(&settings, printer),
        Command::Verify(settings) => verify::run(&settings, printer),
        Command::Inspect(settings) => inspect::run(&settings, printer),
        Command::Import(settings) => import::run(&settings, printer),
        Command::Serve(settings) => serve::run(settings, printer).await,
        Command::Keys(settings) => keys::run(&settings, printer),
        Command::Sign(settings) => sign::run(&settings, printer).await,
        Command::Attest(settings) => sign::attest(&settings, printer).await,
        Command::VerifyImage(settings) => verify_image::run(&settings, printer).await,
        Command::VerifyManifest(settings) => verify_manifest::run(&settings, printer),
        Command::Trust(settings) => trust::run(&settings, printer),
        Command::Chart(settings) => chart::run(&settings, printer),
        Command::Store(settings) => store::run(&settings, printer),
        Command::Quickstart(settings) => quickstart::run(&settings, printer).await,
        Command::Schema => {
            printer.data(&serde_json::to_string_pretty(&packager::config::json_schema())?)?;
            Ok(Status::Done)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "airlock", &mut text);
            printer.data(&String::from_utf8_lossy(&text))?;
            Ok(Status::Done)
        }
        Command::Man { to } => {
            std::fs::create_dir_all(&to).with_context(|| format!("cannot create `{}`", to.display()))?;
            clap_mangen::generate_to(Cli::command(), &to)?;
            printer.say(&format!("man pages are in `{}`", to.display()));
            Ok(Status::Done)
        }
        Command::Version => {
            printer.data(concat!("airlock ", env!("CARGO_PKG_VERSION")))?;
            Ok(Status::Done)
        }
    }
}

/// The trust file, if one is named.
fn trust(arg: &TrustArg) -> anyhow::Result<Option<TrustFile>> {
    let Some(path) = &arg.trust else { return Ok(None) };
    let text = read(path)?;
    let trust = TrustFile::parse(&text).with_context(|| format!("`{}` cannot be used", path.display()))?;
    Ok(Some(trust))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}
