//! `airlock verify`.

use std::path::{Path, PathBuf};

use audit::EventType;
use clap::Args;
use packager::import::SequentialMedia;
use packager::verify::{VerifyReport, verify, verify_in_turn};
use packager::witness::MissingLog;
use store::Store;

use crate::admission::{DriveRecords, admit_drive, log_alarm, log_evidence, log_line};
use crate::cli::{MediaArg, TrustArg};
use crate::commands::change::{MediumPrompt, paths, verified};
use crate::env;
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;
use crate::trust_input::trust;

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
    /// Accept a drive without a log, as older versions write it, even if the trust file requires one.
    #[arg(long)]
    pub(crate) without_log: bool,
}

pub(crate) fn run(settings: &Verify, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let store = settings.store.as_deref();
    let mut work = logs.begin(EventType::Verify, "set", &paths(&settings.media), store, printer)?;
    let result = verify_drive(settings, &mut work, printer);
    log_alarm(&result, logs, store, printer)?;
    work.end(result)
}

fn verify_drive(settings: &Verify, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let path = settings.media.paths.first().map_or(Path::new("."), PathBuf::as_path);
    let asking = MediumPrompt { path, printer };
    let sequence =
        settings.one_by_one.then(|| SequentialMedia { paths: &settings.media.paths, changer: &asking });
    let (media, manifest) = verified(&settings.media.paths, sequence.as_ref(), trust.as_ref(), work)?;
    let trust = trust.ok_or(packager::bundle::Error::NoTrust)?;
    let missing_log = if settings.without_log { MissingLog::Allow } else { MissingLog::Refuse };
    let store = settings.store.as_deref().filter(|store| Store::is_at(store));
    let store = store.map(Store::open_to_read).transpose()?;
    if store.is_none() && !trust.logs().is_empty() {
        printer.say("note: no store has a record of earlier drives, so an older drive cannot be detected");
    }
    let records = DriveRecords { store: store.as_ref(), now: None, missing_log };
    let admitted = admit_drive(&media, manifest, &trust, records, printer)?;
    log_evidence(admitted.log(), work);
    let progress = Progress::new(printer);
    let report = match &sequence {
        Some(sequence) => verify_in_turn(media, &admitted, &progress, sequence)?,
        None => verify(&media, &admitted, &progress)?,
    };
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
        "set {}\nsigned by {} ({})\n{completed}{log}{}, {}, {}: every byte matches the signature\n",
        report.set,
        report.signer,
        report.key_hint,
        count(report.volumes, "volume"),
        size(report.bytes),
        count(report.entries, "entry")
    )
}
