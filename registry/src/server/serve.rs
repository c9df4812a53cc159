//! The registry on its socket, and the upkeep of uploads beside it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use store::Store;
use tokio::net::TcpListener;

use super::sockets::Sockets;
use super::{Limits, ServerConfig, router};
use crate::Error;

/// Streams on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// How often old upload sessions are looked for.
const UPKEEP: Duration = Duration::from_hours(1);

/// From where a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

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
    let Limits { connections, handshake, headers, drain, session, .. } = config.limits;
    let sockets = Sockets { connections, streams: STREAMS, handshake, headers, drain };
    let upkeep = tokio::spawn(expire_uploads(config.store.clone(), session));
    let router = router(config);
    let service = |peer| router.clone().layer(axum::Extension(Peer(peer)));
    let served = sockets.serve(listener, tls, service, shutdown).await;
    upkeep.abort();
    served
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
