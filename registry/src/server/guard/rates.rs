//! Rate limits for the actions of one client: a burst, then a fixed rate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::address::Network;

/// The maximum number of clients; above it, the least active ones are dropped.
const MOST_CLIENTS: usize = 4096;

/// The recent actions of clients.
pub(in crate::server) struct Rates {
    at_once: u32,
    each: Duration,
    /// When the actions of a client no longer count.
    until: Mutex<HashMap<Network, Instant>>,
}

impl Rates {
    /// Allows `at_once` actions, and one more after each interval `each`.
    pub(in crate::server) fn new(at_once: u32, each: Duration) -> Self {
        Self { at_once, each, until: Mutex::default() }
    }

    /// Counts an action; returns `false` if it exceeds the rate.
    pub(in crate::server) fn count(&self, network: Network, now: Instant) -> bool {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MOST_CLIENTS {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= MOST_CLIENTS
            && let Some(oldest) = until.iter().min_by_key(|(_, until)| **until).map(|(network, _)| *network)
        {
            until.remove(&oldest);
        }
        let own = until.entry(network).or_insert(now);
        let next = (*own).max(now) + self.each;
        let may = next.saturating_duration_since(now) <= self.each * self.at_once;
        if may {
            *own = next;
        }
        may
    }

    /// Takes back one counted action.
    pub(in crate::server) fn give_back(&self, network: Network) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = until.get_mut(&network)
            && let Some(before) = own.checked_sub(self.each)
        {
            *own = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a10_endless_guesses_get_two_checks_a_second() {
        let (guesses, start) = (Rates::new(40, Duration::from_millis(500)), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        let checked = (0..100_000).filter(|step| guesses.count(network(1), at(step / 10))).count();
        assert!((58..=61).contains(&checked), "{checked} in 10 s");
        assert!(guesses.count(network(2), at(9_000)), "other clients have their own rate");
        assert!(guesses.count(network(1), at(60_000)), "it no longer counts");
    }

    #[test]
    fn a10_right_passwords_cost_nothing_and_memory_is_bounded() {
        let (guesses, now) = (Rates::new(40, Duration::from_millis(500)), Instant::now());
        for _ in 0..1000 {
            assert!(guesses.count(network(1), now));
            guesses.give_back(network(1));
        }
        for number in 0..10_000 {
            assert!(guesses.count(network(number + 2), now));
        }
        assert!(guesses.until.lock().unwrap().len() <= MOST_CLIENTS);
    }
}
