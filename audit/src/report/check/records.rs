//! What a record must tell, and in which order records must come.

use std::collections::BTreeSet;

use super::super::moment;
use crate::{Ending, Event, Kind};

/// What was done, and to what.
pub(super) fn what(event: &Event) -> bool {
    !event.object.kind.is_empty()
}

/// A time that can be read; its form has seconds.
pub(super) fn when(event: &Event) -> bool {
    moment(&event.time).is_some()
}

/// Where it took place.
pub(super) fn place(event: &Event) -> bool {
    !event.host.is_empty() && !event.component.name.is_empty()
}

/// From where it was asked for. A name alone is no place.
pub(super) fn source(event: &Event) -> bool {
    event.actor.uid.is_some() || event.actor.address.as_ref().is_some_and(|address| !address.is_empty())
}

/// How it ended; what was not done has a reason.
pub(super) fn outcome(event: &Event) -> bool {
    let outcome = &event.outcome;
    let told = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    outcome.result == Ending::Success || told(&outcome.reason) || told(&outcome.detail)
}

/// All that NIST SP 800-53 AU-3 asks for. Who is not known by name is known by address.
pub(super) fn six_fields(event: &Event) -> bool {
    let who = event.actor.user.is_some() || source(event);
    what(event) && when(event) && place(event) && outcome(event) && who
}

/// Whether the time is in UTC.
pub(super) fn is_utc(event: &Event) -> bool {
    moment(&event.time).is_some_and(|time| time.offset().is_utc())
}

/// Events that are dated before one that was logged before them, or at no time.
pub(super) fn out_of_order(events: &[(u64, Event)]) -> Vec<u64> {
    let (mut bad, mut last) = (Vec::new(), None);
    for (index, event) in events {
        let time = moment(&event.time);
        if time.is_none() || last.is_some_and(|last| time < Some(last)) {
            bad.push(*index);
        }
        last = last.max(time);
    }
    bad
}

/// The parts of an event are leaves that follow each other.
pub(super) fn incomplete(events: &[(u64, Event)]) -> Vec<u64> {
    let mut bad = Vec::new();
    let indexes: BTreeSet<(u64, usize, usize)> = events
        .iter()
        .filter_map(|(index, event)| event.part.map(|part| (*index, part.number, part.of)))
        .collect();
    for (index, number, of) in &indexes {
        let last = number == of || indexes.contains(&(index + 1, number + 1, *of));
        let first = *number == 1 || *index > 0 && indexes.contains(&(index - 1, number - 1, *of));
        if !last || !first {
            bad.push(*index);
        }
    }
    bad
}

/// Openings that no closing follows before the next one; that of a registry that still serves is the last leaf of
/// its kind, and is not counted.
pub(super) fn closed(events: &[(u64, Event)]) -> (u64, u64, Vec<u64>) {
    let turns = events.iter().filter(|(_, e)| matches!(e.event, Kind::ServeStart | Kind::ServeStop));
    let (mut open, mut expected, mut bad) = (None, 0, Vec::new());
    for (index, event) in turns.filter(|(_, event)| event.outcome.result == Ending::Success) {
        if event.event == Kind::ServeStart {
            bad.extend(open.replace(*index));
            expected += 1;
        } else {
            open = None;
        }
    }
    expected -= u64::from(open.is_some());
    (expected, expected - bad.len() as u64, bad)
}
