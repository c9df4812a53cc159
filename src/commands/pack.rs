//! `airlock pack`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use audit::EventType;
use evidence::Contents as _;
use mirror::lock::Lock;
use oci::Digest;
use packager::drive_log::SenderLog;
use packager::pack::shipment::Added;
use packager::pack::{PackReport, Shipment, WriteOptions, plan, write, write_in_turn};
use packager::witness::notes::{Purpose, note_policy, refuse_stale_policy};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog::Folder;

use crate::admission::log_alarm;
use crate::carried::{SenderJournal, finish};
use crate::cli::Pack;
use crate::commands::change::MediumPrompt;
use crate::commands::{contents, keys, parse_trust, read};
use crate::failure::{Status, Usage};
use crate::gates;
use crate::logged::{Logs, Work};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;

/// The maximum number of omitted items that are named.
const MAX_NAMED: usize = 20;

pub(crate) async fn run(settings: &Pack, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    if settings.one_by_one && settings.to.len() > 1 {
        let message = "--one-by-one writes to one folder, but several were given".to_owned();
        return Err(Usage { message, hint: "omit --one-by-one, or give only one --to" }.into());
    }
    let mut folders: Vec<PathBuf> = settings.to.iter().map(|to| to.components().collect()).collect();
    folders.sort();
    if let Some(twice) = folders.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("--to names `{}` twice", twice[0].display());
        return Err(Usage { message, hint: "give each folder once" }.into());
    }
    if settings.dry_run {
        return write_drive(settings, None, printer).await;
    }
    let to = settings.to.iter().map(|to| to.display().to_string()).collect::<Vec<_>>().join(" ");
    let mut work = logs.begin(EventType::Pack, ("set", &to), Some(&settings.store.store), printer)?;
    let result = write_drive(settings, Some(&mut work), printer).await;
    log_alarm(&result, logs, Some(&settings.store.store), printer)?;
    work.end(result)
}

async fn write_drive(
    settings: &Pack,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let lock = Lock::read(&settings.lock)?;
    let store = store::Store::open_existing(&settings.store.store)?;
    let shipment = Arc::new(Shipment::of(&lock, &store)?);
    print_additions(shipment.added(), printer);
    let Some(work) = work else { return planned(settings, &shipment, printer).await };
    work.evidence("lock", &Digest::sha256(&lock.to_bytes()));
    work.digests(contents(&shipment.lock().items));
    work.evidence("addedEvidence", &shipment.added().evidence);
    ask(settings, &shipment, Some(&mut *work), printer).await?;
    let progress = Progress::new(printer);
    let key = settings.key.key.as_ref().ok_or_else(|| Usage {
        message: "a drive must be signed, but no private key was given".to_owned(),
        hint: "give --key FILE; create one with `airlock keys generate`",
    })?;
    // Ask for the password first, not after an hour of work.
    let key = keys::load(key, &settings.key.password, printer)?;
    work.evidence("key", &key.public_key()?.hint());
    let journal = work.own_journal()?;
    if journal.is_none() {
        printer.say("warning: the drive has no log, so sites cannot detect whether it is older than others");
    }
    let origin = journal.as_ref().map(|journal| journal.verifier().name().to_owned());
    let plan = plan(&shipment, settings.volume_size, origin.as_deref(), &progress)?;
    let options = WriteOptions {
        targets: settings.to.clone(),
        read_back: !settings.no_read_back,
        now: OffsetDateTime::now_utc().format(&Rfc3339)?,
    };
    let past = work.pack_history().clone();
    let before = journal.as_ref().and_then(|journal| past.of(&journal.verifier()));
    let work = RefCell::new(work);
    let log = journal.map(|journal| SenderJournal { journal, work: &work, past: before });
    let sender = log.as_ref().map(|log| log as &dyn SenderLog);
    let written = match settings.to.as_slice() {
        [path] if settings.one_by_one => {
            let asking = MediumPrompt { path, printer };
            write_in_turn((&plan, &store), &key, &options, sender, (&progress, &asking))
        }
        _ => write(&plan, &store, &key, &options, sender, &progress),
    };
    if written.is_err() {
        // The event is on the drive, so it was logged before everything was written.
        work.borrow_mut().undone();
    }
    let report = written?;
    if let Some(log) = &log {
        past.keep(&log.verifier(), &Folder::checkpoint(log.folder())?);
    }
    finish(&mut work.borrow_mut(), &report.set)?;
    printer.report(&report, text)?;
    Ok(Status::Done)
}

/// The report as text.
fn text(report: &PackReport) -> String {
    let volumes = report.volumes.iter().map(|volume| format!("{:>10}  {}\n", size(volume.size), volume.name));
    let proof = if report.read_back { "read back and complete" } else { "complete, not read back" };
    volumes.collect::<String>()
        + &report.log.as_ref().map_or_else(String::new, |log| {
            let sites = log.acknowledged.iter().map(|(site, size)| format!(", {site} acknowledged {size}"));
            format!("log {}, {}{}\n", log.origin, count(log.size, "entry"), sites.collect::<String>())
        })
        + &format!("set {}\n{proof}: safe to unplug after unmounting\n", report.set)
}

/// A dry run: prints the volumes.
async fn planned(settings: &Pack, shipment: &Arc<Shipment>, printer: &Printer) -> anyhow::Result<Status> {
    ask(settings, shipment, None, printer).await?;
    let progress = Progress::new(printer);
    let plan = plan(shipment, settings.volume_size, None, &progress)?;
    printer.result(&plan.volumes, |volumes| {
        volumes.iter().map(|volume| format!("{:>10}  {}\n", size(volume.size), volume.name)).collect()
    })?;
    Ok(Status::Done)
}

/// Evaluates the gate `pack`, if a trust file is given.
async fn ask(
    settings: &Pack,
    shipment: &Arc<Shipment>,
    mut work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let Some(path) = &settings.trust.trust else { return Ok(()) };
    let text = read(path)?;
    let check_policy = match &mut work {
        None => refuse_stale_policy,
        Some(work) => {
            work.policy(path, &text);
            note_policy
        }
    };
    let trust = parse_trust(path, &text, printer)?;
    check_policy(shipment.store(), Purpose::Content, trust.sequence())?;
    gates::pack(shipment, (&trust, &settings.gate), work, printer).await
}

/// Prints the content that is packed in addition to the lock's, and the content that is left out.
fn print_additions(added: &Added, printer: &Printer) {
    if added.evidence > 0 {
        let (what, were) = match added.evidence {
            1 => ("signature, attestation or SBOM is", "was"),
            _ => ("signatures, attestations or SBOMs are", "were"),
        };
        let count = added.evidence;
        printer.say(&format!("{count} {what} included that {were} added after the lock was written"));
    }
    for bundle in &added.bundles {
        printer.say(&format!(
            "package bundle {bundle} is included, which was published after the lock was written"
        ));
    }
    for left_out in added.left_out.iter().take(MAX_NAMED) {
        printer.say(&format!("warning: not on the drive: {left_out}"));
    }
    if let Some(more) = added.left_out.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        printer.say(&format!("warning: {more} more are not on the drive"));
    }
}
