//! `airlock verify`.

use packager::bundle::Limits;
use packager::media::Media;
use packager::verify::{VerifyReport, verify};

use crate::cli::Verify;
use crate::commands::trust;
use crate::failure::Status;
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Verify, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust)?;
    let media = Media::open(&settings.media.paths, Limits::default())?;
    let report = verify(&media, trust.as_ref(), &Progress::new(printer))?;
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
    format!(
        "set {}\nsigned by {} ({})\n{completed}{} volumes, {}, {} entries: every byte is what was signed\n",
        report.set,
        report.signer,
        report.key_hint,
        report.volumes,
        size(report.bytes),
        report.entries
    )
}
