//! The webhooks' listener: TLS with a certificate that may change at any time, and a graceful shutdown.

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

use super::certificate::IssuedCertificate;
use crate::error::{Error, Result};

/// An API server keeps few connections and sends many requests on each. The memory that clients can occupy is at most
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
/// How long new requests arrive after the pod was asked to stop: until all API servers have removed its endpoint.
const LINGER: Duration = Duration::from_secs(3);

/// Resolves to the certificate that is served now.
#[derive(Clone, Default)]
pub(super) struct CertificateResolver(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateResolver")
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CertificateResolver {
    /// Serves another certificate from the next handshake on.
    pub(super) fn set(&self, pair: &IssuedCertificate) -> std::result::Result<(), String> {
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

/// Serves until some time after `stop`, and then completes pending requests.
pub(super) async fn serve(
    address: SocketAddr,
    resolver: CertificateResolver,
    router: Router,
    stop: BoxFuture<'static, ()>,
) -> Result<()> {
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    tracing::info!(address = %listener.local_addr().map_err(listen)?, "serving webhooks");
    let stop = async move {
        stop.await;
        tokio::time::sleep(LINGER).await;
    };
    let tls = Some(Arc::new(config(resolver)?));
    Ok(SOCKETS.serve(listener, tls, Proxies::default(), router, stop).await?)
}

fn config(resolver: CertificateResolver) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    Ok(config)
}

#[cfg(test)]
mod tests;
