//! `airlock audit explain`.

use audit::Reader;
use audit::explain::{Chapter, Proofs, Story, explain};

use crate::cli::AuditExplain;
use crate::failure::Status;
use crate::printer::{Printer, row};

pub(crate) fn run(settings: &AuditExplain, reader: &Reader, printer: &Printer) -> anyhow::Result<Status> {
    let proofs = if settings.proofs { Proofs::With } else { Proofs::Without };
    let story = explain(reader, &settings.digest, proofs)?;
    printer.result(&story, text)?;
    super::own_key(story.own_key, printer);
    Ok(Status::Done)
}

fn text(story: &Story) -> String {
    let mut text = format!("{}\n", story.digest);
    for carrier in &story.carriers {
        let of = if carrier.of == story.digest { "came in" } else { "which came in" };
        text += &row(&format!("  {of} {} {} (event {})", carrier.kind, carrier.digest, carrier.index));
    }
    for chapter in &story.events {
        text += &told(chapter);
    }
    text + &format!("log {}, {} events, root {}\n", story.origin, story.size, story.root)
}

fn told(chapter: &Chapter) -> String {
    let Chapter { index, through, policy, event, proof } = chapter;
    let actor = &event.actor;
    let who = actor.user.clone().or_else(|| actor.uid.map(|uid| format!("uid {uid}")));
    let who = who.unwrap_or_else(|| "nobody known".to_owned());
    let address = actor.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
    let reason = event.outcome.detail.as_ref().or(event.outcome.reason.as_ref());
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let (result, object, component) = (event.outcome.result.name(), &event.object, &event.component);
    let mut text = "\n".to_owned()
        + &row(&format!("event {index}  {}  {}  {result}{reason}", event.time, event.event))
        + &row(&format!("  {} {}", object.kind, object.name))
        + &row(&format!("  by {who}{address} on {}, {} {}", event.host, component.name, component.version));
    if let Some(through) = through {
        text += &row(&format!("  it is about {through}"));
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
