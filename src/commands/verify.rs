//! `airlock verify`.

use packager::bundle::Limits;
use packager::media::Media;
use packager::verify::{VerifyReport, verify};
use packager::witness::Without;

use crate::admission::{Memory, let_in, log_line};
use crate::cli::Verify;
use crate::commands::trust;
use crate::failure::Status;
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Verify, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust)?;
    let media = Media::open(&settings.media.paths, Limits::default())?;
    let manifest = media.verify(trust.as_ref())?;
    let trust = trust.ok_or(packager::bundle::Error::NoTrust)?;
    let without = if settings.without_log { Without::Allow } else { Without::Refuse };
    let store = settings.store.as_deref().filter(|store| store.exists());
    if store.is_none() && !trust.logs().is_empty() {
        printer
            .say("note: no store remembers earlier drives, so it cannot be told whether this one is older");
    }
    let memory = Memory { store, now: None, without };
    let admitted = let_in(&media, manifest, &trust, memory, printer)?;
    let report = verify(&media, &admitted, &Progress::new(printer))?;
    if report.completion.is_none() {
        printer.say("warning: the drive has no completion mark: whoever packed it did not see it finish");
    }
    printer.result(&report, text)?;
    Ok(Status::Done)
}

fn text(report: &VerifyReport) -> String {
    let completed = report.completion.as_ref().map_or_else(String::new, |mark| {
        format!("completed {}{}\n", mark.completed_at, if mark.read_back { ", read back" } else { "" })
    });
    let log = log_line(&report.log);
    format!(
        "set {}\nsigned by {} ({})\n{completed}{log}{} volumes, {}, {} entries: every byte is what was signed\n",
        report.set,
        report.signer,
        report.key_hint,
        report.volumes,
        size(report.bytes),
        report.entries
    )
}
