//! When something that failed is tried again: soon at first, then ever more slowly.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest pause after an unforeseen failure.
pub(super) const LONGEST: Duration = Duration::from_mins(1);

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);

/// Failures in a row, by what failed.
pub(super) struct Failures<K>(Mutex<HashMap<K, u32>>);

impl<K: Eq + Hash> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Failures<K> {
    /// One more failure: how long to wait now, `most` at most.
    pub(super) fn again(&self, key: K, most: Duration) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_default();
        let pause = FIRST.saturating_mul(1 << (*count).min(20));
        *count = count.saturating_add(1);
        pause.min(most)
    }

    /// It went well.
    pub(super) fn over(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let failures = Failures::default();
        let pauses = || failures.again("a", Duration::from_secs(5)).as_secs();
        assert_eq!([pauses(), pauses(), pauses(), pauses()], [1, 2, 4, 5]);
        for _ in 0..100 {
            assert_eq!(pauses(), 5);
        }
        assert_eq!(failures.again("b", Duration::from_secs(5)).as_secs(), 1);
        failures.over(&"a");
        assert_eq!(failures.again("a", Duration::from_secs(5)).as_secs(), 1);
    }
}
