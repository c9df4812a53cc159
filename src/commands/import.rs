//! `airlock import`.

use std::path::{Path, PathBuf};

use audit::EventType;
use clap::Args;
use packager::import::{ImportReport, SequentialMedia, import, import_in_turn, plan};
use packager::witness::MissingLog;
use store::Store;

use crate::admission::{DriveRecords, admit_drive, log_alarm, log_evidence, log_line};
use crate::cli::{MediaArg, StoreArg, TrustArg};
use crate::clock::now;
use crate::commands::change::{MediumPrompt, paths, verified};
use crate::failure::Status;
use crate::logged::{Logs, Work, acting, item_digests};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;
use crate::retention::IMPORT;
use crate::stores::{open_or_make, open_or_temporary};
use crate::trust_input::trust;

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock import /media/usb --trust trust.yaml --store store")]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) media: MediaArg,
    /// Read the volumes one after another at the same path, and prompt for each. The signature and the log are checked first.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) one_by_one: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Accept a drive without a log, as older versions write it, even if the trust file requires one.
    #[arg(long)]
    pub(crate) without_log: bool,
    /// Verify the signature and the log, and print what would be imported, without importing it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(crate) fn run(settings: &Import, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    // A dry run changes nothing, but it verifies a signature.
    let kind = if settings.dry_run { EventType::Verify } else { EventType::Import };
    let store = &settings.store.store;
    let mut work = logs.begin(kind, "set", &paths(&settings.media), Some(store), printer)?;
    let result = import_drive(settings, &mut work, printer);
    log_alarm(&result, logs, Some(store), printer)?;
    work.end(result)
}

fn import_drive(settings: &Import, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let path = settings.media.paths.first().map_or(Path::new("."), PathBuf::as_path);
    let asking = MediumPrompt { path, printer };
    let sequence =
        settings.one_by_one.then(|| SequentialMedia { paths: &settings.media.paths, changer: &asking });
    let (media, manifest) = verified(&settings.media.paths, sequence.as_ref(), trust.as_ref(), work)?;
    work.evidence("signer", manifest.signer().name());
    work.evidence("key", manifest.signer().hint());
    work.evidence("set", media.set());
    work.digests(item_digests(&manifest.get().items));
    let trust = trust.ok_or(packager::bundle::Error::NoTrust)?;
    let missing_log = if settings.without_log { MissingLog::Allow } else { MissingLog::Refuse };
    let admit = |store: &Store, now| {
        let records = DriveRecords { store: Some(store), now, missing_log };
        admit_drive(&media, manifest, &trust, records, printer)
    };
    let report = if settings.dry_run {
        let (store, _folder) = open_or_temporary(&settings.store, printer)?;
        let admitted = admit(&store, None)?;
        log_evidence(admitted.log(), work);
        plan(&admitted, &media, &store)?
    } else {
        let store = open_or_make(&settings.store.store, printer)?;
        acting(&store, &format!("{IMPORT}{}", media.set()));
        let admitted = admit(&store, Some(now()?))?;
        log_evidence(admitted.log(), work);
        let progress = Progress::new(printer);
        match &sequence {
            Some(sequence) => import_in_turn(media, &admitted, &store, &progress, sequence)?,
            None => import(&media, &admitted, &store, &progress)?,
        }
    };
    work.name(&report.name);
    work.done()?;
    let verb = if settings.dry_run { "would import" } else { "imported" };
    printer.report(&report, |report| text(report, verb))?;
    Ok(Status::Done)
}

fn text(report: &ImportReport, verb: &str) -> String {
    let moved = report.moved.iter().map(|tag| {
        format!("tag moved: {}:{}\n  from {}\n  to   {}\n", tag.repository, tag.tag, tag.from, tag.to)
    });
    let moved: String = moved.collect();
    let log = report.log.as_ref().map_or_else(String::new, log_line);
    let healed = match report.healed.blobs {
        0 => String::new(),
        number => format!(
            "{} in the store replaced, {}\n",
            count(number, "damaged blob"),
            size(report.healed.bytes)
        ),
    };
    format!(
        "{moved}{verb} {} (set {}, signed by {})\n{log}{healed}{}, {}; {} already present\n{}, {}, {}, {} of them moved\n",
        report.name,
        report.set,
        report.signer,
        count(report.imported.blobs, "blob"),
        size(report.imported.bytes),
        report.present.blobs,
        count(report.repositories, "repository"),
        count(report.manifests, "manifest"),
        count(report.tags, "tag"),
        report.moved_tags
    )
}
