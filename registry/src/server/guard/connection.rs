//! The guard's state of one connection, and the rules for closing it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::address::{Network, Peer};
use super::pace::{Credit, Pace};
use crate::server::certificates::ClientCertificate;

/// The maximum time for closing a connection after the request to close.
const FAREWELL: Duration = Duration::from_secs(5);
/// The guard waits longer than transfers do, so that transfers can report why they end.
const LAST: Duration = Duration::from_secs(5);

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// All requests.
    Full,
    /// Only health checks and refusals, because its client or the listener has reached the limit of connections.
    Probe,
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum End {
    /// After the current requests.
    Gently,
    /// Immediately.
    Now,
}

const GENTLY: u8 = 1;
const NOW: u8 = 2;

/// One connection.
pub(in crate::server) struct Connection {
    pub(super) peer: Peer,
    certificate: OnceLock<Arc<ClientCertificate>>,
    pub(super) network: Network,
    pub(super) lane: Lane,
    begun: Instant,
    moved: AtomicU64,
    exchanges: AtomicUsize,
    /// Exchanges that wait for the client.
    waiting: AtomicUsize,
    served: AtomicBool,
    ambiguous: AtomicBool,
    /// When the last exchange ended, in milliseconds after `begun`.
    quiet: AtomicU64,
    /// When the current head began to arrive, in milliseconds after `begun`, or 0.
    head: AtomicU64,
    end: AtomicU8,
    ended: Notify,
    patrol: Mutex<Patrol>,
}

/// The state at the last check.
struct Patrol {
    credit: Credit,
    looked: Instant,
    moved: u64,
    /// Since when it has kept the server waiting and transferred almost no bytes.
    stalled: Option<Instant>,
    parting: Option<Instant>,
}

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) headers: Duration,
    pub(super) idle: Duration,
    pub(super) pace: Pace,
}

impl Connection {
    pub(super) fn new(peer: Peer, lane: Lane, pace: Pace) -> Arc<Self> {
        let begun = Instant::now();
        let credit = Credit::new(Pace { patience: pace.patience + LAST, ..pace });
        let patrol = Patrol { credit, looked: begun, moved: 0, stalled: None, parting: None };
        Arc::new(Self {
            peer,
            certificate: OnceLock::new(),
            network: peer.network(),
            lane,
            begun,
            moved: AtomicU64::new(0),
            exchanges: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            ambiguous: AtomicBool::new(false),
            quiet: AtomicU64::new(0),
            head: AtomicU64::new(0),
            end: AtomicU8::new(0),
            ended: Notify::new(),
            patrol: Mutex::new(patrol),
        })
    }

    pub(in crate::server) fn peer(&self) -> Peer {
        self.peer
    }

    /// Notes the certificate that the client has shown.
    pub(in crate::server) fn identified_by(&self, certificate: Arc<ClientCertificate>) {
        let _ = self.certificate.set(certificate);
    }

    pub(super) fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        self.certificate.get().cloned()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn moves(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.exchanges.load(Ordering::Relaxed) > 0
    }

    pub(super) fn was_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    pub(super) fn head_begins(&self) {
        let now = self.now().max(1);
        let _ = self.head.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn head_ends(&self) {
        self.head.store(0, Ordering::Relaxed);
    }

    pub(super) fn set_ambiguous(&self) {
        self.ambiguous.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }

    /// How long it has had no exchange.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let quiet = Duration::from_millis(self.now().saturating_sub(self.quiet.load(Ordering::Relaxed)));
        (!self.is_busy()).then_some(quiet)
    }

    /// How long it has kept the server waiting.
    pub(super) fn stalled_for(&self) -> Option<Duration> {
        self.patrol.lock().unwrap_or_else(PoisonError::into_inner).stalled.map(|since| since.elapsed())
    }

    pub(super) fn end(&self, end: End) {
        let end = if end == End::Now { NOW } else { GENTLY };
        if self.end.fetch_max(end, Ordering::Relaxed) < end {
            self.ended.notify_one();
        }
    }

    /// Completes when the connection must be closed in another way than `known`.
    pub(in crate::server) async fn end_requested(&self, known: Option<End>) -> End {
        loop {
            match (self.end.load(Ordering::Relaxed), known) {
                (NOW, _) => return End::Now,
                (GENTLY, None) => return End::Gently,
                _ => self.ended.notified().await,
            }
        }
    }

    /// Checks the time limits, and closes the connection if it exceeds one.
    pub(super) fn look(&self, times: &Times) {
        let mut patrol = self.patrol.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (waited, moved) = (now - patrol.looked, self.moved.load(Ordering::Relaxed));
        let bytes = moved.saturating_sub(patrol.moved);
        (patrol.looked, patrol.moved) = (now, moved);
        if self.end.load(Ordering::Relaxed) == GENTLY && !self.is_busy() {
            let since = *patrol.parting.get_or_insert(now);
            if now - since > FAREWELL {
                self.end(End::Now);
            }
            return;
        }
        if let Some(quiet) = self.quiet_for() {
            patrol.stalled = None;
            let head = self.head.load(Ordering::Relaxed);
            let arriving = Duration::from_millis(self.now().saturating_sub(head));
            if !self.was_served() && quiet > times.headers || head > 0 && arriving > times.headers {
                self.end(End::Now);
            } else if quiet > times.idle {
                self.end(End::Gently);
            }
            return;
        }
        if self.waiting.load(Ordering::Relaxed) < self.exchanges.load(Ordering::Relaxed) {
            // The client is waiting for the server.
            patrol.stalled = None;
            return;
        }
        let enough = u128::from(times.pace.bytes_per_second) * waited.as_millis() / 1000;
        if u128::from(bytes) > enough {
            patrol.stalled = None;
        } else {
            patrol.stalled.get_or_insert(now);
        }
        if !patrol.credit.spend(waited, bytes) {
            self.end(End::Now);
        }
    }
}

/// A request and its response, until the end of the response body.
pub(super) struct Exchange {
    connection: Arc<Connection>,
    waits: AtomicBool,
}

impl Exchange {
    pub(super) fn begin(connection: &Arc<Connection>) -> Arc<Self> {
        connection.exchanges.fetch_add(1, Ordering::Relaxed);
        connection.head_ends();
        Arc::new(Self { connection: Arc::clone(connection), waits: AtomicBool::new(false) })
    }

    /// Sets whether the server is now waiting for the client.
    pub(super) fn waits_for_client(&self, waits: bool) {
        match (self.waits.swap(waits, Ordering::Relaxed), waits) {
            (false, true) => self.connection.waiting.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.connection.waiting.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.waits_for_client(false);
        let connection = &self.connection;
        connection.served.store(true, Ordering::Relaxed);
        connection.quiet.store(connection.now(), Ordering::Relaxed);
        connection.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(30);

    fn connection(pace: Pace) -> Arc<Connection> {
        let peer = Peer { address: "192.0.2.1:1".parse().ok(), secure: false };
        Connection::new(peer, Lane::Full, pace)
    }

    fn times(headers: Duration, idle: Duration, patience: Duration) -> Times {
        Times { headers, idle, pace: Pace { patience, bytes_per_second: 1000 } }
    }

    fn end_of(connection: &Connection) -> u8 {
        connection.end.load(Ordering::Relaxed)
    }

    #[test]
    fn a10_an_incomplete_head_closes_a_connection_and_idling_asks_it_to_close() {
        let long = Duration::from_mins(1);
        let times_of = |headers, idle| times(headers, idle, long);
        let fresh = connection(times_of(long, long).pace);
        std::thread::sleep(MOMENT);
        fresh.look(&times_of(long, Duration::ZERO));
        assert_eq!(end_of(&fresh), GENTLY);
        let fresh = connection(times_of(long, long).pace);
        std::thread::sleep(MOMENT);
        fresh.look(&times_of(Duration::ZERO, long));
        assert_eq!(end_of(&fresh), NOW);
        let served = connection(times_of(long, long).pace);
        drop(Exchange::begin(&served));
        std::thread::sleep(MOMENT);
        served.look(&times_of(Duration::ZERO, long));
        assert_eq!(end_of(&served), 0, "it may idle");
        served.head_begins();
        std::thread::sleep(MOMENT);
        served.look(&times_of(MOMENT / 2, long));
        assert_eq!(end_of(&served), NOW);
    }

    #[test]
    fn a10_a_connection_is_closed_if_the_client_stalls_but_not_if_the_server_works() {
        let long = Duration::from_mins(1);
        let times = times(Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let working = connection(times.pace);
        let exchange = Exchange::begin(&working);
        working.patrol.lock().unwrap().credit = Credit::new(times.pace);
        std::thread::sleep(MOMENT);
        working.look(&times);
        assert_eq!(end_of(&working), 0);
        exchange.waits_for_client(true);
        std::thread::sleep(MOMENT);
        working.look(&times);
        assert_eq!(end_of(&working), NOW);
        assert!(working.stalled_for().is_some());
        let quick = connection(Pace { patience: long, bytes_per_second: 1000 });
        let exchange = Exchange::begin(&quick);
        exchange.waits_for_client(true);
        quick.moves(1_000_000);
        std::thread::sleep(MOMENT);
        quick.look(&times);
        assert_eq!((end_of(&quick), quick.stalled_for()), (0, None));
    }
}
