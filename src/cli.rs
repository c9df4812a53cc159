//! The top level of the command-line arguments, and the arguments that several commands share. Declarations only, no
//! behavior. The other arguments of a command are in the module of the command, next to `run`.

mod address;
mod audit;
mod cluster;
mod keys;
mod stored;
mod trust;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::address::listen;
pub(crate) use self::audit::{LogArg, time_of};
pub(crate) use self::cluster::{ClusterArg, ReachArg, cluster_name, duration};
pub(crate) use self::keys::{KeyArg, PasswordArg};
pub(crate) use self::stored::{StoredName, stored_name, tag_name, tags_name};
pub(crate) use self::trust::{GateArgs, ImageArg, predicate_type};
use crate::commands::audit_log::Audit;
use crate::commands::bundle::Bundle;
use crate::commands::chart::Chart;
use crate::commands::cluster::InCluster;
use crate::commands::config::Config;
use crate::commands::controller::Controller;
use crate::commands::generate::Generate;
use crate::commands::import::Import;
use crate::commands::inbox::Inbox;
use crate::commands::inspect::Inspect;
use crate::commands::keys::Keys;
use crate::commands::mirror_images::Mirror;
use crate::commands::pack::Pack;
use crate::commands::quarantine::Quarantine;
use crate::commands::returned::{Acknowledge, Return};
use crate::commands::robot::RobotCommand;
use crate::commands::serve::Serve;
use crate::commands::sign::{Attest, Sign};
use crate::commands::store_content::StoreCommand;
use crate::commands::tags::Tags;
use crate::commands::trust::Trust;
use crate::commands::verify::Verify;
use crate::commands::verify_image::VerifyImage;
use crate::commands::verify_manifest::VerifyManifest;
use crate::commands::want::Want;
use crate::env;
use crate::quickstart::Quickstart;

/// Carry OCI artifacts across an air gap: mirror, pack, verify, import, serve.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, or a named file or object cannot be used,\n\
                  3 signature or content refused, 4 a named file or object does not exist, 5 no space left,\n\
                  6 network or registry failed, 7 alarm: a log was rolled back or forked, a drive replayed or quarantined;\n\
                  130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Set the output format.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Print only errors and requested output.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print more detail; repeat for debug output.
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Also write audit events to this log.
    #[arg(long, global = true, env = env::AUDIT_LOG, value_name = "DIR")]
    pub(crate) audit_log: Option<PathBuf>,
    /// Whether the command line names a store, but only the environment or the configuration file names a log.
    #[arg(skip)]
    pub(crate) store_first: bool,
    /// The default store, from the environment or the configuration file.
    #[arg(skip)]
    pub(crate) default_store: Option<PathBuf>,
    /// The folder outside the stores for the newest checkpoints that packs signed.
    #[arg(skip)]
    pub(crate) pack_history: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable text.
    Text,
    /// One JSON document on standard output.
    Json,
    /// One JSON document per line, for `audit log`.
    Jsonl,
    /// One YAML document, for cluster resources.
    Yaml,
    /// An HTML page, for `inspect`.
    Html,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch the content that a mirror file lists into a store, and write a lock file.
    Mirror(Mirror),
    /// Write the content of a lock file to a medium, as signed volumes.
    Pack(Pack),
    /// Verify a drive: its signature and every byte.
    Verify(Verify),
    /// Show the content of a drive. Needs no keys.
    Inspect(Inspect),
    /// Verify a drive and import its content into a store.
    Import(Import),
    /// Inspect quarantined drives and release them.
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Write this site's cosigned checkpoints of senders' logs, to return to the senders.
    Return(Return),
    /// Store the checkpoints that sites returned.
    Acknowledge(Acknowledge),
    /// Serve a store as an OCI registry.
    Serve(Serve),
    /// Create, list and revoke the registry's accounts for programs.
    #[command(subcommand)]
    Robot(RobotCommand),
    /// Maintain the inbox of a registry: manifests that are held until they are signed.
    #[command(subcommand)]
    Inbox(Inbox),
    /// List what clients of the registry asked for in vain, and write it as a mirror file.
    #[command(subcommand)]
    Want(Want),
    /// Print configuration that lets nodes pull from the registry under the original image names.
    Config(Config),
    /// Run the package controller and the admission webhooks, inside a cluster.
    Controller(Box<Controller>),
    /// Create, sign and list package bundles.
    #[command(subcommand)]
    Bundle(Bundle),
    /// Generate starter manifests.
    #[command(subcommand)]
    Generate(Generate),
    #[command(flatten)]
    InCluster(InCluster),
    /// Create, import, show, rotate and revoke keys; create trust files.
    #[command(subcommand)]
    Keys(Keys),
    /// Sign an image as cosign does, in a registry or a store, or sign a package bundle.
    Sign(Sign),
    /// Sign an attestation about an image: provenance, an SBOM or a scan.
    Attest(Attest),
    /// Verify an image's signatures or attestations.
    VerifyImage(VerifyImage),
    /// Verify a manifest that AWS signed, and list the fields that its signature does not cover.
    VerifyManifest(VerifyManifest),
    /// Check and explain trust files.
    #[command(subcommand)]
    Trust(Trust),
    /// Render and inspect Helm charts, without a cluster.
    #[command(subcommand)]
    Chart(Chart),
    /// Maintain a store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Show the history of a store's tags, and roll tags back.
    #[command(subcommand)]
    Tags(Tags),
    /// Search, verify and report on the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// Try all steps with one command: a small upstream, a drive, and a registry.
    Quickstart(Quickstart),
    /// Print the JSON Schema of the mirror file, or of another file.
    Schema {
        /// The file.
        #[arg(value_enum, default_value_t = SchemaOf::Mirror, value_name = "FILE")]
        of: SchemaOf,
    },
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages.
    Man {
        /// The output folder.
        #[arg(long, default_value = "man")]
        to: PathBuf,
    },
    /// Print the version.
    Version,
}

/// A file with a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// The mirror file, for `mirror`.
    Mirror,
    /// The configuration of a registry, for `serve`.
    Registry,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArg {
    /// The folder of the store.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct MediaArg {
    /// Volumes, or folders that contain them.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TrustArg {
    /// The trust file, which lists the accepted keys.
    #[arg(long, env = env::TRUST, value_name = "FILE")]
    pub(crate) trust: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declarations_are_sound() {
        Cli::command().debug_assert();
    }
}
