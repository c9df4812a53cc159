//! Serves the registry on its socket, and removes abandoned uploads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use store::Store;
use tokio::net::TcpListener;

use super::guard::pace::Pace;
use super::metrics::measure;
use super::missing::write_missing;
use super::refusals::Refusals;
use super::sockets::Sockets;
use super::{App, Limits, ServerConfig, routes};
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
    let sockets = config.limits.sockets();
    let proxies = config.proxies.clone();
    let upkeep = tokio::spawn(expire_uploads(config.store.clone(), config.limits.session));
    let measured = config.metrics.clone().map(|metrics| tokio::spawn(measure(metrics, config.store.clone())));
    let app = Arc::new(App::new(config));
    let reports = tokio::spawn(report_refusals(Arc::clone(&app.refusals)));
    let writes = tokio::spawn(write_missing(Arc::clone(&app.missing), app.store.clone()));
    let served = sockets.serve(listener, tls, proxies, routes(&app), shutdown).await;
    upkeep.abort();
    reports.abort();
    writes.abort();
    if let Some(measured) = measured {
        measured.abort();
    }
    // Report and write the remaining counts.
    let rest = move || {
        app.refusals.report_all();
        app.missing.write(&app.store);
    };
    let _ = tokio::task::spawn_blocking(rest).await;
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

/// Periodically reports the counted refusals.
async fn report_refusals(refusals: Arc<Refusals>) {
    let mut rounds = tokio::time::interval(REPORTS);
    loop {
        rounds.tick().await;
        let refusals = Arc::clone(&refusals);
        let _ = tokio::task::spawn_blocking(move || refusals.report_due()).await;
    }
}

/// Removes abandoned upload sessions, now and every hour.
async fn expire_uploads(store: Store, age: Duration) {
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
