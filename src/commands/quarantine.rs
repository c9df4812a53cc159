//! `airlock quarantine`: drives that raised an alarm.

use audit::EventType;
use clap::Subcommand;
use oci::Digest;
use packager::witness::Witness;
use packager::witness::quarantine::{Event, Record, SiteRecord};
use serde_json::json;
use store::Store;

use crate::cli::StoreArg;
use crate::clock::now;
use crate::failure::{Missing, Status};
use crate::logged::{Logs, Work, event_source};
use crate::printer::{Printer, row};

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// List quarantined drives, and who released them and why.
    List(StoreArg),
    /// Show the cause of an alarm, with the signed checkpoints that prove it.
    #[command(after_help = "Example: airlock quarantine show sha256:… --store store")]
    Show {
        /// The set, or the site whose return medium raised the alarm, as printed by `quarantine list`.
        #[arg(value_name = "SET|SITE")]
        what: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Reset the witness state after files of the store's `witness` folder were lost.
    #[command(
        after_help = "If there is a backup of the folder, restore it instead: then old drives can still be detected.\n\
        Example: airlock quarantine begin-anew --reason 'disk lost, no copy' --store store"
    )]
    BeginAnew {
        /// The reason, for the audit log.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        #[command(flatten)]
        store: StoreArg,
    },
    /// Release a set from quarantine, so that it can be imported despite this alarm.
    #[command(
        after_help = "Example: airlock quarantine release sha256:… --reason 'sender confirms drive 12 by telephone' --store store"
    )]
    Release {
        /// The set, as printed by `quarantine list`.
        #[arg(value_name = "SET")]
        set: oci::Digest,
        /// The reason, which is kept with the release.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        #[command(flatten)]
        store: StoreArg,
    },
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let sound = (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err("expected 1 to 1024 printable characters".to_owned()) }
}

pub(crate) fn run(settings: &Quarantine, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Quarantine::List(store) => list(store, printer),
        Quarantine::Show { what, store } => show(what, store, printer),
        Quarantine::BeginAnew { reason, store } => {
            let name = store.store.display().to_string();
            let mut work =
                logs.begin(EventType::AlarmRelease, "store", &name, Some(&store.store), printer)?;
            let result = begin_anew(reason, store, &mut work, printer);
            work.end(result)
        }
        Quarantine::Release { set, reason, store } => {
            let name = set.to_string();
            let mut work = logs.begin(EventType::AlarmRelease, "set", &name, Some(&store.store), printer)?;
            let result = release(set, reason, store, &mut work, printer);
            work.end(result)
        }
    }
}

fn list(store: &StoreArg, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_to_read(&store.store)?;
    let witness = Witness::of(&store);
    let (records, sites) = (witness.quarantined()?, witness.alarmed_sites()?);
    let all = records.iter().map(|record| json!(record)).chain(sites.iter().map(|site| json!(site)));
    printer.result(&all.collect::<Vec<_>>(), |all| {
        if all.is_empty() {
            return "no alarms recorded\n".to_owned();
        }
        records.iter().map(text).chain(sites.iter().map(site_text)).collect()
    })?;
    Ok(Status::Done)
}

/// Prints a record with the signed checkpoints that prove the alarm to anyone.
fn show(what: &str, store: &StoreArg, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_to_read(&store.store)?;
    let witness = Witness::of(&store);
    let mut sets = witness.quarantined()?.into_iter();
    if let Some(record) = sets.find(|record| record.set.to_string() == what) {
        printer.result(&record, |record| text(record) + &proofs(&record.events))?;
        return Ok(Status::Done);
    }
    let mut sites = witness.alarmed_sites()?.into_iter();
    let site = sites.find(|record| record.site == what).ok_or_else(|| Missing {
        message: format!("no alarm recorded for a set or site `{what}`"),
        hint: Some("`airlock quarantine list` lists the alarms"),
    })?;
    printer.result(&site, |site| site_text(site) + &proofs(&site.events))?;
    Ok(Status::Done)
}

fn begin_anew(
    reason: &str,
    store: &StoreArg,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&store.store)?;
    let lost = Witness::of(&store).reset_lost()?;
    work.evidence("reason", reason);
    work.evidence("lost", &lost.join(" "));
    work.done()?;
    printer.result(&json!({ "lost": lost }), |_| {
        format!(
            "reset: {}; the lost records are discarded, and old drives cannot be detected until the next drive is imported\n",
            lost.join(", ")
        )
    })?;
    Ok(Status::Done)
}

fn release(
    set: &Digest,
    reason: &str,
    store: &StoreArg,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&store.store)?;
    let record = Witness::of(&store).release(set, &user(), reason, &now()?)?;
    work.digests([set.to_string()]);
    work.evidence("reason", reason);
    work.done()?;
    printer.result(&record, |record| {
        format!(
            "{}\nits alarm is released: `airlock import` accepts it with a warning\n",
            text(record).trim_end()
        )
    })?;
    Ok(Status::Done)
}

/// The user who runs this program.
fn user() -> String {
    let actor = event_source().actor;
    let uid = actor.uid.map_or_else(String::new, |uid| format!(" (uid {uid})"));
    format!("{}{uid}", actor.user.as_deref().unwrap_or("unknown"))
}

fn text(record: &Record) -> String {
    let state = if record.quarantined().is_some() { "quarantined" } else { "released" };
    let events = events(&record.events);
    row(&format!("{} {state}: {}, signed by {}", record.set, record.name, record.signer)) + &events
}

fn site_text(record: &SiteRecord) -> String {
    row(&format!("site {} returned a checkpoint that raised an alarm", record.site)) + &events(&record.events)
}

fn events(events: &[Event]) -> String {
    let lines = events.iter().map(|event| match event {
        Event::Alarm { time, detail, .. } => row(&format!("  {time} alarm: {detail}")),
        Event::Release { time, by, reason } => row(&format!("  {time} released by {by}: {reason}")),
    });
    lines.collect()
}

fn proofs(events: &[Event]) -> String {
    let alarms = events.iter().filter_map(|event| match event {
        Event::Alarm { time, origin, found, known, .. } => Some((time, origin, found, known)),
        Event::Release { .. } => None,
    });
    let note = |title: &str, note: &str| {
        let lines = note.split('\n').filter(|line| !line.is_empty()).map(|line| row(&format!("  | {line}")));
        row(title) + &lines.collect::<String>()
    };
    let proof = |(time, origin, found, known): (&String, &String, &String, &Option<String>)| {
        let known = known.as_ref().map_or_else(String::new, |known| note("known checkpoint:", known));
        note(&format!("{time} checkpoint of the log {origin} as found:"), found) + &known
    };
    alarms.map(proof).collect()
}
