//! The command-line arguments. Declarations only, no behavior.

mod address;
mod audit;
mod audit_report;
mod chart;
mod cluster;
mod cluster_install;
mod config;
mod controller;
mod drive;
mod keys;
mod package;
mod serve;
mod trust;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::audit::{Audit, AuditSearch, LogArg, OutcomeArg};
pub(crate) use self::audit_report::{AuditExplain, AuditReport, ReportFormat};
pub(crate) use self::chart::{Chart, ChartArg, ChartDependency, ChartPart, ChartPrinted, ChartRender};
pub(crate) use self::cluster::{
    Apply, ChartsArg, Create, Delete, DeletePackages, Describe, FromFile, Get, InCluster, Install,
    InstallPackage, List, ListPackages, OnePackage, PackageCommand, PackageRights, ReachArg, RollbackPackage,
    Uninstall, Upgrade, UpgradePackages,
};
pub(crate) use self::cluster_install::{InstallController, RegistryArg, UninstallController};
pub(crate) use self::config::{Client, Config};
pub(crate) use self::controller::{Controller, Part};
pub(crate) use self::drive::{Acknowledge, Quarantine, Return};
pub(crate) use self::keys::{
    Add as AddKeys, AddedArg, ChangeArg, IdentityArg, Import as ImportKey, KeyArg, KeyType, Keys,
    PasswordArg, Revoke, Rotate, Show, TrustKeys,
};
pub(crate) use self::package::{Bundle, CreateBundle, Generate, GeneratePackage};
pub(crate) use self::serve::{Quickstart, Serve, Tls};
pub(crate) use self::trust::{
    Attest, GateArg, GateArgs, ImageArg, Sign, SignFile, SignFormat, SigningArg, Trust, VerifyImage,
    VerifyManifest,
};
use crate::env;

/// Carry OCI artifacts across an air gap: mirror, pack, verify, import, serve.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 signature or content refused,\n\
                  4 a named object is missing, 5 no space left, 6 network or registry failed,\n\
                  7 alarm: a log was rolled back or forked, a drive replayed or quarantined; 130 interrupted."
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
    /// Print configuration that lets nodes pull from the registry by original image names.
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
    Store(Store),
    /// Search, verify and report on the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// Try all steps with one command: a small upstream, a drive, and a registry.
    Quickstart(Quickstart),
    /// Print the JSON Schema of the mirror file.
    Schema,
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

#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArg {
    /// The folder of the store.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock mirror -f airlock.yaml --store store")]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct Mirror {
    /// The mirror file.
    #[arg(long, short, default_value = "airlock.yaml", value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The lock file to write. If it exists, references resolve to the digests that it records. A lock file
    /// belongs to one mirror file.
    #[arg(long, default_value = "airlock.lock", value_name = "FILE")]
    pub(crate) lock: PathBuf,
    /// Use the lock file of a mirror file that was renamed or moved.
    #[arg(long)]
    pub(crate) renamed: bool,
    /// Resolve references again, despite the lock file.
    #[arg(long)]
    pub(crate) update: bool,
    /// Continue after a failure, and list all failures at the end. If anything fails, nothing is published.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print what would be fetched into an existing store, without fetching it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "With a trust file, its gate `pack` is evaluated for each image, chart and file.\n\
    Example: airlock pack --store store --to /media/usb --key release.key --trust trust.yaml")]
pub(crate) struct Pack {
    /// The lock file.
    #[arg(long, default_value = "airlock.lock", value_name = "FILE")]
    pub(crate) lock: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The folder on the medium. Repeat it for several media: volumes fill them in order. If there are as many folders as
    /// volumes, each folder gets one.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) to: Vec<PathBuf>,
    /// Write each volume to its own medium, at the same path, and prompt for the next medium. Run the command again
    /// to resume.
    #[arg(long)]
    pub(crate) one_by_one: bool,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    /// The maximum volume size, with a unit such as MiB or GB. The default, 4 GiB - 64 KiB, fits FAT32.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "4294901760")]
    pub(crate) volume_size: u64,
    /// Do not read the medium back to verify it.
    #[arg(long)]
    pub(crate) no_read_back: bool,
    /// Print the volumes, without writing them.
    #[arg(long)]
    pub(crate) dry_run: bool,
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

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock verify /media/usb --trust trust.yaml")]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) media: MediaArg,
    /// Read the volumes one after another at the same path, and prompt for each. The signature and the log are checked first.
    #[arg(long)]
    pub(crate) one_by_one: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    /// The store that imported earlier drives. The drive's log is compared with its records, which stay
    /// unchanged.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Accept a drive without a log, as older versions write it, although the trust file requires one.
    #[arg(long)]
    pub(crate) without_log: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock inspect /media/usb --output html > contents.html")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) media: MediaArg,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock import /media/usb --trust trust.yaml --store store")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) media: MediaArg,
    /// Read the volumes one after another at the same path, and prompt for each. The signature and the log are checked first.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) one_by_one: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Accept a drive without a log, as older versions write it, although the trust file requires one.
    #[arg(long)]
    pub(crate) without_log: bool,
    /// Verify the signature and the log, and print what would be imported into an existing store, without
    /// importing it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// List images and artifacts with their tags, digests and sizes.
    List(StoreArg),
    /// Copy a file out of the store.
    Get {
        #[command(flatten)]
        store: StoreArg,
        /// REPOSITORY:TAG or REPOSITORY@DIGEST as `store list` shows them, or the file's own name.
        name: String,
        /// The file to write, or the folder to write it into. Existing files are not overwritten.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The file's own name or digest, for an artifact that contains several files.
        #[arg(long)]
        title: Option<String>,
    },
    /// Hash every blob, and compare files, database and journal.
    Check(StoreArg),
    /// Rebuild the database from the blobs and the journal of names.
    Rebuild {
        #[command(flatten)]
        store: StoreArg,
        /// Rebuild even if both the database and the journal are lost. All names are lost; only blobs remain.
        #[arg(long)]
        without_names: bool,
    },
    /// Delete blobs that nothing references.
    Gc {
        #[command(flatten)]
        store: StoreArg,
        /// Print what would be deleted, without deleting it.
        #[arg(long)]
        dry_run: bool,
    },
}

/// `4096`, `2MiB`, `4.5GB`.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        unit => return Err(format!("`{unit}` is not a unit: use KiB, MiB, GiB, TiB, kB, MB, GB or TB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a whole number"))?;
    number.checked_mul(unit).ok_or_else(|| "the size is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declarations_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("2MiB"), Ok(2 << 20));
        assert_eq!(parse_size("4 GB"), Ok(4_000_000_000));
        assert!(parse_size("2 parsecs").is_err() && parse_size("MiB").is_err());
        assert!(parse_size("99999999999TiB").is_err());
    }
}
