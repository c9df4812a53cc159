//! `/healthz`, `/readyz` and `/metrics`, without TLS.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use registry::server::{Pace, Proxies, Sockets};
use tokio::net::TcpListener;

use crate::{Error, Result, Telemetry};

/// The media type of the output of `encode`.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Probes and scrapes are few and short.
const SOCKETS: Sockets = Sockets {
    connections: 64,
    per_client: 16,
    requests: 32,
    streams: 8,
    window: 64 * 1024,
    handshake: Duration::ZERO,
    headers: Duration::from_secs(5),
    idle: Duration::from_mins(2),
    pace: Pace { patience: Duration::from_secs(10), bytes_per_second: 4096 },
    memory: 1 << 20,
    probes: &["/healthz", "/readyz"],
    drain: Duration::ZERO,
};

/// Opens the socket for [`serve_on`].
///
/// # Errors
/// If the address cannot be bound.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves until the future is dropped.
///
/// # Errors
/// If the address cannot be bound, or if its socket fails.
pub async fn serve(telemetry: Telemetry, address: SocketAddr) -> Result<()> {
    let listener = listen(address).await?;
    let bound = listener.local_addr().map_err(|source| Error::Listen { address, source })?;
    tracing::info!(address = %bound, "serving health and metrics");
    serve_on(listener, telemetry).await
}

/// Serves on an open socket until the future is dropped.
///
/// # Errors
/// If the socket fails.
pub async fn serve_on(listener: TcpListener, telemetry: Telemetry) -> Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(telemetry);
    Ok(SOCKETS.serve(listener, None, Proxies::default(), router, std::future::pending()).await?)
}

async fn ready(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    let unready = telemetry.unready();
    if unready.is_empty() {
        return (StatusCode::OK, "ok".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", unready.join(", ")))
}

async fn metrics(State(telemetry): State<Telemetry>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], telemetry.text())
}
