//! `airlock import`.

use audit::Kind;
use packager::bundle::Limits;
use packager::import::{ImportReport, import, plan};
use packager::media::Media;

use crate::cli::Import;
use crate::commands::{contents, open_or_imagine, open_or_make, paths, trust};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Import, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    // A dry run decides nothing, but it looks at a signature.
    let kind = if settings.dry_run { Kind::Verify } else { Kind::Import };
    let store = &settings.store.store;
    let mut work = logs.begin(kind, ("set", &paths(&settings.media)), Some(store), printer)?;
    let result = bring_in(settings, &mut work, printer);
    work.end(result)
}

fn bring_in(settings: &Import, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let media = Media::open(&settings.media.paths, Limits::default())?;
    work.digests([media.set().to_string()]);
    let manifest = media.verify(trust.as_ref())?;
    work.evidence("signer", manifest.signer().name());
    work.evidence("key", manifest.signer().hint());
    work.evidence("set", media.set());
    work.digests(contents(&manifest.get().items));
    let report = if settings.dry_run {
        let (store, _imagined) = open_or_imagine(&settings.store, printer)?;
        plan(&manifest, &media, &store)?
    } else {
        let store = open_or_make(&settings.store, printer)?;
        import(&media, &manifest, &store, &Progress::new(printer))?
    };
    work.name(&report.name);
    work.done()?;
    let verb = if settings.dry_run { "would import" } else { "imported" };
    printer.result(&report, |report| text(report, verb))?;
    Ok(Status::Done)
}

fn text(report: &ImportReport, verb: &str) -> String {
    let moved = report.moved.iter().map(|tag| {
        format!("tag moved: {}:{}\n  from {}\n  to   {}\n", tag.repository, tag.tag, tag.from, tag.to)
    });
    let moved: String = moved.collect();
    format!(
        "{moved}{verb} {} (set {}, signed by {})\n{} blobs, {}; {} were there already\n{} repositories, {} manifests, {} tags, {} of them moved\n",
        report.name,
        report.set,
        report.signer,
        report.imported.blobs,
        size(report.imported.bytes),
        report.present.blobs,
        report.repositories,
        report.manifests,
        report.tags,
        report.moved_tags
    )
}
