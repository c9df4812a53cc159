//! Resources of which each client has a bounded share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::Network;

/// The maximum number of clients; above it, those without shares are dropped.
const MOST_CLIENTS: usize = 1024;

/// A number of shares for each network.
pub(in crate::server) struct Shares {
    each: usize,
    networks: Mutex<HashMap<Network, Arc<Semaphore>>>,
}

/// A share, released when dropped.
#[derive(Debug)]
pub(in crate::server) struct Share {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Shares {
    /// `each` shares for every network; 0 is unlimited.
    pub(in crate::server) fn new(each: usize) -> Self {
        Self { each, networks: Mutex::default() }
    }

    /// Takes a share, if the network has one left.
    pub(in crate::server) fn take(&self, network: Network) -> Option<Share> {
        if self.each == 0 {
            return Some(Share { _permit: None });
        }
        Some(Share { _permit: Some(self.of(network).try_acquire_owned().ok()?) })
    }

    fn of(&self, network: Network) -> Arc<Semaphore> {
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.len() >= MOST_CLIENTS && !networks.contains_key(&network) {
            // Owners of shares and waiting requests hold a reference to the semaphore.
            networks.retain(|_, shares| Arc::strong_count(shares) > 1);
        }
        Arc::clone(networks.entry(network).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Network {
        Network::of([192, 0, 2, last].into())
    }

    #[test]
    fn a_client_cannot_use_the_shares_of_others() {
        let shares = Shares::new(2);
        let held: Vec<_> = (0..2).map(|_| shares.take(network(1)).unwrap()).collect();
        assert!(shares.take(network(1)).is_none());
        assert!(shares.take(network(2)).is_some());
        drop(held);
        assert!(shares.take(network(1)).is_some());
    }

    #[test]
    fn clients_without_shares_are_dropped() {
        let shares = Shares::new(1);
        let kept = shares.take(network(0));
        for at in 0..5000_u16 {
            shares.take(Network::of([10, 0, at.to_be_bytes()[0], at.to_be_bytes()[1]].into()));
        }
        assert!(shares.networks.lock().unwrap().len() <= MOST_CLIENTS);
        assert!(kept.is_some() && shares.take(network(0)).is_none());
    }
}
