//! Sockets: accepting, TLS, limits, and a shutdown that lets requests end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use store::Store;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::connection::Lingering;
use super::{Limits, ServerConfig, router};
use crate::Error;

/// HTTP/1's read and write buffers per connection.
const BUFFER: usize = 64 * 1024;

/// Streams on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// HTTP/2's receive window per stream and per connection.
const WINDOW: u32 = 1024 * 1024;

/// How often a quiet HTTP/2 connection is asked whether it lives.
const PING: Duration = Duration::from_secs(30);

/// How often old upload sessions are looked for.
const UPKEEP: Duration = Duration::from_hours(1);

type Service = TowerToHyperService<axum::Router>;

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
    let limits = config.limits;
    let acceptor = tls.map(acceptor);
    let upkeep = tokio::spawn(expire_uploads(config.store.clone(), limits.session));
    let router = router(config);
    let builder = Arc::new(builder(limits));
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                rest_after(error).await?;
                continue;
            }
        };
        let (acceptor, builder) = (acceptor.clone(), Arc::clone(&builder));
        let service = TowerToHyperService::new(router.clone().layer(axum::Extension(Peer(peer))));
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _permit = permit;
            welcome(stream, acceptor, &builder, service, watcher, limits).await;
        });
    }
    drop(listener);
    upkeep.abort();
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off because they did not end in time");
    }
    Ok(())
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

fn acceptor(tls: Arc<rustls::ServerConfig>) -> TlsAcceptor {
    if !tls.alpn_protocols.is_empty() {
        return TlsAcceptor::from(tls);
    }
    let mut tls = Arc::unwrap_or_clone(tls);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(tls))
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}

/// One client's failure is not the server's; running out of descriptors passes.
async fn rest_after(error: io::Error) -> Result<(), Error> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset => Ok(()),
        InvalidInput => Err(Error::Accept(error)),
        _ => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        }
    }
}

async fn welcome(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    builder: &Builder<TokioExecutor>,
    service: Service,
    watcher: Watcher,
    limits: Limits,
) {
    // Without it small answers wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return converse(stream, builder, service, watcher).await };
    match tokio::time::timeout(limits.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, builder, service, watcher).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn converse<T>(stream: T, builder: &Builder<TokioExecutor>, service: Service, watcher: Watcher)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = builder.serve_connection(TokioIo::new(Lingering::new(stream)), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error, "a connection ended early");
    }
}
