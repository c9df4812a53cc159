//! The registry on its socket, and the upkeep of uploads beside it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use store::Store;
use tokio::net::TcpListener;

use super::guard::pace::Pace;
use super::refusals::Refusals;
use super::sockets::Sockets;
use super::{App, Limits, ServerConfig, routes};
use crate::Error;

/// Streams on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// HTTP/2's receive window: enough for a fast network, and little enough for many clients.
const WINDOW: u32 = 512 * 1024;

/// How often old upload sessions are looked for.
const UPKEEP: Duration = Duration::from_hours(1);

/// How often refusals that were counted are told.
const TELLING: Duration = Duration::from_secs(5);

/// What is answered whatever else a client has open.
const PROBES: &[&str] = &["/livez", "/readyz"];

/// Serves `listener` until `shutdown` completes; then takes no more requests and lets those under way end
/// within [`Limits::drain`]. With `tls`, HTTP/2 is offered too.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let sockets = config.limits.sockets();
    let proxies = config.proxies.clone();
    let upkeep = tokio::spawn(expire_uploads(config.store.clone(), config.limits.session));
    let app = Arc::new(App::new(config));
    let telling = tokio::spawn(tell_refusals(Arc::clone(&app.refusals)));
    let served = sockets.serve(listener, tls, proxies, routes(&app), shutdown).await;
    upkeep.abort();
    telling.abort();
    let refusals = Arc::clone(&app.refusals);
    // What was counted since is told at the end, too.
    let _ = tokio::task::spawn_blocking(move || refusals.tell_all()).await;
    served
}

impl Limits {
    pub(super) fn pace(&self) -> Pace {
        Pace { patience: self.stall, bytes_per_second: self.bytes_per_second }
    }

    fn sockets(&self) -> Sockets {
        let Self { connections, per_client, handshake, headers, idle, memory, drain, .. } = *self;
        Sockets {
            connections,
            per_client,
            requests: per_client * 2,
            streams: STREAMS,
            window: WINDOW,
            handshake,
            headers,
            idle,
            pace: self.pace(),
            memory,
            probes: PROBES,
            drain,
        }
    }
}

/// Tells from time to time how many refusals were not told one by one.
async fn tell_refusals(refusals: Arc<Refusals>) {
    let mut rounds = tokio::time::interval(TELLING);
    loop {
        rounds.tick().await;
        let refusals = Arc::clone(&refusals);
        let _ = tokio::task::spawn_blocking(move || refusals.tell_due()).await;
    }
}

/// Removes upload sessions that were given up, now and every hour.
async fn expire_uploads(store: Store, age: Duration) {
    let mut hourly = tokio::time::interval(UPKEEP);
    loop {
        hourly.tick().await;
        let store = store.clone();
        let expire = move || SystemTime::now().checked_sub(age).map(|since| store.expire_uploads(since));
        match tokio::task::spawn_blocking(expire).await {
            Ok(Some(Ok(0)) | None) => {}
            Ok(Some(Ok(count))) => tracing::info!(count, "removed upload sessions that were given up"),
            Ok(Some(Err(error))) => tracing::warn!(%error, "cannot remove old upload sessions"),
            Err(error) => tracing::warn!(%error, "the removal of old upload sessions broke off"),
        }
    }
}
