//! `airlock audit explain`.

use audit::Reader;
use audit::explain::{Beside, Chapter, Nobody, Proofs, Story, explain};

use super::held::Held;
use crate::cli::AuditExplain;
use crate::failure::Status;
use crate::printer::{Printer, count, row};

pub(crate) fn run(settings: &AuditExplain, reader: &Reader, printer: &Printer) -> anyhow::Result<Status> {
    let proofs = if settings.proofs { Proofs::With } else { Proofs::Without };
    let held = Held::open(settings.log.store.as_deref())?;
    let beside: &dyn Beside = held.as_ref().map_or(&Nobody, |held| held);
    let story = explain(reader, &settings.digest, proofs, beside)?;
    printer.result(&story, text)?;
    super::own_key(story.own_key, printer);
    Ok(Status::Done)
}

fn text(story: &Story) -> String {
    let mut text = format!("{}\n", story.digest);
    if let Some(name) = &story.name {
        text += &row(&format!("  is `{name}`"));
    }
    for other in &story.others {
        text += &row(&format!("  the same name was {} (event {})", other.digest, other.index));
    }
    if story.others_left_out > 0 {
        text += &format!("  and {} older ones\n", story.others_left_out);
    }
    for carrier in &story.carriers {
        let what = if carrier.of == story.digest { String::new() } else { format!("{} ", carrier.of) };
        text += &row(&match carrier.index {
            Some(index) => format!("  {what}came in {} {} (event {index})", carrier.kind, carrier.digest),
            None => format!("  {what}is in {} {}", carrier.kind, carrier.digest),
        });
    }
    if story.carriers_left_out {
        text += "  and in more, which are not followed\n";
    }
    // They are left out in the middle.
    let middle = story.events.len().div_ceil(2);
    for (place, chapter) in story.events.iter().enumerate() {
        if place == middle && story.events_left_out > 0 {
            text += &format!(
                "\n... {} left out here; `airlock audit log --digest {}` lists those that name it\n",
                count(story.events_left_out, "event"),
                story.digest
            );
        }
        text += &told(chapter);
    }
    text + &format!("log {}, {}, root {}\n", story.origin, count(story.size, "event"), story.root)
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
