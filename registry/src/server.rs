//! The distribution specification's server over a [`store::Store`].
//!
//! A request's path and method become an `Action`, the caller is checked against the right it needs, and only
//! then is its body touched. Blocking work (files, database, hashing) runs on the blocking pool, in pieces
//! that end: a stalled client holds buffers, never a thread.

mod answer;
mod auth;
mod blobs;
mod download;
mod gate;
mod guard;
mod handle;
mod intake;
mod lingering;
mod listing;
mod manifests;
mod observe;
mod range;
mod refusal;
mod refusals;
mod route;
mod serve;
mod sockets;
mod tokens;
mod uploads;

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use store::{NamingLimits, Store, UploadLimits};
use tokio::sync::Semaphore;

pub use auth::{Auth, Htpasswd};
pub use gate::{Gate, Pull, Push, Stop};
pub use guard::address::{Cidr, Client, Network, Proxies};
pub use guard::fair::{Fair, Turn};
pub use guard::memory::{Held, Memory, Unread};
pub use guard::pace::Pace;
pub use observe::{Changed, Observer, Operation, Refused, Repeats, Visitor};
pub use serve::serve;
pub use sockets::Sockets;

use auth::Authenticator;
use guard::rates::Rates;
use guard::shares::Shares;
use handle::Call;
use refusal::Refusal;
use refusals::Refusals;

/// What a server needs to know.
#[derive(Clone)]
pub struct ServerConfig {
    /// What it serves.
    pub store: Store,
    /// Whether every push and deletion is refused.
    pub read_only: bool,
    /// Who may use it.
    pub auth: Auth,
    /// What untrusted clients may take.
    pub limits: Limits,
    /// Who is told of changes before the client is.
    pub observer: Option<Arc<dyn Observer>>,
    /// Who decides about manifests; without, they all go through.
    pub gate: Option<Arc<dyn Gate>>,
    /// Whose word about a client's address counts.
    pub proxies: Proxies,
}

impl ServerConfig {
    /// A server for everybody with the usual limits.
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
        }
    }
}

/// Bounds on what clients can make the server spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. With more, those that do nothing end first. 2048.
    pub connections: usize,
    /// Open connections of one client, half of its requests at once, and twice its transfers; 0 is no bound. 256.
    pub per_client: usize,
    /// Bytes of manifests and listings that are held in memory, of all clients; one client has half. 64 MiB.
    pub memory: usize,
    /// Blobs moving in or out at once, each with at most 1 MiB of buffers, less in a crowd; more wait for their turn. 512.
    pub transfers: usize,
    /// The largest manifest taken, in bytes. 4 MiB, the least that the specification asks for.
    pub manifest_bytes: usize,
    /// How long the body of a manifest may take. 2 min.
    pub manifest: Duration,
    /// Tags in one manifest push. 64.
    pub tags_per_push: usize,
    /// How long a TLS handshake may take. 10 s.
    pub handshake: Duration,
    /// How long a request's headers may take. 10 s.
    pub headers: Duration,
    /// How long a connection may idle between requests. 60 s.
    pub idle: Duration,
    /// How long a client may keep the server waiting. 60 s.
    pub stall: Duration,
    /// Transfers that stay below this rate for longer than `stall` are given up. 4096.
    pub bytes_per_second: u64,
    /// What unfinished uploads may take: sessions and bytes, in a repository and in all.
    pub uploads: UploadLimits,
    /// How much of one user may refer to one manifest; none is no bound. 2000 manifests, 64 MiB.
    pub naming: Option<NamingLimits>,
    /// How long an upload session is kept that gets nothing. 7 days.
    pub session: Duration,
    /// How long requests may go on after shutdown began. 30 s.
    pub drain: Duration,
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
            session: Duration::from_hours(7 * 24),
            drain: Duration::from_secs(30),
        }
    }
}

/// So many requests of one client are refused without delay, and one more after so long.
const REFUSED: u32 = 200;
const REFUSAL: Duration = Duration::from_millis(10);
/// Requests that the store works for at once; of one client so many that look, and so many that change something, which
/// waits for the disk. So many more of theirs wait, and of so many clients.
const AT_ONCE: usize = 64;
const LOOKS: usize = 4;
const CHANGES: usize = 4;
const WAITING: usize = 1024;
const CALLERS: usize = 4096;

/// What every request shares.
struct App {
    store: Store,
    read_only: bool,
    authenticator: Authenticator,
    limits: Limits,
    /// Parsing, looking and changing: of those who ask for much, not all at once.
    parses: Fair<String>,
    looks: Fair<String>,
    changes: Fair<String>,
    transfers: Arc<Semaphore>,
    /// How many of the transfers each client may have.
    per_client: Shares,
    observer: Option<Arc<dyn Observer>>,
    refusals: Arc<Refusals>,
    /// Clients whose refusals are delayed.
    refused_often: Rates,
    gate: Option<Arc<dyn Gate>>,
}

impl App {
    fn new(config: ServerConfig) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        config.store.limit_uploads(config.limits.uploads);
        Self {
            store: config.store,
            read_only: config.read_only,
            authenticator: Authenticator::new(config.auth),
            limits: config.limits,
            parses: Fair::new((cores, (cores / 2).max(1)), WAITING, CALLERS),
            looks: Fair::new((AT_ONCE, LOOKS), WAITING, CALLERS),
            changes: Fair::new((AT_ONCE, CHANGES), WAITING, CALLERS),
            transfers: Arc::new(Semaphore::new(config.limits.transfers)),
            per_client: Shares::new(config.limits.per_client.div_ceil(2)),
            refusals: Arc::new(Refusals::new(config.observer.clone())),
            refused_often: Rates::new(REFUSED, REFUSAL),
            observer: config.observer,
            gate: config.gate,
        }
    }

    /// The one way into the store: on the blocking pool.
    async fn run<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| Refusal::internal(&error))?
    }

    /// The same in turn.
    async fn look<T, F>(&self, call: &Call, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        self.in_turn(&self.looks, call, work).await
    }

    /// The same for work that does nothing but compute: half of the processors are left for others.
    async fn parse<T, F>(&self, call: &Call, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Refusal> + Send + 'static,
    {
        self.in_turn(&self.parses, call, |_| work()).await
    }

    async fn in_turn<T, F>(&self, turns: &Fair<String>, call: &Call, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        let turn = turns.turn(&call.who()).await.ok_or_else(Refusal::waiting)?;
        self.run(move |store| {
            let _turn = turn;
            work(store)
        })
        .await
    }

    /// Work that changes a repository, in turn: the observer is told before the client is.
    async fn change<F>(&self, call: &Call, work: F) -> Result<Changed, Refusal>
    where
        F: FnOnce(&Store) -> Result<Changed, Refusal> + Send + 'static,
    {
        let observer = self.observer.clone();
        self.in_turn(&self.changes, call, move |store| {
            let change = work(store)?;
            if let Some(observer) = observer {
                observer.changed(&change).map_err(|error| Refusal::internal(&*error))?;
            }
            Ok(change)
        })
        .await
    }

    /// Tells the observer of a change that is not made. The client is refused whether that works or not.
    async fn tell_refused(&self, attempt: Refused) {
        let refusals = Arc::clone(&self.refusals);
        let Some(attempt) = refusals.take(attempt, Instant::now()) else { return };
        // What went wrong is in the program's own log by now.
        let _ = tokio::task::spawn_blocking(move || refusals.tell(&attempt)).await;
    }
}

/// The server without a socket.
pub fn router(config: ServerConfig) -> Router {
    routes(&Arc::new(App::new(config)))
}

fn routes(app: &Arc<App>) -> Router {
    let app = Arc::clone(app);
    Router::new().fallback(move |request: Request| handle::handle(Arc::clone(&app), request))
}
