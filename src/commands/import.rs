//! `airlock import`.

use std::path::{Path, PathBuf};

use audit::EventType;
use packager::import::{ImportReport, Turns, import, import_in_turn, plan};
use packager::witness::Without;
use store::Store;

use crate::admission::{Memory, let_in, log_alarm, log_evidence, log_line};
use crate::cli::Import;
use crate::commands::change::{Asking, verified};
use crate::commands::{contents, now, open_or_imagine, open_or_make, paths, trust};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Import, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    // A dry run decides nothing, but it looks at a signature.
    let kind = if settings.dry_run { EventType::Verify } else { EventType::Import };
    let store = &settings.store.store;
    let mut work = logs.begin(kind, ("set", &paths(&settings.media)), Some(store), printer)?;
    let result = bring_in(settings, &mut work, printer);
    log_alarm(&result, logs, Some(store), printer)?;
    work.end(result)
}

fn bring_in(settings: &Import, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let place = settings.media.paths.first().map_or(Path::new("."), PathBuf::as_path);
    let asking = Asking { place, printer };
    let turns = settings.one_by_one.then(|| Turns { paths: &settings.media.paths, changer: &asking });
    let (media, manifest) = verified(&settings.media.paths, turns.as_ref(), trust.as_ref(), work)?;
    work.evidence("signer", manifest.signer().name());
    work.evidence("key", manifest.signer().hint());
    work.evidence("set", media.set());
    work.digests(contents(&manifest.get().items));
    let trust = trust.ok_or(packager::bundle::Error::NoTrust)?;
    let without = if settings.without_log { Without::Allow } else { Without::Refuse };
    let admit = |store: &Store, now| {
        let memory = Memory { store: Some(store), now, without };
        let_in(&media, manifest, &trust, memory, printer)
    };
    let report = if settings.dry_run {
        let (store, _imagined) = open_or_imagine(&settings.store, printer)?;
        let admitted = admit(&store, None)?;
        log_evidence(admitted.log(), work);
        plan(&admitted, &media, &store)?
    } else {
        let store = open_or_make(&settings.store, printer)?;
        let admitted = admit(&store, Some(now()?))?;
        log_evidence(admitted.log(), work);
        let progress = Progress::new(printer);
        match &turns {
            Some(turns) => import_in_turn(media, &admitted, &store, &progress, turns)?,
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
            "{} of the store replaced, {}\n",
            count(number, "damaged blob"),
            size(report.healed.bytes)
        ),
    };
    format!(
        "{moved}{verb} {} (set {}, signed by {})\n{log}{healed}{}, {}; {} already there\n{}, {}, {}, {} of them moved\n",
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
