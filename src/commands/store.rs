//! `airlock store`.

use packager::reporter::Reporter as _;
use serde_json::json;
use store::Store;

use crate::cli;
use crate::failure::Status;
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &cli::Store, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        cli::Store::List(arg) => list(&Store::open_existing(&arg.store)?, printer),
        cli::Store::Check(arg) => check(&Store::open_existing(&arg.store)?, printer),
        cli::Store::Rebuild { store, without_names } => {
            let rebuild = if *without_names { Store::rebuild_without_names } else { Store::rebuild };
            let report = with_progress(printer, "rebuild", |progress| rebuild(&store.store, progress))?;
            printer.result(&report, |report| {
                let lost = report.lost.iter().map(|name| format!("lost: {name}\n")).collect::<String>();
                let moved = report.quarantined.iter().map(|name| format!("moved to quarantine: {name}\n"));
                let unread = match report.unreadable_lines {
                    0 => String::new(),
                    lines => format!("{lines} lines of `names.log` cannot be read: their names are lost\n"),
                };
                let counts =
                    format!("{} blobs, {} manifests, {} tags\n", report.blobs, report.manifests, report.tags);
                lost + &moved.collect::<String>() + &unread + &counts
            })?;
            let sound =
                report.lost.is_empty() && report.quarantined.is_empty() && report.unreadable_lines == 0;
            Ok(if sound { Status::Done } else { Status::Faults })
        }
        cli::Store::Gc { store, dry_run } => collect(&Store::open_existing(&store.store)?, *dry_run, printer),
    }
}

fn list(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    let mut lines = Vec::new();
    for repository in store.repositories(None, None)? {
        for (tag, digest) in store.tags(&repository, None, None)? {
            lines.push(json!({ "repository": repository, "tag": tag, "digest": digest }));
        }
    }
    printer.result(&lines, |lines| {
        let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let line =
            |line| format!("{}:{}  {}\n", text(line, "repository"), text(line, "tag"), text(line, "digest"));
        lines.iter().map(line).collect()
    })?;
    Ok(Status::Done)
}

fn check(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    let report = with_progress(printer, "check", |progress| store.check(progress))?;
    printer.result(&report, |report| {
        let faults = report.faults.iter().map(|fault| format!("fault: {fault}\n"));
        faults.collect::<String>()
            + &format!(
                "{} blobs, {}, {} repositories, {} manifests, {} tags: {} faults\n",
                report.blobs,
                size(report.bytes),
                report.repositories,
                report.manifests,
                report.tags,
                report.faults.len()
            )
    })?;
    Ok(if report.faults.is_empty() { Status::Done } else { Status::Faults })
}

fn collect(store: &Store, dry_run: bool, printer: &Printer) -> anyhow::Result<Status> {
    let plan = store.garbage()?;
    if dry_run {
        printer.result(&plan, |plan| {
            let blobs = plan.blobs.iter().map(|(digest, bytes)| format!("{:>10}  {digest}\n", size(*bytes)));
            blobs.collect::<String>()
                + &format!("would remove {} blobs, {}\n", plan.blobs.len(), size(plan.bytes()))
        })?;
    } else {
        let collected = store.collect(&plan)?;
        printer.result(&collected, |collected| {
            format!("removed {} blobs, {}\n", collected.blobs, size(collected.bytes))
        })?;
    }
    Ok(Status::Done)
}

fn with_progress<T>(
    printer: &Printer,
    phase: &str,
    work: impl FnOnce(&mut dyn FnMut(store::Progress)) -> store::Result<T>,
) -> store::Result<T> {
    let progress = Progress::new(printer);
    let mut done = None;
    let result = work(&mut |now: store::Progress| {
        if done.is_none() {
            progress.begin(phase, now.total);
        }
        progress.advance(now.done - done.unwrap_or(0));
        done = Some(now.done);
    });
    progress.end();
    result
}
