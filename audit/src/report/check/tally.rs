//! Counts of one pass over the events, with the first and the last indexes of what is counted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use super::records::{Order, Parts, Turns};
use super::{Check, Known, may_wait};
use crate::report::Counts;
use crate::{Ending, Event, EventType, Reader};

/// What decides for which controls an event is evidence: what was done, and how it ended.
pub(crate) type Class = (EventType, Ending);

/// The class of a push that was done.
const PUSHED: Class = (EventType::Push, Ending::Success);

/// Indexes, of which the first and the last are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    count: u64,
    first: Vec<u64>,
    last: VecDeque<u64>,
}

/// What a check came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Its name for programs.
    pub name: &'static str,
    /// What should be so.
    pub title: &'static str,
    /// Of how many it should be.
    pub expected: u64,
    /// Of how many it is.
    pub found: u64,
    /// The leaves of which it is not: of each event and outcome the first and the last ones.
    pub exceptions: Vec<u64>,
    /// How many leaves more there are of which it is not.
    pub exceptions_left_out: u64,
    #[serde(skip)]
    pub(crate) check: Check,
    #[serde(skip)]
    pub(crate) by_class: BTreeMap<Class, Ends>,
    /// Of which events there is one that it is so of, or not.
    #[serde(skip)]
    pub(crate) bears_on: BTreeSet<Class>,
}

/// The checks that a report needs, while events come in.
#[derive(Debug)]
pub(crate) struct Checks {
    running: Vec<Running>,
    /// How many indexes are kept at each end.
    kept: usize,
    order: Order,
    parts: Parts,
    turns: Turns,
}

#[derive(Debug)]
struct Running {
    check: Check,
    expected: u64,
    by_class: BTreeMap<Class, Ends>,
    bears_on: BTreeSet<Class>,
}

/// Who vouches for the log.
#[derive(Clone, Copy, Debug)]
pub struct Vouched {
    /// Whether the log itself gave the key that its signature was checked by.
    pub own_key: bool,
    /// Whether witnesses had to sign the checkpoint, too, and did.
    pub witnessed: bool,
}

impl Vouched {
    /// As a reader found it.
    #[must_use]
    pub fn by(reader: &Reader) -> Self {
        let belief = reader.belief();
        Self { own_key: belief.is_own(), witnessed: belief.policy().has_quorum() }
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

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Those that are kept, in order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = u64> {
        self.first.iter().chain(&self.last).copied()
    }
}

impl Checks {
    pub(crate) fn new(wanted: impl Iterator<Item = Check>, kept: usize) -> Self {
        let running =
            |check| Running { check, expected: 0, by_class: BTreeMap::new(), bears_on: BTreeSet::new() };
        Self {
            running: wanted.map(running).collect(),
            kept,
            order: Order::default(),
            parts: Parts::default(),
            turns: Turns::default(),
        }
    }

    /// Takes an event of the period; `known` is what the log said before it.
    pub(crate) fn take(&mut self, index: u64, event: &Event, known: &Known) {
        let class = (event.event, event.outcome.result);
        let is_ordered = self.order.take(event);
        let broken = self.parts.take(index, event);
        let unclosed = self.turns.take(index, event);
        // An event that is several leaves is counted by the first of them.
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
                    if let Some((index, class)) = broken {
                        running.except(index, class, self.kept);
                    }
                }
                Check::ServeClosed => {
                    running.expected += u64::from(unclosed.begins);
                    if let Some(open) = unclosed.open {
                        running.except(open, class, self.kept);
                    }
                }
                _ if is_first && check.concerns(event) => {
                    let holds = check.holds(known, event);
                    let waits = !holds && may_wait(check, event);
                    if waits {
                        known.wait(index, &event.object.digests);
                    }
                    running.count(index, class, holds || waits, self.kept);
                }
                _ => {}
            }
        }
    }

    /// What all checks came to.
    pub(crate) fn end(mut self, counts: &Counts, known: &Known, vouched: Vouched) -> Vec<Checked> {
        let last = self.parts.end();
        let still_open = u64::from(self.turns.is_open());
        let kept = self.kept;
        let end = |mut running: Running| {
            let whole = match running.check {
                Check::Gapless => Some((counts.leaves, counts.leaves - counts.no_events)),
                Check::FirstLeaf => Some((1, u64::from(known.begins()))),
                Check::TrustedKey => Some((1, u64::from(!vouched.own_key))),
                Check::Cosigned => Some((1, u64::from(vouched.witnessed))),
                Check::Parts => {
                    if let Some((index, class)) = last {
                        running.except(index, class, kept);
                    }
                    None
                }
                Check::ServeClosed => {
                    running.expected = running.expected.saturating_sub(still_open);
                    None
                }
                Check::PushesJudged => {
                    known.never_verified(|index| running.except(index, PUSHED, kept));
                    None
                }
                _ => None,
            };
            let mut checked = running.end();
            if let Some((expected, found)) = whole {
                (checked.expected, checked.found) = (expected, found);
            }
            checked
        };
        self.running.drain(..).map(end).collect()
    }
}

impl Running {
    fn count(&mut self, index: u64, class: Class, holds: bool, kept: usize) {
        self.expected += 1;
        if !holds {
            self.except(index, class, kept);
        }
    }

    fn except(&mut self, index: u64, class: Class, kept: usize) {
        self.by_class.entry(class).or_default().push(index, kept);
    }

    fn end(self) -> Checked {
        let Self { check, expected, by_class, bears_on } = self;
        let bad: u64 = by_class.values().map(Ends::count).sum();
        let mut exceptions: Vec<u64> = by_class.values().flat_map(Ends::kept).collect();
        exceptions.sort_unstable();
        Checked {
            name: check.name(),
            title: check.title(),
            expected,
            found: expected.saturating_sub(bad),
            exceptions_left_out: bad - exceptions.len() as u64,
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
    fn a6_of_many_indexes_the_first_and_the_last_are_kept_and_all_are_counted() {
        let mut ends = Ends::default();
        (0..1000).for_each(|index| ends.push(index, 2));
        assert_eq!((ends.count(), ends.kept().collect::<Vec<_>>()), (1000, vec![0, 1, 998, 999]));
        let mut few = Ends::default();
        (0..3).for_each(|index| few.push(index, 2));
        assert_eq!(few.kept().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
