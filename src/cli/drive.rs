//! Arguments of commands about drives' logs: quarantine and return media.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{StoreArg, TrustArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List quarantined drives, and their releases with user and reason.
    List(StoreArg),
    /// Show the cause of an alarm, with the signed checkpoints that prove it.
    #[command(after_help = "Example: airlock quarantine show sha256:… --store store")]
    Show {
        /// The set, or the site that returned it, as printed by `quarantine list`.
        #[arg(value_name = "SET|SITE")]
        what: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Reset lost witness state, when files of the store's `witness` folder were lost.
    #[command(
        after_help = "If there is a backup of the folder, restore it instead: then old drives can still be detected.\n\
        Example: airlock quarantine begin-anew --reason 'disk lost, no copy' --store store"
    )]
    BeginAnew {
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Release a set from quarantine, so that it can be imported despite this alarm.
    #[command(
        after_help = "Example: airlock quarantine release sha256:… --reason 'sender confirms drive 12 by telephone' --store store"
    )]
    Release {
        /// The set, as printed by `quarantine list`.
        #[arg(value_name = "SET")]
        set: oci::Digest,
        /// The reason, which is kept with the release.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        #[command(flatten)]
        store: StoreArg,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock return --store store --to /media/usb")]
pub(crate) struct Return {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The folder on the medium.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock acknowledge /media/usb --trust sites.yaml --store store")]
pub(crate) struct Acknowledge {
    /// The return medium.
    #[arg(value_name = "DIR")]
    pub(crate) medium: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) store: StoreArg,
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let sound = (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err("expected 1 to 1024 printable characters".to_owned()) }
}
