//! The distribution specification's server over a [`store::Store`].
//!
//! A request's path and method become an `Action`, the caller is checked against the right it needs, and only
//! then is its body touched. Blocking work (files, database, hashing) runs on the blocking pool, in pieces
//! that end: a stalled client holds buffers, never a thread.

mod answer;
mod auth;
mod blobs;
mod connection;
mod download;
mod gate;
mod handle;
mod intake;
mod listing;
mod manifests;
mod observe;
mod range;
mod refusal;
mod route;
mod serve;
mod sockets;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use store::{Store, UploadLimits};
use tokio::sync::Semaphore;

pub use auth::{Auth, Htpasswd};
pub use gate::{Gate, Pull, Push, Stop};
pub use observe::{Changed, Deed, Observer, Refused, Visitor};
pub use serve::serve;
pub use sockets::Sockets;

use auth::Authenticator;
use refusal::Refusal;

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
}

impl ServerConfig {
    /// A server for everybody with the usual limits.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let (auth, limits) = (Auth::Anonymous, Limits::default());
        Self { store, read_only: false, auth, limits, observer: None, gate: None }
    }
}

/// Bounds on what clients can make the server spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more wait in the system's queue. 2048.
    pub connections: usize,
    /// Blobs moving in or out at once, each with at most 1 MiB of buffers, less in a crowd; more wait for their turn. 512.
    pub transfers: usize,
    /// The largest manifest taken, in bytes. 4 MiB, the least that the specification asks for.
    pub manifest_bytes: usize,
    /// Tags in one manifest push. 64.
    pub tags_per_push: usize,
    /// How long a TLS handshake may take. 10 s.
    pub handshake: Duration,
    /// How long a request's headers may take, and how long a connection may idle between requests. 60 s.
    pub headers: Duration,
    /// How long a body may make no progress at all. 120 s.
    pub stall: Duration,
    /// What unfinished uploads may take: sessions and bytes, in a repository and in all.
    pub uploads: UploadLimits,
    /// How long an upload session is kept that gets nothing. 7 days.
    pub session: Duration,
    /// How long requests may go on after shutdown began. 30 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            transfers: 512,
            manifest_bytes: 4 * 1024 * 1024,
            tags_per_push: 64,
            handshake: Duration::from_secs(10),
            headers: Duration::from_mins(1),
            stall: Duration::from_mins(2),
            uploads: UploadLimits::default(),
            session: Duration::from_hours(7 * 24),
            drain: Duration::from_secs(30),
        }
    }
}

/// What every request shares.
struct App {
    store: Store,
    read_only: bool,
    authenticator: Authenticator,
    limits: Limits,
    transfers: Arc<Semaphore>,
    observer: Option<Arc<dyn Observer>>,
    gate: Option<Arc<dyn Gate>>,
}

impl App {
    /// The one way into the store: on the blocking pool.
    async fn run<T, F>(&self, work: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| Refusal::internal(&error))?
    }

    /// Work that changes a repository: the observer is told before the client is.
    async fn change<F>(&self, work: F) -> Result<Changed, Refusal>
    where
        F: FnOnce(&Store) -> Result<Changed, Refusal> + Send + 'static,
    {
        let observer = self.observer.clone();
        self.run(move |store| {
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
        let Some(observer) = self.observer.clone() else { return };
        let told = tokio::task::spawn_blocking(move || {
            observer.refused(&attempt).map_err(|error| Refusal::internal(&*error))
        });
        // What went wrong is in the program's own log by now.
        let _ = told.await;
    }
}

/// The server without a socket.
pub fn router(config: ServerConfig) -> Router {
    config.store.limit_uploads(config.limits.uploads);
    let app = Arc::new(App {
        store: config.store,
        read_only: config.read_only,
        authenticator: Authenticator::new(config.auth),
        limits: config.limits,
        transfers: Arc::new(Semaphore::new(config.limits.transfers)),
        observer: config.observer,
        gate: config.gate,
    });
    Router::new().fallback(move |request: Request| handle::handle(Arc::clone(&app), request))
}
