//! `airlock store`. `list` and `get` do not need write access.

mod backup;
mod gc;
mod get;
mod heal;
mod list;
mod protect;
mod quotas;
mod retention;
mod rm;
mod scrub;
mod why;

use std::path::PathBuf;

use audit::EventType;
use clap::Subcommand;
use mirror::reporter::Reporter as _;
use oci::Digest;
use store::Store;

use self::backup::{BackupArgs, RestoreArgs};
use self::gc::Collect;
use self::get::{GetRequest, get};
use self::heal::HealArgs;
use self::list::list;
use self::protect::{Protect, Unprotect};
use self::retention::Retain;
use self::rm::Remove;
use self::scrub::ScrubArgs;
pub(crate) use self::scrub::faults;
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
    /// Verify every blob slowly while the store is in use, and quarantine damaged ones.
    Scrub(ScrubArgs),
    /// Replace damaged and missing blobs from a drive.
    Heal(HealArgs),
    /// Back up a store while it is in use.
    Backup(BackupArgs),
    /// Restore a backup to a new folder.
    Restore(RestoreArgs),
    /// Rebuild the database from the blobs and the journal of names.
    Rebuild {
        #[command(flatten)]
        store: StoreArg,
        /// Rebuild even if both the database and the journal are lost. All names are lost; only blobs remain.
        #[arg(long)]
        without_names: bool,
    },
    /// Remove a tag, a manifest or a repository.
    Rm(Remove),
    /// Delete blobs that nothing references.
    Gc(Collect),
    /// Remove the tags that no retention rule keeps.
    Retention(Retain),
    /// Protect names from retention and removal.
    Protect(Protect),
    /// End the protection of a name.
    Unprotect(Unprotect),
    /// List the protected names.
    Protections(StoreArg),
    /// Show the quotas and their usage.
    Quotas(StoreArg),
    /// Show what keeps a blob or a manifest: tags, indexes, subjects, leases and protections.
    #[command(after_help = "Example: airlock store why sha256:… --store store")]
    Why {
        /// The blob or the manifest.
        digest: Digest,
        #[command(flatten)]
        store: StoreArg,
    },
}

pub(crate) fn run(settings: &StoreCommand, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let (kind, path) = match settings {
        StoreCommand::List(arg) => return list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Get { store, name, to, title } => {
            let request = GetRequest { name, to, title: title.as_deref() };
            return get(&Store::open_to_read(&store.store)?, &request, printer);
        }
        StoreCommand::Why { digest, store } => {
            return why::why(&Store::open_to_read(&store.store)?, digest, printer);
        }
        StoreCommand::Scrub(settings) if settings.report => return scrub::report(settings, printer),
        StoreCommand::Protections(arg) => return protect::list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Quotas(arg) => return quotas::list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Retention(settings) if settings.dry_run => {
            return retention::preview(settings, printer);
        }
        StoreCommand::Protect(settings) if settings.dry_run => return protect::preview(settings, printer),
        StoreCommand::Unprotect(settings) if settings.dry_run => {
            return protect::preview_end(settings, printer);
        }
        StoreCommand::Backup(settings) if settings.dry_run => {
            return backup::preview_backup(settings, printer);
        }
        StoreCommand::Restore(settings) if settings.dry_run => {
            return backup::preview_restore(settings, printer);
        }
        StoreCommand::Rm(settings) if settings.dry_run => return rm::preview(settings, printer),
        StoreCommand::Gc(settings) if settings.dry_run => return gc::preview(settings, printer),
        StoreCommand::Rm(settings) => (EventType::StoreRemove, &settings.store.store),
        StoreCommand::Check(arg) => (EventType::StoreCheck, &arg.store),
        StoreCommand::Scrub(settings) => (EventType::StoreScrub, &settings.store.store),
        StoreCommand::Backup(settings) => (EventType::StoreBackup, &settings.store.store),
        StoreCommand::Restore(settings) => (EventType::StoreRestore, &settings.store.store),
        StoreCommand::Heal(settings) => (settings.event(), &settings.store.store),
        StoreCommand::Rebuild { store, .. } => (EventType::StoreRebuild, &store.store),
        StoreCommand::Gc(settings) => (EventType::StoreGc, &settings.store.store),
        StoreCommand::Retention(settings) => (EventType::StoreRetention, &settings.store.store),
        StoreCommand::Protect(settings) => (EventType::StoreProtect, &settings.store.store),
        StoreCommand::Unprotect(settings) => (EventType::StoreProtect, &settings.store.store),
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
        StoreCommand::Scrub(settings) => scrub::scrub(settings, work, printer),
        StoreCommand::Backup(settings) => backup::backup(settings, work, printer),
        StoreCommand::Restore(settings) => backup::restore(settings, work, printer),
        StoreCommand::Heal(settings) => heal::heal_store(settings, work, printer),
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
        StoreCommand::Rm(settings) => rm::remove(settings, work, printer),
        StoreCommand::Gc(settings) => gc::collect(settings, work, printer),
        StoreCommand::Retention(settings) => retention::retain(settings, work, printer),
        StoreCommand::Protect(settings) => protect::protect(settings, work, printer),
        StoreCommand::Unprotect(settings) => protect::unprotect(settings, work, printer),
        StoreCommand::Protections(arg) => protect::list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Quotas(arg) => quotas::list(&Store::open_to_read(&arg.store)?, printer),
        StoreCommand::Why { digest, store } => why::why(&Store::open_to_read(&store.store)?, digest, printer),
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
