//! Retention while the registry serves, in the interval of the configuration file.

use std::time::{Duration, Instant};

use store::Store;
use tokio::task::JoinHandle;

use crate::logged::Journals;
use crate::retention::run_logged;

/// When retention ran last.
#[derive(Default)]
pub(super) struct Retention {
    last: Option<Instant>,
    running: Option<JoinHandle<()>>,
}

impl Retention {
    /// Starts a run if one is due. The first one is due at the start.
    pub(super) fn look(&mut self, interval: Option<Duration>, store: &Store, journals: &Journals) {
        let Some(interval) = interval else { return };
        let is_running = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if is_running || !is_due(self.last, interval, Instant::now()) {
            return;
        }
        self.last = Some(Instant::now());
        // For the history of tags; clients have names of their own.
        store.act_as("registry: retention".to_owned());
        let (store, journals) = (store.clone(), journals.clone());
        self.running = Some(tokio::task::spawn_blocking(move || run_logged(&store, &journals)));
    }
}

fn is_due(last: Option<Instant>, interval: Duration, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_is_due_at_once_and_later_ones_after_the_interval() {
        let (now, hour) = (Instant::now(), Duration::from_hours(1));
        assert!(is_due(None, hour, now));
        assert!(!is_due(Some(now), hour, now + hour / 2));
        assert!(is_due(Some(now), hour, now + hour));
        // Another clock than expected.
        assert!(!is_due(Some(now + hour), hour, now));
    }
}
