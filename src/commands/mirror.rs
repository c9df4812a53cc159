//! `airlock mirror`.

use audit::Kind;
use oci::Digest;
use packager::config::MirrorConfig;
use packager::lock::Lock;
use packager::mirror::{MirrorReport, client, plan};
use packager::reporter::State;
use serde_json::json;

use crate::cli::Mirror;
use crate::commands::image::{docker_config, proxies};
use crate::commands::{contents, open_or_imagine, open_or_make};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) async fn run(settings: &Mirror, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let file = settings.file.display().to_string();
    if settings.dry_run {
        return fetch(settings, None, printer).await;
    }
    let mut work = logs.begin(Kind::Mirror, ("mirror-file", &file), Some(&settings.store.store), printer)?;
    let result = fetch(settings, Some(&mut work), printer).await;
    work.end(result)
}

async fn fetch(settings: &Mirror, work: Option<&mut Work<'_>>, printer: &Printer) -> anyhow::Result<Status> {
    let mut config = MirrorConfig::read(&settings.file)?;
    config.keep_going = settings.keep_going;
    let (store, _imagined) = if settings.dry_run {
        open_or_imagine(&settings.store, printer)?
    } else {
        (open_or_make(&settings.store, printer)?, None)
    };
    let lock =
        if settings.update || !settings.lock.exists() { None } else { Some(Lock::read(&settings.lock)?) };
    let client = client(&config, docker_config(), proxies())?;
    let progress = Progress::new(printer);
    let plan = plan(&config, &client, &store, lock.as_ref(), &progress).await?;
    let Some(work) = work else {
        let value = json!({ "report": plan.report(), "downloads": plan.downloads });
        printer.result(&value, |_| {
            let lines = plan.downloads.iter().map(|download| {
                format!("{:>10}  {}  {}\n", size(download.bytes()), download.blob.digest, download.name)
            });
            lines.collect::<String>() + &text(&plan.report(), "would fetch")
        })?;
        plan.check()?;
        return Ok(Status::Done);
    };
    let report = packager::mirror::run(plan, &client, &store, &settings.lock, &progress).await?;
    let lock = Lock::read(&settings.lock)?;
    work.evidence("lock", &Digest::sha256(&lock.to_bytes()));
    work.digests(contents(&lock.items));
    work.done()?;
    printer.result(&report, |report| text(report, "fetched"))?;
    Ok(Status::Done)
}

fn text(report: &MirrorReport, verb: &str) -> String {
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
        + &format!(
            "{verb} {}, reused {}, present {}, verified {}\n",
            size(totals.fetched_bytes),
            size(totals.reused_bytes),
            size(totals.present_bytes),
            size(totals.verified_bytes)
        )
}
