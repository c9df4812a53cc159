//! The guard between listeners and their clients. Every listener of this program is served by a [`Sockets`](super::Sockets), and
//! its guard watches every connection:
//!
//! - A client has a share of the connections and of the concurrent requests. Beyond it, requests are refused before any work
//!   is done. Health checks are still answered, on reserved connections.
//! - If connections are needed, idle ones are closed first, then those that keep the server waiting.
//! - Request heads, bodies, responses and idle connections have time limits, and transfers a minimum rate.
//! - Bodies in memory share a budget in bytes.
//!
//! `address`: the address of a client; `party`: a client or a group of clients; `connection`: the state of a connection;
//! `exchange`: the state of a request; `stream`, `head`: its bytes; `pace`: the minimum rate; `shares`, `memory`, `fair`:
//! shared resources; `activity`: the recent work of clients; `rates`: the frequency of actions.

pub(super) mod activity;
pub(super) mod address;
pub(super) mod connection;
pub(super) mod exchange;
pub(super) mod fair;
mod head;
pub(super) mod memory;
pub(super) mod pace;
pub(super) mod party;
pub(super) mod rates;
pub(super) mod shares;
pub(super) mod stream;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Notify;

use self::address::{Client, Network, Peer, Proxies};
use self::connection::{Connection, End, Lane, Times};
use self::memory::Memory;
use self::shares::Shares;
use super::sockets::Sockets;

/// The interval of the checks of connections.
const ROUND: Duration = Duration::from_millis(250);
/// The number of additional connections for health checks and refusals.
const PROBES: usize = 32;
/// If connections are needed, those that have kept the server waiting for this time are closed.
const STALLED: Duration = Duration::from_secs(2);

/// Watches the connections of one or several listeners.
pub(super) struct Guard {
    sockets: Sockets,
    proxies: Proxies,
    table: Mutex<Table>,
    requests: Shares,
    memory: Memory,
    left: Notify,
    /// Records refusals that the router does not see.
    record: Option<Record>,
}

/// Records the refusal of a request, and returns it.
pub(super) type Record =
    Box<dyn Fn(&Request<Incoming>, Client, Response<Body>) -> Response<Body> + Send + Sync>;

#[derive(Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Arc<Connection>>,
    full: usize,
    each: HashMap<Network, usize>,
    /// The server is shutting down.
    closing: bool,
}

/// A connection's slot in the table, released when dropped.
pub(super) struct ConnectionSlot {
    guard: Arc<Guard>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Guard {
    pub(super) fn new(sockets: Sockets, proxies: Proxies, record: Option<Record>) -> Arc<Self> {
        Arc::new(Self {
            sockets,
            proxies,
            table: Mutex::default(),
            requests: Shares::new(sockets.requests),
            memory: Memory::new(sockets.memory),
            left: Notify::new(),
            record,
        })
    }

    fn record(&self, request: &Request<Incoming>, client: Client, refusal: Response<Body>) -> Response<Body> {
        match &self.record {
            Some(record) => record(request, client, refusal),
            None => refusal,
        }
    }

    /// Admits a connection, and closes others if necessary.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> ConnectionSlot {
        let bounded = self.sockets.per_client > 0 && !self.proxies.has(peer);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = if table.has_room(&self.sockets, peer.network(), bounded) {
            Lane::Full
        } else {
            table.room_for_probe();
            Lane::Probe
        };
        let connection = Connection::new(peer, lane, self.sockets.pace);
        let number = table.enter(Arc::clone(&connection));
        if table.closing {
            connection.end(End::Gently);
        }
        ConnectionSlot { guard: Arc::clone(self), number, connection }
    }

    /// Closes an idle connection when the system has no resources for more.
    pub(super) fn make_room(&self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.close_idlest(|_| true);
    }

    /// Closes a connection that keeps the server waiting, so that its transfers make room for those of others. It is one of
    /// the client that has most of them, at least two, and not one of `needs`.
    pub(super) fn close_stalled(&self, needs: Network) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.stalled_longest(needs) {
            table.close(number);
        }
    }

    /// Watches the connections, until dropped.
    pub(super) async fn patrol(&self) {
        let Sockets { headers, idle, pace, .. } = self.sockets;
        let times = Times { headers, idle, pace };
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let open: Vec<_> = {
                let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
                table.open.values().cloned().collect()
            };
            for connection in open {
                connection.look(&times);
            }
        }
    }

    /// Asks all connections to close, and waits until they have.
    pub(super) async fn close(&self) {
        {
            let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            table.closing = true;
            table.open.values().for_each(|connection| connection.end(End::Gently));
        }
        loop {
            let left = self.left.notified();
            if self.table.lock().unwrap_or_else(PoisonError::into_inner).open.is_empty() {
                return;
            }
            left.await;
        }
    }
}

impl Guard {
    /// Closes the remaining connections.
    pub(super) fn cut(&self) {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.open.values().for_each(|connection| connection.end(End::Now));
    }
}

impl Table {
    fn enter(&mut self, connection: Arc<Connection>) -> u64 {
        let number = self.next;
        self.next += 1;
        if connection.lane == Lane::Full {
            self.full += 1;
            *self.each.entry(connection.network).or_insert(0) += 1;
        }
        self.open.insert(number, connection);
        number
    }

    fn leave(&mut self, number: u64) {
        let Some(connection) = self.open.remove(&number) else { return };
        if connection.lane == Lane::Full {
            self.full -= 1;
            if let Some(count) = self.each.get_mut(&connection.network) {
                *count -= 1;
                if *count == 0 {
                    self.each.remove(&connection.network);
                }
            }
        }
    }

    fn has_room(&mut self, sockets: &Sockets, network: Network, bounded: bool) -> bool {
        let own = self.each.get(&network).copied().unwrap_or(0);
        if bounded && own >= sockets.per_client && !self.close_idlest(|other| other.network == network) {
            return false;
        }
        if self.full < sockets.connections {
            return true;
        }
        // The client with the most connections loses one first.
        let most = self.each.iter().max_by_key(|(_, count)| **count).map(|(network, _)| *network);
        self.close_idlest(|other| Some(other.network) == most) || self.close_idlest(|_| true)
    }

    /// Closes one of these connections: the one that has been idle for longest, preferably one that never sent a request;
    /// otherwise the one that has kept the server waiting for longest.
    fn close_idlest(&mut self, of: impl Fn(&Connection) -> bool) -> bool {
        let full = || self.open.iter().filter(|(_, other)| other.lane == Lane::Full && of(other));
        let quiet =
            full().filter_map(|(number, other)| Some((!other.was_served(), other.quiet_for()?, *number)));
        let stalled = || {
            let waits = full().filter_map(|(number, other)| Some((other.stalled_for()?, *number)));
            waits.max().filter(|(stalled, _)| *stalled >= STALLED).map(|(_, number)| number)
        };
        let Some(number) = quiet.max().map(|(_, _, number)| number).or_else(stalled) else { return false };
        self.close(number);
        true
    }

    fn stalled_longest(&self, needs: Network) -> Option<u64> {
        let mut stalled: HashMap<Network, Vec<(Duration, u64)>> = HashMap::new();
        for (number, connection) in self.open.iter().filter(|(_, other)| other.network != needs) {
            if let Some(waited) = connection.stalled_for().filter(|waited| *waited >= STALLED) {
                stalled.entry(connection.network).or_default().push((waited, *number));
            }
        }
        let most = stalled.into_values().max_by_key(Vec::len).filter(|all| all.len() > 1)?;
        most.into_iter().max().map(|(_, number)| number)
    }

    fn room_for_probe(&mut self) {
        let probes = self.open.iter().filter(|(_, other)| other.lane == Lane::Probe);
        let probes: Vec<u64> = probes.map(|(number, _)| *number).collect();
        if probes.len() >= PROBES {
            self.close(probes[0]);
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(connection) = self.open.get(&number) {
            connection.end(End::Now);
        }
        self.leave(number);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.guard.table.lock().unwrap_or_else(PoisonError::into_inner).leave(self.number);
        self.guard.left.notify_waiters();
    }
}
