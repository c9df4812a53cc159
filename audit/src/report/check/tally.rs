//! The counts of one pass over the events, with the first and the last indexes of the counted events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use super::records::{Parts, RegistryRuns, TimeOrder};
use super::{Check, LogState, can_be_verified_later};
use crate::report::Counts;
use crate::{Ending, Event, EventType, Reader};

/// The event type and the result, which determine the controls that an event is evidence for.
pub(crate) type Class = (EventType, Ending);

/// The class of a successful push.
const PUSHED: Class = (EventType::Push, Ending::Success);

/// A number of indexes, of which only the first and the last are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    count: u64,
    first: Vec<u64>,
    last: VecDeque<u64>,
}

/// The result of a check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Its name for programs.
    pub name: &'static str,
    /// The condition.
    pub title: &'static str,
    /// The number of events that must meet the condition.
    pub expected: u64,
    /// The number of events that meet it.
    pub found: u64,
    /// The leaves that do not meet it: the first and the last of each event type and result.
    pub exceptions: Vec<u64>,
    /// The number of other leaves that do not meet it.
    pub exceptions_left_out: u64,
    #[serde(skip)]
    pub(crate) check: Check,
    #[serde(skip)]
    pub(crate) by_class: BTreeMap<Class, Ends>,
    /// The classes of events that can show or contradict the condition.
    #[serde(skip)]
    pub(crate) bears_on: BTreeSet<Class>,
}

/// The checks of a report, during the pass over the events.
#[derive(Debug)]
pub(crate) struct Checks {
    running: Vec<RunningCheck>,
    /// The number of indexes that are kept at each end.
    kept: usize,
    order: TimeOrder,
    parts: Parts,
    runs: RegistryRuns,
}

#[derive(Debug)]
struct RunningCheck {
    check: Check,
    expected: u64,
    by_class: BTreeMap<Class, Ends>,
    bears_on: BTreeSet<Class>,
}

/// The signatures by which a checkpoint was verified.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointTrust {
    /// Whether the checkpoint was verified with the log's own key.
    pub own_key: bool,
    /// Whether cosignatures of witnesses were required, and verified.
    pub witnessed: bool,
}

impl CheckpointTrust {
    /// The signatures that a reader verified.
    #[must_use]
    pub fn of(reader: &Reader) -> Self {
        let trust = reader.trust();
        Self { own_key: trust.is_own(), witnessed: trust.policy().has_quorum() }
    }
}

impl Ends {
    pub(crate) fn push(&mut self, index: u64, kept: usize) {
        self.count += 1;
        if self.first.len() < kept {
            self.first.push(index);
            return;
        }
        self.last.push_back(index);
        if self.last.len() > kept {
            self.last.pop_front();
        }
    }

    /// The number of all indexes.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The kept indexes, in order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = u64> {
        self.first.iter().chain(&self.last).copied()
    }
}

impl Checks {
    pub(crate) fn new(wanted: impl Iterator<Item = Check>, kept: usize) -> Self {
        let running =
            |check| RunningCheck { check, expected: 0, by_class: BTreeMap::new(), bears_on: BTreeSet::new() };
        Self {
            running: wanted.map(running).collect(),
            kept,
            order: TimeOrder::default(),
            parts: Parts::default(),
            runs: RegistryRuns::default(),
        }
    }

    /// Takes an event of the period; `state` is the state of the log before it.
    pub(crate) fn take(&mut self, index: u64, event: &Event, state: &LogState) {
        let class = (event.event, event.outcome.result);
        let is_ordered = self.order.take(event);
        let incomplete = self.parts.take(index, event);
        let run = self.runs.take(index, event);
        // An event with several leaves is counted with its first leaf.
        let is_first = event.part.is_none_or(|part| part.number == 1);
        for running in &mut self.running {
            let check = running.check;
            if check.bears_on(event) {
                running.bears_on.insert(class);
            }
            match check {
                Check::TimeOrder => running.count(index, class, is_ordered, self.kept),
                Check::Parts => {
                    running.expected += 1;
                    if let Some((index, class)) = incomplete {
                        running.add_exception(index, class, self.kept);
                    }
                }
                Check::ServeClosed => {
                    running.expected += u64::from(run.is_start);
                    if let Some(start) = run.unstopped {
                        running.add_exception(start, class, self.kept);
                    }
                }
                _ if is_first && check.concerns(event) => {
                    let holds = check.holds(state, event);
                    let waits = !holds && can_be_verified_later(check, event);
                    if waits {
                        state.wait(index, &event.object.digests);
                    }
                    running.count(index, class, holds || waits, self.kept);
                }
                _ => {}
            }
        }
    }

    /// The results of all checks.
    pub(crate) fn end(
        mut self,
        counts: &Counts,
        state: &LogState,
        trust: CheckpointTrust,
    ) -> Vec<CheckResult> {
        let last = self.parts.end();
        let still_running = u64::from(self.runs.is_running());
        let kept = self.kept;
        let end = |mut running: RunningCheck| {
            let of_log = match running.check {
                Check::Gapless => Some((counts.leaves, counts.leaves - counts.no_events)),
                Check::FirstLeaf => Some((1, u64::from(state.has_start()))),
                Check::TrustedKey => Some((1, u64::from(!trust.own_key))),
                Check::Cosigned => Some((1, u64::from(trust.witnessed))),
                Check::Parts => {
                    if let Some((index, class)) = last {
                        running.add_exception(index, class, kept);
                    }
                    None
                }
                Check::ServeClosed => {
                    running.expected = running.expected.saturating_sub(still_running);
                    None
                }
                Check::PushesJudged => {
                    state.never_verified(|index| running.add_exception(index, PUSHED, kept));
                    None
                }
                _ => None,
            };
            let mut result = running.end();
            if let Some((expected, found)) = of_log {
                (result.expected, result.found) = (expected, found);
            }
            result
        };
        self.running.drain(..).map(end).collect()
    }
}

impl RunningCheck {
    fn count(&mut self, index: u64, class: Class, holds: bool, kept: usize) {
        self.expected += 1;
        if !holds {
            self.add_exception(index, class, kept);
        }
    }

    fn add_exception(&mut self, index: u64, class: Class, kept: usize) {
        self.by_class.entry(class).or_default().push(index, kept);
    }

    fn end(self) -> CheckResult {
        let Self { check, expected, by_class, bears_on } = self;
        let failed: u64 = by_class.values().map(Ends::count).sum();
        let mut exceptions: Vec<u64> = by_class.values().flat_map(Ends::kept).collect();
        exceptions.sort_unstable();
        CheckResult {
            name: check.name(),
            title: check.title(),
            expected,
            found: expected.saturating_sub(failed),
            exceptions_left_out: failed - exceptions.len() as u64,
            exceptions,
            check,
            by_class,
            bears_on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_all_indexes_are_counted_and_the_first_and_the_last_are_kept() {
        let mut ends = Ends::default();
        (0..1000).for_each(|index| ends.push(index, 2));
        assert_eq!((ends.count(), ends.kept().collect::<Vec<_>>()), (1000, vec![0, 1, 998, 999]));
        let mut few = Ends::default();
        (0..3).for_each(|index| few.push(index, 2));
        assert_eq!(few.kept().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
