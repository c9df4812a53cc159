//! `airlock verify`.

use audit::Kind;
use packager::bundle::Limits;
use packager::media::Media;
use packager::verify::{VerifyReport, verify};
use packager::witness::Without;
use store::Store;

use crate::admission::{Memory, let_in, log_alarm, log_evidence, log_line};
use crate::cli::Verify;
use crate::commands::{paths, trust};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Verify, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let store = settings.store.as_deref();
    let mut work = logs.begin(Kind::Verify, ("set", &paths(&settings.media)), store, printer)?;
    let result = prove(settings, &mut work, printer);
    log_alarm(&result, logs, store, printer)?;
    work.end(result)
}

fn prove(settings: &Verify, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let media = Media::open(&settings.media.paths, Limits::default())?;
    work.digests([media.set().to_string()]);
    let manifest = media.verify(trust.as_ref())?;
    let trust = trust.ok_or(packager::bundle::Error::NoTrust)?;
    let without = if settings.without_log { Without::Allow } else { Without::Refuse };
    let store = settings.store.as_deref().filter(|store| Store::is_at(store));
    let store = store.map(Store::open_to_read).transpose()?;
    if store.is_none() && !trust.logs().is_empty() {
        printer
            .say("note: no store remembers earlier drives, so it cannot be told whether this one is older");
    }
    let memory = Memory { store: store.as_ref(), now: None, without };
    let admitted = let_in(&media, manifest, &trust, memory, printer)?;
    log_evidence(admitted.log(), work);
    let report = verify(&media, &admitted, &Progress::new(printer))?;
    work.evidence("signer", &report.signer);
    work.evidence("key", &report.key_hint);
    work.done()?;
    printer.result(&report, text)?;
    Ok(Status::Done)
}

fn text(report: &VerifyReport) -> String {
    let completed = report.completion.as_ref().map_or_else(String::new, |mark| {
        format!("completed {}{}\n", mark.completed_at, if mark.read_back { ", read back" } else { "" })
    });
    let log = log_line(&report.log);
    format!(
        "set {}\nsigned by {} ({})\n{completed}{log}{}, {}, {}: every byte is what was signed\n",
        report.set,
        report.signer,
        report.key_hint,
        count(report.volumes, "volume"),
        size(report.bytes),
        count(report.entries, "entry")
    )
}
