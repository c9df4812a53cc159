//! The distribution specification's server over a [`store::Store`].
//!
//! A request's path and method become an `Action`, the caller is authorized for the permission that it needs, and only then
//! is the body read. Blocking work (files, database, hashing) runs on the blocking pool, in short pieces: a stalled client
//! occupies buffers, never a thread.

pub mod access;
mod access_log;
mod answer;
mod auth;
mod blobs;
mod buffers;
mod certificates;
mod content;
mod download;
mod gate;
mod guard;
mod handle;
mod inbox;
mod intake;
mod ldap;
mod lingering;
mod listener;
mod listing;
mod manifests;
mod metrics;
mod missing;
mod namespace;
mod observe;
mod observed;
mod oidc;
mod pulls;
mod range;
mod ready;
mod refusal;
mod refusal_reports;
mod repositories;
mod route;
mod running;
mod sendfile;
mod serve;
mod sockets;
mod tokens;
mod uploads;

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use store::{InboxLimits, NamingLimits, Store, UploadLimits};

pub use access_log::{Access, AccessLog};
pub use auth::{Auth, Htpasswd};
pub use certificates::ClientAuthorities;
pub use gate::{Gate, GateError, Pull, Push};
pub use guard::address::{Cidr, Client, Network, Proxies};
pub use guard::fair::{FairQueue, QueueKey, QueueLimits, QueueTicket};
pub use guard::memory::{BodyError, Memory, MemoryLease};
pub use guard::pace::Pace;
pub use ldap::{LdapConfig, LdapDirectory, LdapGroupSearch, LdapUserSearch};
pub use listener::Listener;
pub use metrics::Metrics;
pub use observe::{Changed, Observer, Operation, Refused, Repeats, Visitor};
pub use oidc::{OidcConfig, OidcIssuer};
pub use running::{Change, Server};
pub use serve::serve;
pub use sockets::Sockets;

use access_log::RequestIds;
use auth::Authenticator;
use guard::activity::{Activity, Budget};
use guard::party::Party;
use guard::rates::Rates;
use handle::Call;
use listing::Positions;
use metrics::{CountedGate, CountedObserver};
use missing::Missing;
use pulls::Pulls;
use ready::Readiness;
use refusal::Refusal;
use refusal_reports::Refusals;

/// The configuration of a server.
#[derive(Clone)]
pub struct ServerConfig {
    /// The store to serve.
    pub store: Store,
    /// Whether to refuse all pushes and deletions.
    pub read_only: bool,
    /// The authentication of users.
    pub auth: Auth,
    /// The limits for untrusted clients.
    pub limits: Limits,
    /// Receives changes before the client gets a response.
    pub observer: Option<Arc<dyn Observer>>,
    /// Decides about manifests; without a gate, all are allowed.
    pub gate: Option<Arc<dyn Gate>>,
    /// The proxies that are trusted to report client addresses.
    pub proxies: Proxies,
    /// Counts requests and measures the store, if the metrics are read.
    pub metrics: Option<Metrics>,
    /// Receives each request when its response ended.
    pub access_log: Option<Arc<dyn AccessLog>>,
}

impl ServerConfig {
    /// A server without authentication, with the default limits.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let (auth, limits) = (Auth::Anonymous, Limits::default());
        Self {
            store,
            read_only: false,
            auth,
            limits,
            observer: None,
            gate: None,
            proxies: Proxies::default(),
            metrics: None,
            access_log: None,
        }
    }
}

/// Limits on the resources that clients can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of open connections. Above it, idle connections are closed first. Default: 2048.
    pub connections: usize,
    /// The maximum number of open connections of one client, which is also half the limit for its concurrent requests and
    /// twice the limit for its transfers; 0 is unlimited. Default: 256.
    pub per_client: usize,
    /// The maximum memory for manifests and listings of all clients, in bytes; one client can use half. Default: 64 MiB.
    pub memory: usize,
    /// The maximum number of concurrent blob transfers. Each has at most 1 MiB of buffers, less when there are many, and none
    /// if the kernel sends it; further ones wait. Default: 512.
    pub transfers: usize,
    /// The maximum size of a manifest, in bytes. Default: 4 MiB, the minimum that the specification requires.
    pub manifest_bytes: usize,
    /// The maximum time for receiving a manifest. Default: 2 min.
    pub manifest: Duration,
    /// The maximum number of tags in one manifest push. Default: 64.
    pub tags_per_push: usize,
    /// The maximum time for a TLS handshake. Default: 10 s.
    pub handshake: Duration,
    /// The maximum time for receiving a request's headers. Default: 10 s.
    pub headers: Duration,
    /// The maximum idle time of a connection between requests. Default: 60 s.
    pub idle: Duration,
    /// The maximum time that a client may keep the server waiting. Default: 60 s.
    pub stall: Duration,
    /// Transfers that stay below this rate for longer than `stall` are aborted. Default: 4096.
    pub bytes_per_second: u64,
    /// The maximum number and size of unfinished uploads, in a repository and in total.
    pub uploads: UploadLimits,
    /// The maximum number and size of one user's manifests that refer to the same manifest; `None` is unlimited. Default:
    /// 2000 manifests, 64 MiB.
    pub naming: Option<NamingLimits>,
    /// The limits of the inbox for manifests that the gate denies; without an inbox, they are refused. Default: `None`.
    pub inbox: Option<InboxLimits>,
    /// How long an idle upload session is kept. Default: 7 days.
    pub session: Duration,
    /// The maximum time for finishing requests after shutdown begins. Default: 30 s.
    pub drain: Duration,
    /// The free space on the store's file system below which the server is not ready, unless it is read-only. Default: 64 MiB.
    pub free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            per_client: 256,
            memory: 64 * 1024 * 1024,
            transfers: 512,
            manifest_bytes: 4 * 1024 * 1024,
            manifest: Duration::from_mins(2),
            tags_per_push: 64,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            stall: Duration::from_mins(1),
            bytes_per_second: 4096,
            uploads: UploadLimits::default(),
            naming: Some(NamingLimits::default()),
            inbox: None,
            session: Duration::from_hours(7 * 24),
            drain: Duration::from_secs(30),
            free_bytes: 64 * 1024 * 1024,
        }
    }
}

/// The number of requests of one client that are refused without delay.
const REFUSED: u32 = 200;
/// The interval after which one more request is refused without delay.
const REFUSAL: Duration = Duration::from_millis(10);
/// The maximum number of requests that use the store concurrently.
const AT_ONCE: usize = 64;
/// The maximum number of concurrent reads of one client.
const LOOKS: usize = 4;
/// The maximum number of concurrent changes of one client, which wait for the disk.
const CHANGES: usize = 2;
/// The maximum number of waiting requests of one client.
const WAITING: usize = 1024;
/// The maximum number of clients with waiting requests.
const CALLERS: usize = 4096;
/// The time that the reads and changes of one client may take at once, also beside others.
const BURST: Duration = Duration::from_secs(2);
/// Then, and only beside others, they may take this part of the time of the processors.
const PARTS: u32 = 8;

/// The state that a request uses from its beginning to its end. [`Server::change`] replaces it for later requests; what is
/// behind an [`Arc`] is shared by all of them.
#[derive(Clone)]
struct App {
    store: Store,
    read_only: bool,
    authenticator: Arc<Authenticator>,
    limits: Limits,
    /// The queues for parsing, reading and changing, which limit the share of each client.
    parses: FairQueue<Party>,
    looks: FairQueue<Party>,
    changes: FairQueue<Party>,
    transfers: FairQueue<Party>,
    /// The activity of clients in the queues for parsing, reading and changing.
    activity: Arc<Activity<Party>>,
    observer: Option<Arc<dyn Observer>>,
    refusals: Arc<Refusals>,
    /// Clients whose refusals are delayed.
    refused_often: Arc<Rates>,
    gate: Option<Arc<dyn Gate>>,
    /// Where catalogs of callers that do not see all repositories go on.
    positions: Arc<Positions>,
    missing: Arc<Missing>,
    pulls: Arc<Pulls>,
    metrics: Metrics,
    /// Whether the metrics are served.
    is_measured: bool,
    access_log: Option<Arc<dyn AccessLog>>,
    request_ids: Arc<RequestIds>,
    readiness: Arc<Readiness>,
}

impl App {
    fn new(config: ServerConfig) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let parts = PARTS.div_ceil(u32::try_from(cores).unwrap_or(PARTS));
        let activity = Arc::new(Activity::new(Some(Budget { burst: BURST, parts })));
        let limits = |at_once, share| QueueLimits { at_once, share, waiting: WAITING, keys: CALLERS };
        let queue = |at_once, share| FairQueue::with(limits(at_once, share), Arc::clone(&activity));
        config.store.limit_uploads(config.limits.uploads);
        let is_measured = config.metrics.is_some();
        let metrics = config.metrics.unwrap_or_default();
        let counted =
            |observer| Arc::new(CountedObserver { observer, metrics: metrics.clone() }) as Arc<dyn Observer>;
        let observer = config.observer.map(counted);
        let gated = |gate| Arc::new(CountedGate { gate, metrics: metrics.clone() }) as Arc<dyn Gate>;
        let gate = config.gate.map(gated);
        let (most, per_client) = (config.limits.transfers, config.limits.per_client.div_ceil(2));
        let share = if per_client == 0 { most } else { per_client.min(most) };
        let transfers = FairQueue::new(limits(most, share));
        metrics.watch(&transfers);
        Self {
            store: config.store,
            read_only: config.read_only,
            authenticator: Arc::new(Authenticator::new(config.auth)),
            limits: config.limits,
            parses: queue(cores, (cores / 2).max(1)),
            looks: queue(AT_ONCE, LOOKS),
            changes: queue(AT_ONCE, CHANGES),
            transfers,
            activity,
            refusals: Arc::new(Refusals::new(observer.clone())),
            refused_often: Arc::new(Rates::new(REFUSED, REFUSAL)),
            observer,
            gate,
            missing: Arc::new(Missing::new()),
            pulls: Arc::default(),
            metrics,
            is_measured,
            access_log: config.access_log,
            request_ids: Arc::new(RequestIds::new()),
            positions: Arc::default(),
            readiness: Arc::default(),
        }
    }

    /// The metrics, if they are served.
    fn served_metrics(&self) -> Option<Metrics> {
        self.is_measured.then(|| self.metrics.clone())
    }

    /// Runs work with the store on the blocking pool; all access to the store that may wait goes through here.
    async fn run<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| Refusal::internal(&error))?
    }

    /// Runs work that reads the store, in the fair queue.
    async fn look<T, F>(&self, call: &Call, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        self.queued(&self.looks, call, work).await
    }

    /// Runs work that only computes, in the fair queue; one client can use at most half of the cores.
    async fn parse<T, F>(&self, call: &Call, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        self.queued(&self.parses, call, |_| work()).await
    }

    async fn queued<T, F>(&self, queue: &FairQueue<Party>, call: &Call, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        let parties = call.parties();
        let acquired = tokio::time::timeout(self.limits.stall, queue.acquire(&parties)).await;
        let ticket = acquired.ok().flatten().ok_or_else(Refusal::waiting)?;
        self.run(move |store| {
            let _ticket = ticket;
            work(store)
        })
        .await
    }

    /// Runs work that changes a repository, in the fair queue. The observer receives the change before the client gets a
    /// response.
    async fn change<F>(&self, call: &Call, work: F) -> Result<Changed, Refusal>
    where
        F: FnOnce(&Store) -> Result<Changed, Refusal> + Send + 'static,
    {
        let observer = self.observer.clone();
        self.queued(&self.changes, call, move |store| {
            let change = work(store)?;
            if let Some(observer) = observer {
                observer.changed(&change).map_err(|error| Refusal::unrecorded(&*error))?;
            }
            Ok(change)
        })
        .await
    }

    /// Reports a refused change to the observer. The client is refused even if this fails.
    async fn report_refused(&self, attempt: Refused) {
        let refusals = Arc::clone(&self.refusals);
        let Some(attempt) = refusals.take(attempt, Instant::now()) else { return };
        // A failure is already in the program's own log.
        let _ = tokio::task::spawn_blocking(move || refusals.report(&attempt)).await;
    }
}

/// The server without a socket.
pub fn router(config: ServerConfig) -> Router {
    Server::new(config).routes()
}
