//! `airlock quarantine`: drives that raised an alarm.

use audit::Kind;
use oci::Digest;
use packager::witness::Witness;
use packager::witness::quarantine::{Event, Record};
use store::Store;

use crate::cli::{Quarantine, StoreArg};
use crate::commands::{now, station};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(crate) fn run(settings: &Quarantine, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Quarantine::List(store) => list(store, printer),
        Quarantine::Release { set, reason, store } => {
            let name = set.to_string();
            let begun = ("set", name.as_str());
            let mut work = logs.begin(Kind::AlarmRelease, begun, Some(&store.store), printer)?;
            let result = release(set, reason, store, &mut work, printer);
            work.end(result)
        }
    }
}

fn list(store: &StoreArg, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&store.store)?;
    let records = Witness::of(store.root()).quarantined()?;
    printer.result(&records, |records| {
        if records.is_empty() {
            "no drive ever raised an alarm\n".to_owned()
        } else {
            records.iter().map(text).collect()
        }
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
    let record = Witness::of(store.root()).release(set, &by(), reason, &now()?)?;
    work.digests([set.to_string()]);
    work.evidence("reason", reason);
    work.done()?;
    printer.result(&record, |record| {
        format!(
            "{}\nits alarm is lifted: `airlock import` takes it, and warns of it\n",
            text(record).trim_end()
        )
    })?;
    Ok(Status::Done)
}

/// Who runs this program.
fn by() -> String {
    let actor = station().actor;
    let uid = actor.uid.map_or_else(String::new, |uid| format!(" (uid {uid})"));
    format!("{}{uid}", actor.user.as_deref().unwrap_or("unknown"))
}

fn text(record: &Record) -> String {
    let state = if record.held().is_some() { "held" } else { "released" };
    let events = record.events.iter().map(|event| match event {
        Event::Alarm { time, detail, .. } => format!("  {time} alarm: {detail}\n"),
        Event::Release { time, by, reason } => format!("  {time} released by {by}: {reason}\n"),
    });
    format!(
        "{} {state}: {}, signed by {}\n{}",
        record.set,
        record.name,
        record.signer,
        events.collect::<String>()
    )
}
