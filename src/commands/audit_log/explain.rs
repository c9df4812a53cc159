//! `airlock audit explain`.

use audit::Reader;
use audit::explain::{DigestHistory, DigestLookup, ExplainedEvent, NoStore, Proofs, explain};
use clap::Args;

use super::held::StoreLookup;
use crate::cli::LogArg;
use crate::failure::Status;
use crate::printer::{Printer, count, row};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples: airlock audit explain sha256:9f86d081 --store store --proofs\n          airlock audit explain apps/web:1 --store store"
)]
pub(crate) struct AuditExplain {
    /// An image, layer, set, lock or trust file: its digest, a digest prefix, or a name in the log or the store.
    pub(crate) digest: String,
    #[command(flatten)]
    pub(crate) log: LogArg,
    /// Also print the proof of each event (C2SP tlog-proof).
    #[arg(long)]
    pub(crate) proofs: bool,
}

pub(crate) fn run(settings: &AuditExplain, reader: &Reader, printer: &Printer) -> anyhow::Result<Status> {
    let proofs = if settings.proofs { Proofs::With } else { Proofs::Without };
    let store = StoreLookup::open(settings.log.store.as_deref())?;
    let lookup: &dyn DigestLookup = store.as_ref().map_or(&NoStore, |store| store);
    let history = explain(reader, &settings.digest, proofs, lookup)?;
    printer.result(&history, text)?;
    super::own_key(history.own_key, printer);
    Ok(Status::Done)
}

fn text(history: &DigestHistory) -> String {
    let mut text = format!("{}\n", history.digest);
    if let Some(name) = &history.name {
        text += &row(&format!("  is `{name}`"));
    }
    for other in &history.others {
        text += &row(&format!("  the same name referred to {} (event {})", other.digest, other.index));
    }
    if history.others_left_out > 0 {
        text += &format!("  and {} older ones\n", history.others_left_out);
    }
    for carrier in &history.carriers {
        let what = if carrier.of == history.digest { String::new() } else { format!("{} ", carrier.of) };
        text += &row(&match carrier.index {
            Some(index) => format!("  {what}came in {} {} (event {index})", carrier.kind, carrier.digest),
            None => format!("  {what}is in {} {}", carrier.kind, carrier.digest),
        });
    }
    if history.carriers_left_out {
        text += "  and in more, which are not listed\n";
    }
    // Events are left out in the middle.
    let middle = history.events.len().div_ceil(2);
    for (position, explained) in history.events.iter().enumerate() {
        if position == middle && history.events_left_out > 0 {
            text += &format!(
                "\n... {} left out here; `airlock audit log --digest {}` lists those with this digest\n",
                count(history.events_left_out, "event"),
                history.digest
            );
        }
        text += &event_text(explained);
    }
    text + &format!("log {}, {}, root {}\n", history.origin, count(history.size, "event"), history.root)
}

fn event_text(explained: &ExplainedEvent) -> String {
    let ExplainedEvent { index, through, policy, event, proof } = explained;
    let actor = &event.actor;
    let who = actor.user.clone().or_else(|| actor.uid.map(|uid| format!("uid {uid}")));
    let who = who.unwrap_or_else(|| "unknown user".to_owned());
    let address = actor.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
    let reason = event.outcome.detail.as_ref().or(event.outcome.reason.as_ref());
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let (result, object, component) = (event.outcome.result.name(), &event.object, &event.component);
    let mut text = "\n".to_owned()
        + &row(&format!("event {index}  {}  {}  {result}{reason}", event.time, event.event))
        + &row(&format!("  {} {}", object.kind, object.name))
        + &row(&format!("  by {who}{address} on {}, {} {}", event.host, component.name, component.version));
    if let Some(through) = through {
        text += &row(&format!("  about {through}"));
    }
    if let Some(policy) = policy {
        let from =
            if policy.index == *index { String::new() } else { format!(" (since event {})", policy.index) };
        text += &row(&format!("  trust file {}{from}", policy.policy));
    }
    for (name, value) in &event.evidence {
        text += &row(&format!("  {name}: {value}"));
    }
    for line in proof.iter().flat_map(|proof| proof.lines()) {
        text += &row(&format!("  | {line}"));
    }
    text
}
