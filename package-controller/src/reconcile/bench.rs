//! The places of those who install: a few at a time render and apply, and who only waits for pods gives his place
//! back. So a package that never gets ready delays no other.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Installations that render and apply at a time: their charts are in memory.
const PLACES: usize = 8;
/// After this long an installation only waits.
const LENT: Duration = Duration::from_secs(15);

/// The places, and when each package was compared with the cluster last.
pub(super) struct Bench {
    places: Semaphore,
    lent: Duration,
    interval: Duration,
    compared: Mutex<HashMap<String, Instant>>,
}

impl Bench {
    pub(super) fn new(interval: Duration) -> Self {
        Self { places: Semaphore::new(PLACES), lent: LENT, interval, compared: Mutex::default() }
    }

    /// Works at a place, as soon as there is one, and gives it back while it still works after a while.
    pub(super) async fn work<T>(&self, work: impl Future<Output = T>) -> T {
        // It is never closed.
        let place = self.places.acquire().await.ok();
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(self.lent) => drop(place),
        }
        work.await
    }

    /// Whether it is time to compare a package with the cluster; it counts as done then. The first time is spread
    /// over the interval, so that not all are compared at once after a start.
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

    /// When a package is to be looked at next, so that it is compared in time.
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
    fn a_package_is_compared_once_an_interval_and_not_all_of_them_at_once() {
        let minute = Duration::from_mins(1);
        let bench = Bench::new(minute);
        let start = Instant::now() + minute;
        let keys: Vec<_> = (0..200).map(|number| format!("ns/{number}")).collect();
        let mut due = vec![0; keys.len()];
        let mut most = 0;
        for second in 0..120 {
            let now = start + Duration::from_secs(second);
            let before: i32 = due.iter().sum();
            for (key, due) in keys.iter().zip(&mut due) {
                *due += i32::from(bench.is_due(key, now));
            }
            most = most.max(due.iter().sum::<i32>() - before);
        }
        assert!(due.iter().all(|due| (1..=2).contains(due)), "{due:?}");
        assert!(most < 40, "{most} at once");
    }

    #[tokio::test]
    async fn who_waits_long_gives_the_place_back() {
        let bench = Bench { lent: Duration::from_millis(50), ..Bench::new(Duration::from_mins(1)) };
        let stuck = |_| async { bench.work(std::future::pending::<()>()).await };
        let stuck = futures::future::join_all((0..PLACES).map(stuck));
        let other = bench.work(std::future::ready(()));
        tokio::select! {
            _ = stuck => panic!("they never end"),
            () = other => {}
        }
    }
}
