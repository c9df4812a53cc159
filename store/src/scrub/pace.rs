//! Limits the rate at which a scrub reads.

use std::time::{Duration, Instant};

use super::ScrubControl;

/// The longest sleep between two looks at whether the scrub was stopped.
const NAP: Duration = Duration::from_millis(100);
/// A scrub that was slower than its rate may not make up for more than this.
const SLACK: Duration = Duration::from_secs(1);

/// What was read since some time.
pub(super) struct Pace {
    since: Instant,
    done: u64,
    rate: Option<u64>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), done: 0, rate: None }
    }

    /// Waits until reading another `count` bytes keeps to the rate; returns false when the scrub is stopped.
    pub(super) fn keep(&mut self, count: u64, control: &ScrubControl) -> bool {
        loop {
            if control.is_stopped() {
                return false;
            }
            let rate = control.rate();
            let elapsed = self.since.elapsed();
            if rate != self.rate
                || rate.is_none_or(|rate| elapsed > due(self.done, rate).saturating_add(SLACK))
            {
                *self = Self { since: Instant::now(), done: 0, rate };
            }
            let Some(rate) = rate else { return true };
            let wait = due(self.done + count, rate).saturating_sub(self.since.elapsed());
            if wait.is_zero() {
                self.done += count;
                return true;
            }
            std::thread::sleep(wait.min(NAP));
        }
    }
}

/// How long reading takes at this rate.
fn due(bytes: u64, rate: u64) -> Duration {
    let nanoseconds = u128::from(bytes % rate) * 1_000_000_000 / u128::from(rate);
    Duration::from_secs(bytes / rate) + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_takes_as_long_as_the_rate_demands() {
        assert_eq!(due(500, 1000), Duration::from_millis(500));
        assert!(due(u64::MAX, 1) > Duration::from_hours(1_000_000));
        let (mut pace, control) = (Pace::new(), ScrubControl::new(Some(10_000)));
        let begun = Instant::now();
        for _ in 0..6 {
            assert!(pace.keep(500, &control));
        }
        assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_slow_scrub_ends_soon_after_it_is_stopped_and_follows_a_new_rate() {
        let control = ScrubControl::new(Some(1));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let running = scope.spawn(|| Pace::new().keep(1 << 20, &control));
            std::thread::sleep(Duration::from_millis(50));
            control.stop();
            assert!(!running.join().unwrap());
        });
        let control = ScrubControl::new(Some(1));
        std::thread::scope(|scope| {
            let running = scope.spawn(|| Pace::new().keep(1 << 20, &control));
            std::thread::sleep(Duration::from_millis(50));
            control.limit(None);
            assert!(running.join().unwrap());
        });
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
