//! `airlock return` and `airlock acknowledge`: what goes back from a site to its senders.

use anyhow::Context as _;
use audit::{Belief, Journal};
use packager::witness::Witness;
use packager::witness::acknowledge::{AcknowledgeReport, OwnLog};
use packager::witness::returned::ReturnReport;
use store::Store;
use tlog::Folder;

use crate::cli::{Acknowledge, Return};
use crate::commands::{now, trust};
use crate::failure::{Status, Usage};
use crate::printer::Printer;

pub(crate) fn send(settings: &Return, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    let log = Journal::folder(store.root());
    let own = if log.exists() { Some(Folder::checkpoint(&log)?) } else { None };
    let report = Witness::of(store.root()).return_to(&settings.to, own, &now()?)?;
    printer.result(&report, returned)?;
    Ok(Status::Done)
}

pub(crate) fn heed(settings: &Acknowledge, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    let trust = trust(&settings.trust)?.ok_or_else(|| Usage {
        message: "no trust file was given, so no site can be believed".to_owned(),
        hint: "give --trust FILE with the sites' keys in `witnesses`",
    })?;
    let folder = Journal::folder(store.root());
    let belief = Belief::own(&folder)?;
    let key = belief.policy().logs().first().context("the log has no key")?;
    let own = OwnLog { folder: &folder, key };
    let reports = Witness::of(store.root()).acknowledge(&settings.medium, &own, &trust)?;
    printer.result(&reports, |reports| reports.iter().map(acknowledged).collect())?;
    Ok(Status::Done)
}

fn returned(report: &ReturnReport) -> String {
    let logs = report.logs.iter().map(|(origin, size)| format!("saw {size} entries of log {origin}\n"));
    let own = report
        .own
        .as_ref()
        .map_or_else(String::new, |(origin, size)| format!("its own log {origin} has {size} entries\n"));
    format!(
        "site {} returns in {}\n{}{own}its key for the trust files of senders: {}\n",
        report.site,
        report.folder.display(),
        logs.collect::<String>(),
        report.key
    )
}

fn acknowledged(report: &AcknowledgeReport) -> String {
    let own = report.own.as_ref().map_or_else(String::new, |(origin, size)| {
        let checked = if report.own_checked { "" } else { ", whose key is not in the trust file" };
        format!("its own log {origin}{checked} has {size} entries\n")
    });
    format!("site {} acknowledges {} entries, {} before\n{own}", report.site, report.size, report.before)
}
