//! The slots of installations: only a few render and apply at the same time. An installation that only waits for pods
//! returns its slot, so a package that never becomes ready does not delay others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The number of concurrent installations that render and apply. Their charts are in memory.
const SLOTS: usize = 8;
/// The time after which an installation only waits.
const SLOT_TIME: Duration = Duration::from_secs(15);

/// The slots, and the time of each package's last drift detection.
pub(super) struct WorkSlots {
    slots: Semaphore,
    slot_time: Duration,
    interval: Duration,
    compared: Mutex<HashMap<String, Instant>>,
}

impl WorkSlots {
    pub(super) fn new(interval: Duration) -> Self {
        Self { slots: Semaphore::new(SLOTS), slot_time: SLOT_TIME, interval, compared: Mutex::default() }
    }

    /// Waits for a slot and runs the work. After a while, the slot is returned even if the work continues.
    pub(super) async fn work<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed.
        let slot = self.slots.acquire().await.ok();
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(self.slot_time) => drop(slot),
        }
        work.await
    }

    /// Whether drift detection of a package is due; if so, it counts as done. The first times are spread over the interval,
    /// so that not all packages are checked at once after a start.
    pub(super) fn is_due(&self, key: &str, now: Instant) -> bool {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let spread = self.interval.mul_f64(f64::from(share(key)) / f64::from(u8::MAX));
        match compared.get(key) {
            None => {
                let first = now.checked_sub(self.interval).map_or(now, |past| past + spread);
                let due = first + self.interval <= now;
                compared.insert(key.to_owned(), if due { now } else { first });
                due
            }
            Some(last) if *last + self.interval <= now => {
                compared.insert(key.to_owned(), now);
                true
            }
            Some(_) => false,
        }
    }

    /// The interval of drift detection.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn forget(&self, key: &str) {
        self.compared.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

fn share(key: &str) -> u8 {
    key.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_detection_is_due_once_per_interval_and_not_for_all_packages_at_once() {
        let minute = Duration::from_mins(1);
        let slots = WorkSlots::new(minute);
        let start = Instant::now() + minute;
        let keys: Vec<_> = (0..200).map(|number| format!("ns/{number}")).collect();
        let mut due = vec![0; keys.len()];
        let mut most = 0;
        for second in 0..120 {
            let now = start + Duration::from_secs(second);
            let before: i32 = due.iter().sum();
            for (key, due) in keys.iter().zip(&mut due) {
                *due += i32::from(slots.is_due(key, now));
            }
            most = most.max(due.iter().sum::<i32>() - before);
        }
        assert!(due.iter().all(|due| (1..=2).contains(due)), "{due:?}");
        assert!(most < 40, "{most} at once");
    }

    #[tokio::test]
    async fn a_long_installation_returns_its_slot() {
        let slots =
            WorkSlots { slot_time: Duration::from_millis(50), ..WorkSlots::new(Duration::from_mins(1)) };
        let stuck = |_| async { slots.work(std::future::pending::<()>()).await };
        let stuck = futures::future::join_all((0..SLOTS).map(stuck));
        let other = slots.work(std::future::ready(()));
        tokio::select! {
            _ = stuck => panic!("the blocked installations never end"),
            () = other => {}
        }
    }
}
