//! The webhooks' socket: TLS with a certificate that may change at any time, and an end that cuts nobody off.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use futures::future::BoxFuture;
use registry::server::{Pace, Proxies, Sockets};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpListener;

use super::certificate::Pair;
use crate::error::{Error, Result};

/// An API server keeps few connections and sends many requests on each. All that clients can make this hold fits into
/// half of the container's 256 MiB.
pub(super) const SOCKETS: Sockets = Sockets {
    connections: 256,
    per_client: 64,
    requests: 512,
    streams: 250,
    window: 128 * 1024,
    handshake: Duration::from_secs(5),
    headers: Duration::from_secs(5),
    idle: Duration::from_secs(90),
    pace: Pace { patience: Duration::from_secs(2), bytes_per_second: 64 * 1024 },
    memory: 64 << 20,
    probes: &[],
    drain: Duration::from_secs(8),
};
/// How long requests still come after the pod was told to end: until all API servers know its endpoint is gone.
const LINGER: Duration = Duration::from_secs(3);

/// The certificate that is served now.
#[derive(Clone, Default)]
pub(super) struct Served(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Served {
    /// Serves another, from the next handshake on.
    pub(super) fn set(&self, pair: &Pair) -> std::result::Result<(), String> {
        let chain =
            CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| error.to_string())?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| error.to_string())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(())
    }
}

/// Serves until some time after `stop`; then lets requests under way end.
pub(super) async fn serve(
    address: SocketAddr,
    served: Served,
    router: Router,
    stop: BoxFuture<'static, ()>,
) -> Result<()> {
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    tracing::info!(address = %listener.local_addr().map_err(listen)?, "webhooks are served");
    let stop = async move {
        stop.await;
        tokio::time::sleep(LINGER).await;
    };
    let tls = Some(Arc::new(config(served)?));
    Ok(SOCKETS.serve(listener, tls, Proxies::default(), router, stop).await?)
}

fn config(served: Served) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(served));
    Ok(config)
}

#[cfg(test)]
mod tests;
