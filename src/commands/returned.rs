//! `airlock return` and `airlock acknowledge`: checkpoints that a site returns to its senders.

use std::path::PathBuf;

use anyhow::Context as _;
use audit::{EventType, LogTrust};
use clap::Args;
use packager::witness::Witness;
use packager::witness::acknowledge::{AcknowledgeReport, OwnLog};
use packager::witness::notes::{Purpose, note_policy};
use packager::witness::returned::ReturnReport;
use store::Store;
use tlog::Folder;

use crate::admission::log_alarm;
use crate::cli::{StoreArg, TrustArg};
use crate::clock::now;
use crate::failure::{Status, Usage};
use crate::files::check_folder;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count};
use crate::trust_input::trust;

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

pub(crate) fn return_checkpoints(
    settings: &Return,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    check_folder(&settings.to)?;
    let (store, to) = (&settings.store.store, settings.to.display().to_string());
    let mut work = logs.begin(EventType::Return, "medium", &to, Some(store), printer)?;
    let result = write(settings, &mut work, printer);
    work.end(result)
}

fn write(settings: &Return, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    let log = Logs::of_store(store.root()).filter(|log| log.exists());
    let own = log.map(|log| Folder::checkpoint(&log)).transpose()?;
    let report = Witness::of(&store).return_to(&settings.to, own, &now()?)?;
    work.evidence("site", &report.site);
    for (origin, size) in &report.logs {
        work.evidence(origin, size);
    }
    work.done()?;
    printer.report(&report, returned)?;
    Ok(Status::Done)
}

pub(crate) fn acknowledge(settings: &Acknowledge, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    check_folder(&settings.medium)?;
    let (store, medium) = (&settings.store.store, settings.medium.display().to_string());
    let mut work = logs.begin(EventType::Acknowledge, "medium", &medium, Some(store), printer)?;
    let result = record(settings, &mut work, printer);
    log_alarm(&result, logs, Some(store), printer)?;
    work.end(result)
}

fn record(settings: &Acknowledge, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    let trust = trust(&settings.trust, work)?.ok_or_else(|| Usage {
        message: "no trust file was given, so no site's cosignature can be verified".to_owned(),
        hint: "give --trust FILE with the sites' keys in `witnesses`",
    })?;
    note_policy(&store, Purpose::Sites, trust.sequence())?;
    let folder = Logs::of_store(store.root()).context("the store has no log")?;
    let log_trust = LogTrust::own(&folder)?;
    let key = log_trust.policy().logs().first().context("the log has no key")?;
    let own = OwnLog { folder: &folder, key };
    let reports = Witness::of(&store).acknowledge(&settings.medium, &own, &trust, &now()?)?;
    for report in &reports {
        work.evidence(&report.site, &report.size);
    }
    work.done()?;
    printer.report(&reports, |reports| reports.iter().map(acknowledged).collect())?;
    Ok(Status::Done)
}

fn returned(report: &ReturnReport) -> String {
    let logs =
        report.logs.iter().map(|(origin, size)| format!("saw {} of log {origin}\n", count(*size, "entry")));
    let own = report.own.as_ref().map_or_else(String::new, |(origin, size)| {
        format!("its own log {origin} has {}\n", count(*size, "entry"))
    });
    format!(
        "site {} wrote its checkpoints to {}\n{}{own}its key for the trust files of senders: {}\n",
        report.site,
        report.folder.display(),
        logs.collect::<String>(),
        report.key
    )
}

fn acknowledged(report: &AcknowledgeReport) -> String {
    let own = report.own.as_ref().map_or_else(String::new, |(origin, size)| {
        let checked = if report.own_checked { "" } else { ", whose key is not in the trust file," };
        format!("its own log {origin}{checked} has {}\n", count(*size, "entry"))
    });
    format!(
        "site {} acknowledges {} (previously {})\n{own}",
        report.site,
        count(report.size, "entry"),
        report.before
    )
}
