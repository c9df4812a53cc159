//! `airlock store scrub`: verifies every blob slowly, and reports damaged ones.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use store::{Health, ScrubControl, ScrubReport, Store};

use super::{log, with_progress};
use crate::cli::{StoreArg, duration};
use crate::clock::rfc3339;
use crate::commands::pack::parse_size;
use crate::failure::Status;
use crate::logged::{Work, log_damage};
use crate::printer::{Printer, count, size};

#[derive(Debug, Args)]
#[command(after_help = "An interrupted scrub resumes where it stopped.\n\
                  Example: airlock store scrub --rate 20MiB --older-than 168h --store store")]
pub(crate) struct ScrubArgs {
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Read at most this much per second, such as 20MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    rate: Option<u64>,
    /// Skip blobs that were verified within this time, such as 90m or 168h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Print the damaged blobs and when the store was verified, without reading blobs.
    #[arg(long, conflicts_with_all = ["rate", "older_than"])]
    pub(super) report: bool,
}

/// A scrub and the health of the store after it.
#[derive(Serialize)]
struct Scrubbed {
    #[serde(flatten)]
    report: ScrubReport,
    #[serde(flatten)]
    health: Health,
}

pub(super) fn report(settings: &ScrubArgs, printer: &Printer) -> anyhow::Result<Status> {
    let health = Store::open_to_read(&settings.store.store)?.health()?;
    printer.result(&health, health_text)?;
    Ok(status(&health))
}

pub(super) fn scrub(settings: &ScrubArgs, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    log_damage(&store, work.journals()?);
    let control = ScrubControl::new(settings.rate);
    let report =
        with_progress(printer, "scrub", |progress| store.scrub(settings.older_than, &control, progress))?;
    let health = store.health()?;
    work.evidence("blobs", &report.blobs);
    work.evidence("damaged", &health.damaged.len());
    log(work, health.damaged.is_empty(), &faults(&health))?;
    let status = status(&health);
    printer.report(&Scrubbed { report, health }, |Scrubbed { report, health }| {
        let permissions = match report.permissions {
            0 => String::new(),
            number => format!("restored the permissions of {}\n", count(number, "file")),
        };
        let verified = format!("verified {}, {}\n", count(report.blobs, "blob"), size(report.bytes));
        verified + &permissions + &health_text(health)
    })?;
    Ok(status)
}

fn status(health: &Health) -> Status {
    if health.damaged.is_empty() { Status::Done } else { Status::Faults }
}

/// The number of damaged blobs, as the reason of an outcome.
pub(crate) fn faults(health: &Health) -> String {
    format!("{} damaged or missing", count(health.damaged.len(), "blob"))
}

fn health_text(health: &Health) -> String {
    let damaged = health.damaged.iter().map(|blob| {
        let names: Vec<_> = blob.repositories.iter().map(ToString::to_string).collect();
        let (digest, what) = (&blob.damage.digest, blob.damage.kind.text());
        format!("damaged: {digest}: {what} (found {}, in {})\n", rfc3339(blob.damage.at), names.join(", "))
    });
    let remedy = if health.damaged.is_empty() {
        ""
    } else {
        "to replace them, push the images again, or run `airlock store heal DRIVE`, `airlock import` or `airlock mirror`\n"
    };
    let verified = match health.verified {
        Some(at) => format!("every blob has been verified since {}\n", rfc3339(at)),
        None => "some blobs have never been verified\n".to_owned(),
    };
    let unfinished =
        health.unfinished.map(|at| format!("a scrub that began {} is not finished\n", rfc3339(at)));
    let number = match health.damaged.len() {
        0 => "no damaged blobs are known\n".to_owned(),
        number => format!("{} known\n", count(number, "damaged blob")),
    };
    damaged.collect::<String>() + remedy + &number + &verified + &unfinished.unwrap_or_default()
}
