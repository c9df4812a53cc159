//! The required fields of records, and their required order.

use time::OffsetDateTime;

use super::super::moment;
use super::Class;
use crate::{Ending, Event, EventType, Part};

/// Whether the record names its object.
pub(super) fn has_object(event: &Event) -> bool {
    !event.object.kind.is_empty()
}

/// Whether the record has a valid time, whose format includes seconds.
pub(super) fn has_time(event: &Event) -> bool {
    moment(&event.time).is_some()
}

/// Whether the record names the host and the program.
pub(super) fn has_host(event: &Event) -> bool {
    !event.host.is_empty() && !event.component.name.is_empty()
}

/// Whether the record has the source of the request. A user name alone is not a source.
pub(super) fn has_source(event: &Event) -> bool {
    event.actor.uid.is_some() || event.actor.address.as_ref().is_some_and(|address| !address.is_empty())
}

/// Whether the record has an outcome, with a reason for a refusal or failure.
pub(super) fn has_outcome(event: &Event) -> bool {
    let outcome = &event.outcome;
    let has_text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.trim().is_empty());
    outcome.result == Ending::Success || has_text(&outcome.reason) || has_text(&outcome.detail)
}

/// Whether the record has all fields that NIST SP 800-53 AU-3 requires. An address can replace the user name.
pub(super) fn six_fields(event: &Event) -> bool {
    let has_user = event.actor.user.is_some() || has_source(event);
    has_object(event) && has_time(event) && has_host(event) && has_outcome(event) && has_user
}

/// Whether the time is in UTC.
pub(super) fn is_utc(event: &Event) -> bool {
    moment(&event.time).is_some_and(|time| time.offset().is_utc())
}

/// Whether the times of events have the order in which they were logged.
#[derive(Debug, Default)]
pub(super) struct TimeOrder(Option<OffsetDateTime>);

impl TimeOrder {
    /// Whether the next event has a time, and not an earlier one than the events before it.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        let time = moment(&event.time);
        let is_ordered = time.is_some() && self.0.is_none_or(|last| time >= Some(last));
        self.0 = self.0.max(time);
        is_ordered
    }
}

/// Whether the parts of an event are consecutive leaves.
#[derive(Debug, Default)]
pub(super) struct Parts(Option<PartLeaf>);

#[derive(Debug)]
struct PartLeaf {
    index: u64,
    part: Part,
    class: Class,
    /// Whether the part before it exists.
    follows: bool,
}

impl PartLeaf {
    fn is_followed_by(&self, index: u64, part: Part) -> bool {
        (index, part.number, part.of) == (self.index + 1, self.part.number + 1, self.part.of)
    }
}

impl Parts {
    /// Takes the next event and returns the leaf before it, if that lacks the part before or after it.
    pub(super) fn take(&mut self, index: u64, event: &Event) -> Option<(u64, Class)> {
        let next = event.part.map(|part| PartLeaf {
            index,
            part,
            class: (event.event, event.outcome.result),
            follows: part.number == 1
                || self.0.as_ref().is_some_and(|before| before.is_followed_by(index, part)),
        });
        let before = std::mem::replace(&mut self.0, next)?;
        let is_followed = self.0.as_ref().is_some_and(|next| before.is_followed_by(next.index, next.part));
        incomplete(&before, is_followed)
    }

    /// The last leaf, if it lacks the part before or after it.
    pub(super) fn end(&mut self) -> Option<(u64, Class)> {
        incomplete(&self.0.take()?, false)
    }
}

fn incomplete(leaf: &PartLeaf, is_followed: bool) -> Option<(u64, Class)> {
    let is_complete = leaf.follows && (is_followed || leaf.part.number == leaf.part.of);
    (!is_complete).then_some((leaf.index, leaf.class))
}

/// The starts of the registry that are not followed by a stop before the next start. The start of a registry that is
/// still running is not counted.
#[derive(Debug, Default)]
pub(super) struct RegistryRuns(Option<u64>);

/// The role of an event for the runs of the registry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunChange {
    /// Whether the event is a start.
    pub(super) is_start: bool,
    /// The index of the start before it, if no stop followed that.
    pub(super) unstopped: Option<u64>,
}

impl RegistryRuns {
    pub(super) fn take(&mut self, index: u64, event: &Event) -> RunChange {
        match event.event {
            EventType::ServeStart if event.outcome.result == Ending::Success => {
                RunChange { is_start: true, unstopped: self.0.replace(index) }
            }
            EventType::ServeStop if event.outcome.result == Ending::Success => {
                self.0 = None;
                RunChange::default()
            }
            _ => RunChange::default(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.is_some()
    }
}
