//! `airlock pack`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use audit::EventType;
use clap::Args;
use evidence::Contents as _;
use mirror::lock::Lock;
use oci::Digest;
use packager::drive_log::SenderLog;
use packager::pack::shipment::Added;
use packager::pack::{Operator, PackReport, Shipment, WriteOptions, plan, write, write_in_turn};
use packager::witness::notes::{Purpose, note_policy, refuse_stale_policy};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tlog::Folder;

use crate::admission::log_alarm;
use crate::carried::{SenderJournal, finish};
use crate::cli::{GateArgs, KeyArg, StoreArg, TrustArg};
use crate::commands::change::MediumPrompt;
use crate::commands::keys;
use crate::failure::{Status, Usage};
use crate::files::{check_folder, read};
use crate::gates;
use crate::logged::{Logs, Work, item_digests};
use crate::printer::{Printer, count, size};
use crate::progress::Progress;
use crate::trust_input::parse_trust;

/// The maximum number of omitted items that are named.
const MAX_NAMED: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "With a trust file, its gate `pack` is evaluated for each image, chart and file.\n\
    Example: airlock pack --store store --to /media/usb --key release.key --trust trust.yaml")]
pub(crate) struct Pack {
    /// The lock file.
    #[arg(long, default_value = "airlock.lock", value_name = "FILE")]
    pub(crate) lock: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// The folder on the medium. Repeat it for several media: volumes fill them in order. If there are as many folders as
    /// volumes, each folder gets one.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) to: Vec<PathBuf>,
    /// Write each volume to its own medium, at the same path, and prompt for the next medium. Run the command again
    /// to resume.
    #[arg(long)]
    pub(crate) one_by_one: bool,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
    /// The maximum volume size, with a unit such as MiB or GB. The default, 4 GiB - 64 KiB, fits FAT32.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "4294901760")]
    pub(crate) volume_size: u64,
    /// Do not read the medium back to verify it.
    #[arg(long)]
    pub(crate) no_read_back: bool,
    /// Print the volumes, without writing them.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `4096`, `2MiB`, `4.5GB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        unit => return Err(format!("`{unit}` is not a unit: use KiB, MiB, GiB, TiB, kB, MB, GB or TB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("`{digits}` is not a whole number"))?;
    number.checked_mul(unit).ok_or_else(|| "the size is too large".to_owned())
}

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
    settings.to.iter().try_for_each(|to| check_folder(to))?;
    if settings.dry_run {
        return write_drive(settings, None, printer).await;
    }
    let to = settings.to.iter().map(|to| to.display().to_string()).collect::<Vec<_>>().join(" ");
    let mut work = logs.begin(EventType::Pack, "set", &to, Some(&settings.store.store), printer)?;
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
    work.digests(item_digests(&shipment.lock().items));
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
            let operator = Operator { reporter: &progress, changer: &asking };
            write_in_turn(&plan, &store, &key, &options, sender, operator)
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
    gates::pack(shipment, &trust, &settings.gate, work, printer).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("2MiB"), Ok(2 << 20));
        assert_eq!(parse_size("4 GB"), Ok(4_000_000_000));
        assert!(parse_size("2 parsecs").is_err() && parse_size("MiB").is_err());
        assert!(parse_size("99999999999TiB").is_err());
    }
}
