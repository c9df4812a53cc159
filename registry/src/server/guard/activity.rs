//! The recent activity of clients: who is alone, and how much time the work of each of them took.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A key is alone if no other one had a request for this time.
const WINDOW: Duration = Duration::from_secs(1);
/// The time of one request that counts at most. Longer ones wait for a disk or a lock.
const LONGEST: Duration = Duration::from_secs(1);
/// The maximum number of keys; above it, those that spent least are forgotten.
const MOST_KEYS: usize = 8192;

/// The maximum number of keys of a request.
const POSITIONS: usize = 3;

/// The activity of all keys. The first of a request's keys is its own; the others are groups that it belongs to.
pub(in crate::server) struct Activity<K> {
    budget: Option<Budget>,
    inner: Mutex<Inner<K>>,
}

/// The time that the work of one key may take beside others: a burst, and then one part in `parts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Budget {
    pub(in crate::server) burst: Duration,
    pub(in crate::server) parts: u32,
}

struct Inner<K> {
    /// The last requests, by the positions of their keys.
    recent: Vec<Recent<K>>,
    /// When the time that a key spent no longer counts.
    until: HashMap<K, Instant>,
}

/// The last request, and the last one of another key. A request may have no key at a position.
struct Recent<K> {
    key: Option<K>,
    at: Instant,
    other: Option<Instant>,
}

impl<K: Clone + Eq + Hash> Activity<K> {
    /// Without a budget, a key may use any time.
    pub(in crate::server) fn new(budget: Option<Budget>) -> Self {
        Self { budget, inner: Mutex::new(Inner { recent: Vec::new(), until: HashMap::new() }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request.
    pub(in crate::server) fn note(&self, keys: &[K], now: Instant) {
        let mut inner = self.inner();
        for position in 0..POSITIONS {
            let key = keys.get(position);
            match inner.recent.get_mut(position) {
                Some(recent) if recent.key.as_ref() == key => recent.at = now,
                Some(recent) => {
                    *recent = Recent { key: key.cloned(), at: now, other: Some(recent.at) };
                }
                None => inner.recent.push(Recent { key: key.cloned(), at: now, other: None }),
            }
        }
    }

    /// Until when the key at a position is not alone, as far as is known now; `None` if it is.
    pub(super) fn beside_others_until(&self, key: &K, position: usize, now: Instant) -> Option<Instant> {
        let inner = self.inner();
        let recent = inner.recent.get(position)?;
        let of_others = if recent.key.as_ref() == Some(key) { recent.other } else { Some(recent.at) };
        of_others.map(|at| at + WINDOW).filter(|until| *until > now)
    }

    /// Counts the time that a request took.
    pub(super) fn spend(&self, key: &K, took: Duration, now: Instant) {
        let Some(Budget { burst, parts }) = self.budget else { return };
        let is_alone = self.beside_others_until(key, 0, now).is_none();
        let mut inner = self.inner();
        inner.make_room(now);
        let until = inner.until.entry(key.clone()).or_insert(now);
        *until = (*until).max(now) + took.min(LONGEST) * parts;
        if is_alone {
            // No debt remains for the time when others come.
            *until = (*until).min(now + burst * parts);
        }
    }

    /// When the next request of a key may start beside others; `None` for immediately.
    pub(super) fn due(&self, key: &K, now: Instant) -> Option<Instant> {
        let Budget { burst, parts } = self.budget?;
        let due = self.inner().until.get(key)?.checked_sub(burst * parts)?;
        (due > now).then_some(due)
    }

    /// The time that a key spent recently, for comparison with others.
    pub(super) fn spent(&self, key: &K, now: Instant) -> Duration {
        self.inner().until.get(key).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}

impl<K: Clone + Eq + Hash> Inner<K> {
    fn make_room(&mut self, now: Instant) {
        if self.until.len() >= MOST_KEYS {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() >= MOST_KEYS {
            let mut all: Vec<Instant> = self.until.values().copied().collect();
            let (_, median, _) = all.select_nth_unstable(MOST_KEYS / 2);
            let median = *median;
            self.until.retain(|_, until| *until > median);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { burst: Duration::from_secs(2), parts: 4 };
    const WORK: Duration = Duration::from_millis(100);

    #[test]
    fn a_key_is_alone_if_no_other_one_was_active_for_a_second() {
        let (activity, start) = (Activity::new(None), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(activity.beside_others_until(&'a', 0, start), None);
        activity.note(&['a', 'g'], at(0));
        assert_eq!(activity.beside_others_until(&'a', 0, at(10)), None);
        assert_eq!(activity.beside_others_until(&'b', 0, at(10)), Some(at(1000)));
        activity.note(&['b', 'g'], at(500));
        for step in 0..10 {
            activity.note(&['a', 'g'], at(600 + step));
        }
        assert_eq!(activity.beside_others_until(&'a', 0, at(700)), Some(at(1500)));
        assert_eq!(activity.beside_others_until(&'b', 0, at(700)), Some(at(1609)));
        assert_eq!(activity.beside_others_until(&'a', 0, at(1500)), None);
        assert_eq!(activity.beside_others_until(&'g', 1, at(700)), None, "both are of this group");
        activity.note(&['c'], at(800));
        assert_eq!(activity.beside_others_until(&'g', 1, at(900)), Some(at(1800)));
    }

    #[test]
    fn beside_others_a_key_has_a_burst_and_then_its_part_of_the_time() {
        let (activity, start) = (Activity::new(Some(BUDGET)), Instant::now());
        let (mut now, mut worked) = (start, Duration::ZERO);
        while now < start + Duration::from_secs(22) {
            activity.note(&['b'], now);
            now = activity.due(&'a', now).unwrap_or(now) + WORK;
            activity.spend(&'a', WORK, now);
            worked += WORK;
        }
        assert!((6.5..=7.6).contains(&worked.as_secs_f64()), "{worked:?} in 22 s");
        assert_eq!(activity.due(&'c', now), None);
        assert!(activity.spent(&'a', now) > activity.spent(&'c', now));
    }

    #[test]
    fn alone_a_key_has_no_debt() {
        let (activity, mut now) = (Activity::new(Some(BUDGET)), Instant::now());
        for _ in 0..1000 {
            now += WORK;
            activity.note(&['a'], now);
            activity.spend(&'a', WORK, now);
        }
        assert_eq!(activity.due(&'a', now), None, "when others come, it waits only for what it does then");
        activity.note(&['b'], now);
        activity.spend(&'a', WORK, now);
        assert_eq!(activity.due(&'a', now), Some(now + WORK * BUDGET.parts));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let (activity, now) = (Activity::new(Some(BUDGET)), Instant::now());
        for key in 0..3 * MOST_KEYS {
            activity.spend(&key, WORK, now);
            activity.spend(&usize::MAX, WORK, now);
        }
        let inner = activity.inner();
        assert!(inner.until.len() <= MOST_KEYS && inner.until.contains_key(&usize::MAX));
    }
}
