//! `airlock verify`.

use audit::Kind;
use packager::bundle::Limits;
use packager::media::Media;
use packager::verify::{VerifyReport, verify};

use crate::cli::Verify;
use crate::commands::{paths, trust};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Verify, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let mut work = logs.begin(Kind::Verify, ("set", &paths(&settings.media)), None, printer)?;
    let result = prove(settings, &mut work, printer);
    work.end(result)
}

fn prove(settings: &Verify, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let media = Media::open(&settings.media.paths, Limits::default())?;
    work.digests([media.set().to_string()]);
    let report = verify(&media, trust.as_ref(), &Progress::new(printer))?;
    work.evidence("signer", &report.signer);
    work.evidence("key", &report.key_hint);
    work.done()?;
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
