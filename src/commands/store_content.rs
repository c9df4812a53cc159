//! `airlock store`. `list` and `get` do not need write access.

mod get;
mod list;

use std::path::PathBuf;

use audit::EventType;
use clap::Subcommand;
use mirror::reporter::Reporter as _;
use store::Store;

use self::get::{GetRequest, get};
use self::list::list;
use crate::cli::StoreArg;
use crate::failure::Status;
use crate::logged::{Logs, Work, outcome};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// List images and artifacts with their tags, digests and sizes.
    List(StoreArg),
    /// Copy a file out of the store.
    Get {
        #[command(flatten)]
        store: StoreArg,
        /// REPOSITORY:TAG or REPOSITORY@DIGEST as `store list` shows them, or the file's own name.
        name: String,
        /// The file to write, the folder to write it into, or `-` for standard output. Existing files are not
        /// overwritten.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The file's own name or digest, for an artifact that contains several files.
        #[arg(long)]
        title: Option<String>,
    },
    /// Hash every blob, and compare files, database and journal.
    Check(StoreArg),
    /// Rebuild the database from the blobs and the journal of names.
    Rebuild {
        #[command(flatten)]
        store: StoreArg,
        /// Rebuild even if both the database and the journal are lost. All names are lost; only blobs remain.
        #[arg(long)]
        without_names: bool,
    },
    /// Delete blobs that nothing references.
    Gc {
        #[command(flatten)]
        store: StoreArg,
        /// Print what would be deleted, without deleting it.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn run(settings: &StoreCommand, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let (kind, path) = match settings {
        StoreCommand::List(arg) => return list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Get { store, name, to, title } => {
            let request = GetRequest { name, to, title: title.as_deref() };
            return get(&Store::open_to_read(&store.store)?, &request, printer);
        }
        StoreCommand::Gc { store, dry_run: true } => {
            return preview_gc(&Store::open_to_read(&store.store)?, printer);
        }
        StoreCommand::Check(arg) => (EventType::StoreCheck, &arg.store),
        StoreCommand::Rebuild { store, .. } => (EventType::StoreRebuild, &store.store),
        StoreCommand::Gc { store, .. } => (EventType::StoreGc, &store.store),
    };
    let mut work = logs.begin(kind, "store", &path.display().to_string(), Some(path), printer)?;
    let result = maintain(settings, &mut work, printer);
    work.end(result)
}

fn maintain(settings: &StoreCommand, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        StoreCommand::List(arg) => list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Get { store, name, to, title } => {
            let request = GetRequest { name, to, title: title.as_deref() };
            get(&Store::open_to_read(&store.store)?, &request, printer)
        }
        StoreCommand::Check(arg) => check(&Store::open_existing(&arg.store)?, work, printer),
        StoreCommand::Rebuild { store, without_names } => {
            let rebuild = if *without_names { Store::rebuild_without_names } else { Store::rebuild };
            let report = with_progress(printer, "rebuild", |progress| rebuild(&store.store, progress))?;
            let sound =
                report.lost.is_empty() && report.quarantined.is_empty() && report.unreadable_lines == 0;
            let lost = report.lost.len() + report.quarantined.len() + report.unreadable_lines;
            log(work, sound, &format!("{lost} names, blobs or lines were lost"))?;
            printer.result(&report, |report| {
                let lost = report.lost.iter().map(|name| format!("lost: {name}\n")).collect::<String>();
                let moved = report.quarantined.iter().map(|name| format!("moved to quarantine: {name}\n"));
                let unread = match report.unreadable_lines {
                    0 => String::new(),
                    lines => format!(
                        "{} of `names.log` cannot be read: their names are lost\n",
                        count(lines, "line")
                    ),
                };
                let (blobs, tags) = (count(report.blobs, "blob"), count(report.tags, "tag"));
                let counts = format!("{blobs}, {}, {tags}\n", count(report.manifests, "manifest"));
                lost + &moved.collect::<String>() + &unread + &counts
            })?;
            Ok(if sound { Status::Done } else { Status::Faults })
        }
        StoreCommand::Gc { store, .. } => collect(&Store::open_existing(&store.store)?, work, printer),
    }
}

/// Logs the outcome, before it is printed.
fn log(work: &mut Work<'_>, sound: bool, faults: &str) -> anyhow::Result<()> {
    if sound { work.done() } else { work.ended(&outcome::faults(faults)) }
}

fn check(store: &Store, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let report = with_progress(printer, "check", |progress| store.check(progress))?;
    let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
    log(work, faults.is_empty(), &faults.join("; "))?;
    printer.result(&report, |report| {
        let faults = report.faults.iter().map(|fault| format!("fault: {fault}\n"));
        faults.collect::<String>()
            + &format!(
                "{}, {}, {}, {}, {}: {}\n",
                count(report.blobs, "blob"),
                size(report.bytes),
                count(report.repositories, "repository"),
                count(report.manifests, "manifest"),
                count(report.tags, "tag"),
                count(report.faults.len(), "fault")
            )
    })?;
    Ok(if report.faults.is_empty() { Status::Done } else { Status::Faults })
}

fn preview_gc(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    printer.result(&store.garbage()?, |plan| {
        let blobs = plan.blobs.iter().map(|(digest, bytes)| format!("{:>10}  {digest}\n", size(*bytes)));
        blobs.collect::<String>()
            + &format!("would remove {}, {}\n", count(plan.blobs.len(), "blob"), size(plan.bytes()))
    })?;
    Ok(Status::Done)
}

fn collect(store: &Store, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let plan = store.garbage()?;
    work.digests(plan.blobs.iter().map(|(digest, _)| digest.to_string()));
    let collected = store.collect(&plan)?;
    work.done()?;
    printer.report(&collected, |collected| {
        format!("removed {}, {}\n", count(collected.blobs, "blob"), size(collected.bytes))
    })?;
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
