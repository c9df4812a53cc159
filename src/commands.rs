//! The commands. Each takes its arguments and a printer, and returns how it ended.

pub(crate) mod audit_log;
pub(crate) mod bundle;
mod change;
pub(crate) mod chart;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod controller;
mod credentials;
pub(crate) mod generate;
pub(crate) mod image;
pub(crate) mod import;
pub(crate) mod inbox;
pub(crate) mod inspect;
mod install;
pub(crate) mod keys;
pub(crate) mod mirror_images;
pub(crate) mod pack;
pub(crate) mod quarantine;
pub(crate) mod returned;
pub(crate) mod robot;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod store_content;
pub(crate) mod tags;
mod tls;
pub(crate) mod trust;
pub(crate) mod verify;
pub(crate) mod verify_image;
pub(crate) mod verify_manifest;
pub(crate) mod want;

use anyhow::Context as _;
use clap::CommandFactory as _;

pub(crate) use self::cluster::reach::ClusterError;
use crate::cli::{Cli, Command, SchemaOf};
use crate::failure::Status;
use crate::files::check_folder;
use crate::logged::Logs;
use crate::printer::Printer;
use crate::{output_format, quickstart};

pub(crate) async fn run(command: Command, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    output_format::check(&command, printer.format())?;
    match command {
        Command::Mirror(settings) => Box::pin(mirror_images::run(&settings, logs, printer)).await,
        Command::Pack(settings) => pack::run(&settings, logs, printer).await,
        Command::Verify(settings) => verify::run(&settings, logs, printer),
        Command::Inspect(settings) => inspect::run(&settings, printer),
        Command::Import(settings) => import::run(&settings, logs, printer),
        Command::Quarantine(settings) => quarantine::run(&settings, logs, printer),
        Command::Return(settings) => returned::return_checkpoints(&settings, logs, printer),
        Command::Acknowledge(settings) => returned::acknowledge(&settings, logs, printer),
        Command::Serve(settings) => serve::run(settings, logs, printer).await,
        Command::Robot(settings) => robot::run(&settings, logs, printer),
        Command::Controller(settings) => controller::run(*settings, logs).await,
        Command::Config(settings) => config::run(&settings, printer),
        Command::Bundle(settings) => bundle::run(&settings, logs, printer),
        Command::Generate(settings) => generate::run(&settings, printer),
        Command::InCluster(command) => cluster::run(command, logs, printer).await,
        Command::Keys(settings) => keys::run(&settings, logs, printer),
        Command::Sign(settings) => sign::run(&settings, logs, printer).await,
        Command::Attest(settings) => sign::attest(&settings, logs, printer).await,
        Command::VerifyImage(settings) => verify_image::run(&settings, logs, printer).await,
        Command::VerifyManifest(settings) => verify_manifest::run(&settings, logs, printer),
        Command::Trust(settings) => trust::run(&settings, logs, printer),
        Command::Chart(settings) => chart::run(&settings, printer),
        Command::Audit(settings) => audit_log::run(&settings, logs, printer),
        Command::Store(settings) => store_content::run(&settings, logs, printer),
        Command::Inbox(settings) => inbox::run(&settings, logs, printer).await,
        Command::Want(settings) => want::run(&settings, printer),
        Command::Tags(settings) => tags::run(&settings, logs, printer),
        Command::Quickstart(settings) => Box::pin(quickstart::run(&settings, logs, printer)).await,
        Command::Schema { of } => {
            let schema = match of {
                SchemaOf::Mirror => mirror::config::json_schema(),
                SchemaOf::Registry => serve::json_schema(),
            };
            printer.data(&serde_json::to_string_pretty(&schema)?)?;
            Ok(Status::Done)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "airlock", &mut text);
            printer.data(&String::from_utf8_lossy(&text))?;
            Ok(Status::Done)
        }
        Command::Man { to } => {
            check_folder(&to)?;
            std::fs::create_dir_all(&to).with_context(|| format!("cannot create `{}`", to.display()))?;
            clap_mangen::generate_to(Cli::command(), &to)?;
            printer.say(&format!("man pages are in `{}`", to.display()));
            Ok(Status::Done)
        }
        Command::Version => {
            let value = serde_json::json!({ "name": "airlock", "version": env!("CARGO_PKG_VERSION") });
            printer.result(&value, |_| concat!("airlock ", env!("CARGO_PKG_VERSION")).to_owned())?;
            Ok(Status::Done)
        }
    }
}
