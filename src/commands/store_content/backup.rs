//! `airlock store backup` and `airlock store restore`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use audit::Journal;
use clap::Args;
use store::{BackupReport, BlobCount, RestoreReport, Store, copy_folder};
use tlog::Folder;
use tlog::log::between_batches;

use super::{log, with_progress};
use crate::cli::StoreArg;
use crate::clock::now;
use crate::failure::Status;
use crate::logged::Work;
use crate::printer::{Printer, count, size};

/// The folders of a store whose records only grow or are replaced as a whole, apart from the audit log.
const RECORDS: [&str; 3] = ["witness", "tls", "pack"];

#[derive(Debug, Args)]
#[command(after_help = "Other commands, including `serve`, can use the store meanwhile.\n\
                  Example: airlock store backup /backup/site --store store")]
pub(crate) struct BackupArgs {
    /// The folder of the backup. A second backup into the same folder copies only what is new, and replaces the first one.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Print how much would be copied, without copying it.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock store restore /backup/site --store restored")]
pub(crate) struct RestoreArgs {
    /// The folder of the backup.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The folder of the new store. It must be empty or not exist.
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Print how much would be restored, without restoring it.
    #[arg(long)]
    pub(super) dry_run: bool,
}

pub(super) fn preview_backup(settings: &BackupArgs, printer: &Printer) -> anyhow::Result<Status> {
    let report = Store::open_to_read(&settings.store.store)?.backup_plan(&settings.to)?;
    printer.result(&report, |report| backup_text(report, "would copy"))?;
    Ok(Status::Done)
}

pub(super) fn backup(
    settings: &BackupArgs,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    let begun = with_progress(printer, "backup", |progress| store.backup(&settings.to, progress))?;
    let checkpoint = copy_records(store.root(), &begun.state())?;
    let about = [("time", Some(now()?.text)), ("checkpoint", checkpoint)];
    let about: BTreeMap<String, String> =
        about.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let report = begun.commit(about)?;
    work.evidence("to", &settings.to.display());
    let damaged = report.damaged.len();
    log(work, damaged == 0, &format!("{} not in the backup", count(damaged, "damaged blob")))?;
    printer.report(&report, |report| backup_text(report, "copied"))?;
    Ok(if damaged == 0 { Status::Done } else { Status::Faults })
}

/// Copies the audit log and other records into a backup; returns the log's checkpoint there. Full tiles never change, so
/// most of the log is copied before its writers have to wait.
fn copy_records(store: &Path, state: &Path) -> anyhow::Result<Option<String>> {
    let (log, to) = (Journal::folder(store), state.join("log"));
    let not_final = |path: &Path| path.is_file() && !is_full_tile(path) || is_cache(path);
    copy_folder(&log, &to, &not_final, &is_full_tile)?;
    between_batches(&log, || copy_folder(&log, &to, &is_cache, &is_full_tile))??;
    for name in RECORDS {
        copy_folder(&store.join(name), &state.join(name), &is_cache, &|_| false)?;
    }
    Ok(if to.exists() { Some(Folder::checkpoint(&to)?.to_string()) } else { None })
}

/// Whether a file of a log is a tile or bundle with all its hashes or entries.
fn is_full_tile(path: &Path) -> bool {
    let has = |is: &dyn Fn(&str) -> bool| path.iter().any(|part| part.to_str().is_some_and(is));
    let is_partial = |part: &str| Path::new(part).extension().is_some_and(|extension| extension == "p");
    has(&|part| part == "tile") && !has(&is_partial) && path.is_file()
}

/// Whether a file is a lock, unfinished, or a part of a search index, which is created again.
fn is_cache(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "lock" || name.starts_with("index.") || name.ends_with(".airlock-new")
}

fn blobs(number: &BlobCount) -> String {
    format!("{}, {}", count(number.blobs, "blob"), size(number.bytes))
}

fn backup_text(report: &BackupReport, verb: &str) -> String {
    let damaged = report.damaged.iter().map(|digest| format!("damaged, so not in the backup: {digest}\n"));
    let removed = match report.removed {
        0 => String::new(),
        number => format!("; {} of the earlier backup removed", count(number, "blob")),
    };
    let reused = report.reused.blobs;
    damaged.collect::<String>()
        + &format!("{verb} {}; {reused} already there{removed}\n", blobs(&report.copied))
}

pub(super) fn preview_restore(settings: &RestoreArgs, printer: &Printer) -> anyhow::Result<Status> {
    let report = store::restore(&settings.from, &settings.store.store, None)?;
    printer.result(&report, |report| restore_text(report, "would restore"))?;
    Ok(Status::Done)
}

pub(super) fn restore(
    settings: &RestoreArgs,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let report = with_progress(printer, "restore", |progress| {
        store::restore(&settings.from, &settings.store.store, Some(progress))
    })?;
    work.evidence("from", &settings.from.display());
    for (name, evidence) in [("time", "backupTime"), ("checkpoint", "backupCheckpoint")] {
        if let Some(value) = report.backup.about.get(name) {
            work.evidence(evidence, value);
        }
    }
    let damaged = report.damaged.len();
    log(work, damaged == 0, &format!("{} not restored", count(damaged, "damaged blob")))?;
    printer.report(&report, |report| restore_text(report, "restored"))?;
    Ok(if damaged == 0 { Status::Done } else { Status::Faults })
}

fn restore_text(report: &RestoreReport, verb: &str) -> String {
    let damaged = report.damaged.iter().map(|digest| format!("damaged in the backup: {digest}\n"));
    let time = report.backup.about.get("time").map_or("an unknown time", String::as_str);
    damaged.collect::<String>() + &format!("{verb} {} from the backup of {time}\n", blobs(&report.restored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_tiles_are_final_and_caches_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        assert!(is_full_tile(&file("tile/0/000")) && is_full_tile(&file("tile/entries/x001/002")));
        assert!(!is_full_tile(&file("tile/0/001.p/17")) && !is_full_tile(&file("tail")));
        assert!(is_cache(&file("index.sqlite")) && is_cache(&file("lock")) && !is_cache(&file("key.pem")));
    }
}
