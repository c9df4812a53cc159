//! `airlock import`.

use packager::bundle::Limits;
use packager::import::{ImportReport, import, plan};
use packager::media::Media;

use crate::cli::Import;
use crate::commands::{open_or_imagine, open_or_make, trust};
use crate::failure::Status;
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Import, printer: &Printer) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust)?;
    let media = Media::open(&settings.media.paths, Limits::default())?;
    let manifest = media.verify(trust.as_ref())?;
    let report = if settings.dry_run {
        let (store, _imagined) = open_or_imagine(&settings.store, printer)?;
        plan(&manifest, &media, &store)?
    } else {
        let store = open_or_make(&settings.store, printer)?;
        import(&media, &manifest, &store, &Progress::new(printer))?
    };
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
