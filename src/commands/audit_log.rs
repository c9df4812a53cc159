//! `airlock audit`: reads and verifies the log.

mod explain;
mod held;
mod report;
mod search;

use std::path::{Path, PathBuf};

use audit::verify::{Report, verify};
use audit::{Filter, Index, LogTrust, Reader};
use clap::Subcommand;
use serde_json::json;
use time::OffsetDateTime;

use self::explain::AuditExplain;
use self::report::AuditReport;
use self::search::AuditSearch;
use crate::cli::LogArg;
use crate::failure::{Missing, Status, Usage};
use crate::files::check_folder;
use crate::logged::Logs;
use crate::printer::{Printer, count, row};
use crate::trust_input::log_key;

/// The maximum number of events about a digest that are listed.
const MAX_LISTED: usize = 20;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Find events: by time, actor, digest, kind and outcome.
    #[command(after_help = "Examples:\n  \
        airlock audit log --store store --since 2026-11-01 --event push --actor ann\n  \
        airlock audit log --store store --digest sha256:9f86d081 --output jsonl")]
    Log(AuditSearch),
    /// Verify the whole log from its files alone, and report each fault and up to when the log is intact.
    #[command(
        after_help = "Exits with 0 if the log has no faults, with 3 if it has faults, and with 4 if no log exists.\n\
        Without --key or --policy, the log's own key is used: this finds damage, but not a completely \
        rewritten log.\n\
        Example: airlock audit verify --store store --key site.pub --checkpoint kept-elsewhere.txt"
    )]
    Verify {
        #[command(flatten)]
        log: LogArg,
        /// A checkpoint that was kept elsewhere. The log must be consistent with it. Can be repeated.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
    },
    /// Print the signed checkpoint. Keep it where no one can change it.
    #[command(after_help = "Example: airlock audit checkpoint --store store > kept-elsewhere.txt")]
    Checkpoint(LogArg),
    /// Print the inclusion proof of an event, with the event (C2SP tlog-proof).
    #[command(after_help = "Example: airlock audit proof 17 --store store > event-17.tlog-proof")]
    Proof {
        /// The index of an event, or a digest to select the newest event about it.
        #[arg(value_name = "INDEX|DIGEST")]
        what: String,
        #[command(flatten)]
        log: LogArg,
    },
    /// Print the history of a digest: each decision and its evidence.
    Explain(AuditExplain),
    /// Report compliance evidence by control, with a proof of each event.
    Report(AuditReport),
    /// Update the search index. Searches update it automatically.
    Index {
        #[command(flatten)]
        log: LogArg,
        /// Delete the index and rebuild it.
        #[arg(long)]
        rebuild: bool,
    },
}

pub(crate) fn run(settings: &Audit, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Audit::Log(settings) => search::run(settings, logs, printer),
        Audit::Verify { log, checkpoint } => verify_log(log, checkpoint, logs, printer),
        Audit::Checkpoint(log) => {
            let reader = open(log, logs)?;
            let checkpoint = reader.checkpoint();
            let value = json!({
                "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.to_string(),
                "note": reader.note().to_string(),
            });
            printer.result(&value, |_| reader.note().to_string())?;
            Ok(Status::Done)
        }
        Audit::Proof { what, log } => proof(what, log, logs, printer),
        Audit::Explain(settings) => explain::run(settings, &open(&settings.log, logs)?, printer),
        Audit::Report(settings) => report::run(settings, &open(&settings.log, logs)?, printer),
        Audit::Index { log, rebuild } => {
            let reader = open(log, logs)?;
            let index = if *rebuild { Index::rebuild(&reader)? } else { Index::open(&reader)? };
            warn(&index, &reader, printer);
            let value = json!({ "index": Index::path(reader.path()), "events": reader.size() });
            printer.result(&value, |_| {
                format!("{} has {}\n", Index::path(reader.path()).display(), count(reader.size(), "event"))
            })?;
            Ok(Status::Done)
        }
    }
}

/// The folder of the log.
pub(crate) fn folder(arg: &LogArg, logs: &Logs) -> anyhow::Result<PathBuf> {
    if let Some(named) = logs.named.as_ref().filter(|_| !logs.store_first) {
        return Ok(named.clone());
    }
    // Without a named log or store, changes to clusters are recorded there.
    let operator = || logs.operator.clone().filter(|folder| folder.join("checkpoint").exists());
    let Some(store) = arg.store.as_deref() else {
        return operator().ok_or_else(|| {
            let message =
                "no audit log was given, and this user has logged no change to a cluster".to_owned();
            Usage { message, hint: "give --audit-log DIR, or --store DIR for a store's own log" }.into()
        });
    };
    if !store::Store::is_at(store) {
        check_folder(store)?;
        return Err(store::Error::Absent(store.to_owned()).into());
    }
    Ok(audit::Journal::folder(store))
}

/// The keys by which the log is verified.
pub(crate) fn log_trust(arg: &LogArg, log: &Path) -> anyhow::Result<LogTrust> {
    Ok(match (&arg.key, &arg.policy) {
        (Some(key), _) => LogTrust::by_key(&log_key(key)?.to_string())?,
        (None, Some(policy)) => LogTrust::by_policy(policy)?,
        (None, None) => LogTrust::own(log)?,
    })
}

/// Opens the log at its checkpoint.
pub(crate) fn open(arg: &LogArg, logs: &Logs) -> anyhow::Result<Reader> {
    let folder = folder(arg, logs)?;
    Ok(Reader::open(&folder, log_trust(arg, &folder)?)?)
}

/// Opens the index, and reports if it was rebuilt.
pub(crate) fn index(reader: &Reader, printer: &Printer) -> anyhow::Result<Index> {
    let index = Index::open(reader)?;
    warn(&index, reader, printer);
    Ok(index)
}

/// Refuses a period that ends before it begins: an empty result would hide the mistake.
fn in_order(since: Option<OffsetDateTime>, until: Option<OffsetDateTime>) -> anyhow::Result<()> {
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        let message = "the period ends before it begins".to_owned();
        return Err(Usage { message, hint: "set --since to an earlier time than --until" }.into());
    }
    Ok(())
}

fn warn(index: &Index, reader: &Reader, printer: &Printer) {
    if index.was_interrupted() {
        let path = reader.path().display();
        printer.say(&format!(
            "note: an update of the index of `{path}` was interrupted, so it was rebuilt from the log"
        ));
    }
    if let Some(reason) = index.refused() {
        let path = reader.path().display();
        printer.complain(&format!(
            "warning: the index of `{path}` was moved to `index.refused` and rebuilt: {reason}"
        ));
    }
}

fn proof(what: &str, arg: &LogArg, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let reader = open(arg, logs)?;
    let number = match what.parse::<u64>() {
        Ok(number) => number,
        Err(_) => newest(what, &reader, printer)?,
    };
    let proof = reader.proof(number)?;
    let event = reader.event(number).ok();
    let value = json!({ "index": number, "event": event, "proof": proof.to_string() });
    printer.result(&value, |_| proof.to_string())?;
    Ok(Status::Done)
}

/// The newest event about a digest.
fn newest(digest: &str, reader: &Reader, printer: &Printer) -> anyhow::Result<u64> {
    let digest: oci::Digest = digest.parse().map_err(|_| Usage {
        message: format!("`{digest}` is neither an index nor a digest"),
        hint: "an index is a number, as `airlock audit log` prints it; a digest is ALGORITHM:HEX",
    })?;
    let filter = Filter { digest: Some(digest.to_string()), ..Filter::default() };
    // The newest of many events, and a readable number of the others.
    let (mut last, mut named) = (None, Vec::new());
    let found = audit::search::search(reader, &index(reader, printer)?, &filter, &mut |index, _| {
        last = Some(index);
        if named.len() < MAX_LISTED {
            named.push(index.to_string());
        }
        Ok(())
    })?;
    if found > 1 {
        let more = found - named.len() as u64;
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        printer.say(&format!(
            "events about this digest: {}{more}; this proof is for the newest",
            named.join(", ")
        ));
    }
    last.ok_or_else(|| {
        let message = format!("the log has no event about `{digest}`");
        Missing { message, hint: Some("list the events with `airlock audit log`") }.into()
    })
}

fn verify_log(arg: &LogArg, kept: &[PathBuf], logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    let folder = folder(arg, logs)?;
    let kept: Vec<&Path> = kept.iter().map(PathBuf::as_path).collect();
    let report = verify(&folder, &log_trust(arg, &folder)?, &kept)?;
    printer.result(&report, text)?;
    own_key(report.own_key, printer);
    Ok(if report.is_sound() { Status::Done } else { Status::Faults })
}

/// Explains the limits of a check with the log's own key.
fn own_key(own: bool, printer: &Printer) {
    if own {
        printer.say(
            "note: checked with the log's own key only, so a completely rewritten log would not be detected; give --key, \
             --policy or, for `audit verify`, a --checkpoint that was kept elsewhere",
        );
    }
}

fn text(report: &Report) -> String {
    let mut text = report.faults.iter().map(|fault| row(&format!("fault: {fault}"))).collect::<String>();
    if report.more > 0 {
        text += &format!("and {} more\n", count(report.more, "fault"));
    }
    text += &report.notices.iter().map(|notice| row(&format!("note: {notice}"))).collect::<String>();
    if report.origin.is_empty() {
        return text;
    }
    text += &format!("log {}\nsize {}\nroot {}\n", report.origin, report.size, report.root);
    for signed in &report.signatures {
        let word = if signed.checked { "signed by" } else { "not checked, no key:" };
        text += &row(&format!("{word} {}", signed.name));
    }
    if let (Some(first), Some(last)) = (&report.first, &report.last) {
        text += &row(&format!("from {first} to {last}"));
    }
    text += &report.counts.iter().map(|(kind, count)| format!("{count:>9}  {kind}\n")).collect::<String>();
    match report.faults.len() as u64 + report.more {
        0 => text + "every entry, tile and signature is intact\n",
        faults => text + &format!("{}\n", count(faults, "fault")),
    }
}
