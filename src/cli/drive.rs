//! What is typed about drives' logs: quarantine, return media.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{StoreArg, TrustArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List drives that raised an alarm, and who lifted it why.
    List(StoreArg),
    /// Lift a quarantine: the set may be imported in spite of this alarm.
    #[command(
        after_help = "Example: airlock quarantine release sha256:… --reason 'sender confirms drive 12 by telephone' --store store"
    )]
    Release {
        /// The set, as `quarantine list` prints it.
        #[arg(value_name = "SET")]
        set: oci::Digest,
        /// Why; it is kept.
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

fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let sound = (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err("it is 1 to 1024 printable characters".to_owned()) }
}
