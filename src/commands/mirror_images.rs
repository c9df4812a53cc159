//! `airlock mirror`.

use std::path::PathBuf;

use audit::EventType;
use clap::Args;
use mirror::config::MirrorConfig;
use mirror::lock::{Lock, file_of};
use mirror::reporter::State;
use mirror::{Download, LockTarget, Locks, MirrorReport, Mirrored, client, plan};
use oci::Digest;
use serde_json::json;

use crate::cli::StoreArg;
use crate::commands::image::{docker_config, proxies};
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work, acting, item_digests};
use crate::printer::{Printer, size};
use crate::progress::Progress;
use crate::stores::{open_or_make, open_or_temporary};

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock mirror -f airlock.yaml --store store")]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct Mirror {
    /// The mirror file.
    #[arg(long, short, default_value = "airlock.yaml", value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The lock file to write. If it exists, references resolve to the digests that it records. A lock file
    /// belongs to one mirror file.
    #[arg(long, default_value = "airlock.lock", value_name = "FILE")]
    pub(crate) lock: PathBuf,
    /// Use the lock file of a mirror file that was renamed or moved.
    #[arg(long)]
    pub(crate) renamed: bool,
    /// Resolve references again, despite the lock file.
    #[arg(long)]
    pub(crate) update: bool,
    /// Continue after a failure, and list all failures at the end. If anything fails, nothing is published.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print what would be fetched, without fetching it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(crate) async fn run(settings: &Mirror, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let file = settings.file.display().to_string();
    if settings.dry_run {
        return fetch(settings, None, printer).await;
    }
    let mut work =
        logs.begin(EventType::Mirror, "mirror-file", &file, Some(&settings.store.store), printer)?;
    let result = fetch(settings, Some(&mut work), printer).await;
    work.end(result)
}

async fn fetch(settings: &Mirror, work: Option<&mut Work<'_>>, printer: &Printer) -> anyhow::Result<Status> {
    let mut config = MirrorConfig::read(&settings.file)?;
    config.keep_going = settings.keep_going;
    let (store, _folder) = if settings.dry_run {
        open_or_temporary(&settings.store, printer)?
    } else {
        (open_or_make(&settings.store.store, printer)?, None)
    };
    acting(&store, "mirror");
    // Check before anything is fetched or tagged.
    private::check(&settings.lock).map_err(|error| Usage {
        message: format!("cannot write the lock `{}`: {error}", settings.lock.display()),
        hint: "give --lock a regular file in a folder that you can write to; nothing was changed",
    })?;
    let before = if settings.lock.exists() { Some(Lock::read(&settings.lock)?) } else { None };
    let file = file_of(&settings.lock, &settings.file);
    if let Some(before) = before.as_ref().filter(|_| !settings.renamed) {
        before.check_owner(&settings.lock, &config.name, &file)?;
    }
    let followed = before.as_ref().filter(|_| !settings.update);
    let locks = Locks { followed, before: before.as_ref(), renamed: settings.renamed };
    let client = client(&config, docker_config(), proxies())?;
    let progress = Progress::new(printer);
    let plan = plan(&config, &client, &store, locks, &progress).await?;
    let Some(work) = work else {
        let report = plan.report();
        let mut value = json!({ "report": report, "downloads": plan.downloads });
        for (item, line) in
            report.items.iter().zip(value["report"]["items"].as_array_mut().into_iter().flatten())
        {
            line["state"] = json!(planned(item.state));
        }
        printer.result(&value, |_| planned_text(&report, &plan.downloads))?;
        plan.check()?;
        return Ok(Status::Done);
    };
    let target = LockTarget { path: &settings.lock, mirror_file: &file };
    let Mirrored { report, lock } = mirror::run(plan, &client, &store, target, &progress).await?;
    work.evidence("lock", &Digest::sha256(&lock.to_bytes()));
    work.digests(item_digests(&lock.items));
    work.done()?;
    printer.result(&report, text)?;
    Ok(Status::Done)
}

/// What a run would do with an item.
fn planned(state: State) -> &'static str {
    match state {
        State::Present => "keep",
        State::Reused => "name",
        State::Fetched | State::Verified => "fetch",
    }
}

fn planned_text(report: &MirrorReport, downloads: &[Download]) -> String {
    let totals = report.totals;
    let head = format!(
        "would fetch {} in {} downloads; {} are in the store already\n",
        size(totals.fetched_bytes),
        downloads.len(),
        size(totals.present_bytes.saturating_add(totals.reused_bytes)),
    );
    let items = report
        .items
        .iter()
        .map(|item| format!("  {:6} {:>10}  {}\n", planned(item.state), size(item.bytes), item.source));
    let downloads = downloads.iter().map(|download| {
        format!("  {:>10}  {}  {}\n", size(download.bytes()), download.blob.digest, download.name)
    });
    head + &moved(report, "would move") + &items.collect::<String>() + &downloads.collect::<String>()
}

fn moved(report: &MirrorReport, verb: &str) -> String {
    let lines = report.moved.iter().map(|moved| {
        format!("{verb} {}:{} from {} to {}\n", moved.repository, moved.tag, moved.from, moved.to)
    });
    lines.collect()
}

fn text(report: &MirrorReport) -> String {
    let lines = report.items.iter().map(|item| {
        let state = match item.state {
            State::Present => "present",
            State::Reused => "reused",
            State::Fetched => "fetched",
            State::Verified => "verified",
        };
        format!("{state:8} {:>10}  {}\n", size(item.bytes), item.source)
    });
    let totals = report.totals;
    lines.collect::<String>()
        + &moved(report, "moved")
        + &format!(
            "fetched {}, reused {}, present {}, verified {}\n",
            size(totals.fetched_bytes),
            size(totals.reused_bytes),
            size(totals.present_bytes),
            size(totals.verified_bytes)
        )
}
