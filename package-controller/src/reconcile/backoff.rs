//! Exponential backoff after failures.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The longest pause after an unexpected failure.
pub(super) const MAX_PAUSE: Duration = Duration::from_mins(1);

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);

/// The numbers of consecutive failures, by key.
pub(super) struct Failures<K>(Mutex<HashMap<K, u32>>);

impl<K: Eq + Hash> Default for Failures<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Failures<K> {
    /// Records a failure, and returns the pause before the retry, `limit` at most.
    pub(super) fn next_pause(&self, key: K, limit: Duration) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key).or_default();
        let pause = FIRST.saturating_mul(1 << (*count).min(20));
        *count = count.saturating_add(1);
        pause.min(limit)
    }

    /// Records a success.
    pub(super) fn reset(&self, key: &K) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_restart_after_a_success() {
        let failures = Failures::default();
        let pauses = || failures.next_pause("a", Duration::from_secs(5)).as_secs();
        assert_eq!([pauses(), pauses(), pauses(), pauses()], [1, 2, 4, 5]);
        for _ in 0..100 {
            assert_eq!(pauses(), 5);
        }
        assert_eq!(failures.next_pause("b", Duration::from_secs(5)).as_secs(), 1);
        failures.reset(&"a");
        assert_eq!(failures.next_pause("a", Duration::from_secs(5)).as_secs(), 1);
    }
}
