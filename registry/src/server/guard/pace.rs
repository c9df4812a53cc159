//! The minimum pace of a client: waiting uses up its credit, and transferred bytes restore it.

use std::time::Duration;

/// How long a client may keep the server waiting, and the rate that restores this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The maximum wait, and the maximum credit.
    pub patience: Duration,
    /// A client that stays below this rate runs out of credit.
    pub bytes_per_second: u64,
}

/// The remaining credit of one transfer.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Credit {
    pace: Pace,
    left: Duration,
}

impl Credit {
    pub(in crate::server) fn new(pace: Pace) -> Self {
        Self { pace, left: pace.patience }
    }

    /// The maximum time for the client's next bytes.
    pub(in crate::server) fn left(&self) -> Duration {
        self.left
    }

    /// Counts a wait that ended with `bytes`; returns `false` if it was too long.
    pub(in crate::server) fn spend(&mut self, waited: Duration, bytes: u64) -> bool {
        if waited > self.left {
            self.left = Duration::ZERO;
            return false;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.pace.bytes_per_second.max(1));
        let earned = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.left = self.left.saturating_sub(waited).saturating_add(earned).min(self.pace.patience);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { patience: Duration::from_mins(1), bytes_per_second: 4096 };

    #[test]
    fn a_byte_each_twenty_seconds_runs_out_of_credit() {
        let mut credit = Credit::new(PACE);
        let waits = (0..100).take_while(|_| credit.spend(Duration::from_secs(20), 1)).count();
        assert!((2..=3).contains(&waits), "{waits}");
    }

    #[test]
    fn a_steady_slow_client_is_never_cut_off_and_a_burst_allows_no_long_stall() {
        let mut credit = Credit::new(PACE);
        assert!((0..10_000).all(|_| credit.spend(Duration::from_secs(10), 50_000)));
        credit.spend(Duration::ZERO, u64::MAX);
        assert_eq!(credit.left(), PACE.patience);
        assert!(!credit.spend(Duration::from_secs(61), 0));
        assert!(!credit.spend(Duration::from_millis(1), 1_000_000_000), "it came too late");
    }
}
