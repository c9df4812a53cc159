//! Serves the registry on its socket, and removes abandoned uploads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use store::Store;
use tokio::net::TcpListener;

use super::guard::pace::Pace;
use super::listener::Listener;
use super::refusal_reports::Refusals;
use super::running::Server;
use super::sockets::Sockets;
use super::{Limits, ServerConfig};
use crate::Error;

/// The maximum number of streams on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// The receive window of HTTP/2: large enough for a fast network, and small enough for many clients.
const WINDOW: u32 = 512 * 1024;

/// The interval of the search for old upload sessions.
const UPKEEP: Duration = Duration::from_hours(1);

/// The interval of the reports of counted refusals.
const REPORTS: Duration = Duration::from_secs(5);

/// The paths of health checks, which are answered even if the client has reached its limits.
const PROBES: &[&str] = &["/livez", "/readyz"];

/// Serves `listener` until `shutdown` completes; then accepts no more requests and lets current ones finish within
/// [`Limits::drain`]. With `tls`, HTTP/2 is offered, too.
///
/// # Errors
/// When the listener fails permanently.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    Server::new(config).serve(vec![Listener::tcp(listener, tls)], shutdown).await
}

impl Limits {
    pub(super) fn pace(&self) -> Pace {
        Pace { patience: self.stall, bytes_per_second: self.bytes_per_second }
    }

    pub(super) fn sockets(&self) -> Sockets {
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

/// Periodically reports the counted refusals.
pub(super) async fn report_refusals(refusals: Arc<Refusals>) {
    let mut rounds = tokio::time::interval(REPORTS);
    loop {
        rounds.tick().await;
        let refusals = Arc::clone(&refusals);
        let _ = tokio::task::spawn_blocking(move || refusals.report_due()).await;
    }
}

/// Removes abandoned upload sessions, now and every hour.
pub(super) async fn expire_uploads(store: Store, age: Duration) {
    let mut hourly = tokio::time::interval(UPKEEP);
    loop {
        hourly.tick().await;
        let store = store.clone();
        let expire = move || SystemTime::now().checked_sub(age).map(|since| store.expire_uploads(since));
        match tokio::task::spawn_blocking(expire).await {
            Ok(Some(Ok(0)) | None) => {}
            Ok(Some(Ok(count))) => tracing::info!(count, "removed abandoned upload sessions"),
            Ok(Some(Err(error))) => tracing::warn!(%error, "cannot remove old upload sessions"),
            Err(error) => tracing::warn!(%error, "the removal of old upload sessions ended unexpectedly"),
        }
    }
}
