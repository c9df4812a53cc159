//! What a record must tell, and in which order records must come.

use time::OffsetDateTime;

use super::super::moment;
use super::Class;
use crate::{Ending, Event, EventType, Part};

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

/// Whether events are dated in the order in which they were logged.
#[derive(Debug, Default)]
pub(super) struct Order(Option<OffsetDateTime>);

impl Order {
    /// Whether the next event is dated, and not before those before it.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        let time = moment(&event.time);
        let is_good = time.is_some() && self.0.is_none_or(|last| time >= Some(last));
        self.0 = self.0.max(time);
        is_good
    }
}

/// Whether the parts of an event are leaves that follow each other.
#[derive(Debug, Default)]
pub(super) struct Parts(Option<Piece>);

#[derive(Debug)]
struct Piece {
    index: u64,
    part: Part,
    class: Class,
    /// Whether the one before it is there.
    follows: bool,
}

impl Piece {
    fn goes_on(&self, index: u64, part: Part) -> bool {
        (index, part.number, part.of) == (self.index + 1, self.part.number + 1, self.part.of)
    }
}

impl Parts {
    /// Takes the next event; gives the leaf before it, if that lacks the one before or after it.
    pub(super) fn take(&mut self, index: u64, event: &Event) -> Option<(u64, Class)> {
        let next = event.part.map(|part| Piece {
            index,
            part,
            class: (event.event, event.outcome.result),
            follows: part.number == 1 || self.0.as_ref().is_some_and(|before| before.goes_on(index, part)),
        });
        let before = std::mem::replace(&mut self.0, next)?;
        let goes_on = self.0.as_ref().is_some_and(|next| before.goes_on(next.index, next.part));
        judge(&before, goes_on)
    }

    /// The last leaf, if it lacks the one before or after it.
    pub(super) fn end(&mut self) -> Option<(u64, Class)> {
        judge(&self.0.take()?, false)
    }
}

fn judge(piece: &Piece, goes_on: bool) -> Option<(u64, Class)> {
    let is_whole = piece.follows && (goes_on || piece.part.number == piece.part.of);
    (!is_whole).then_some((piece.index, piece.class))
}

/// Openings of the registry that no closing follows before the next one. That of a registry that still serves is the
/// last leaf of its kind, and is not counted.
#[derive(Debug, Default)]
pub(super) struct Turns(Option<u64>);

/// What an event is of openings and closings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// It is an opening.
    pub(super) begins: bool,
    /// The opening before it, which nothing closed.
    pub(super) open: Option<u64>,
}

impl Turns {
    pub(super) fn take(&mut self, index: u64, event: &Event) -> Turn {
        match event.event {
            EventType::ServeStart if event.outcome.result == Ending::Success => {
                Turn { begins: true, open: self.0.replace(index) }
            }
            EventType::ServeStop if event.outcome.result == Ending::Success => {
                self.0 = None;
                Turn::default()
            }
            _ => Turn::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }
}
