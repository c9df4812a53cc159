//! Sockets: connections accepted within a bound, TLS, and a graceful end.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::{Registry, ServerConfig};
use crate::Error;

/// How long a client may take for a TLS handshake, or for the head of a request.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until `shutdown` is ready, then lets open requests end.
///
/// # Errors
/// [`Error::Accept`] when the socket fails for good.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let limits = config.limits;
    let registry = Arc::new(Registry::new(config));
    let places = Arc::new(Semaphore::new(limits.connections));
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(error) => return Err(Error::Accept(error)),
            },
            () = &mut shutdown => break,
        };
        let (registry, acceptor, watcher) = (Arc::clone(&registry), acceptor.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            // Small answers must not wait for the client's acknowledgement.
            let _ = stream.set_nodelay(true);
            if let Err(error) = connection(stream, acceptor, registry, watcher).await {
                tracing::debug!(error = error.to_string(), "a connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain time");
    }
    Ok(())
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Watcher = hyper_util::server::graceful::Watcher;

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    registry: Arc<Registry>,
    watcher: Watcher,
) -> Result<(), Failure> {
    match acceptor {
        Some(acceptor) => {
            let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            requests(stream, registry, watcher).await
        }
        None => requests(stream, registry, watcher).await,
    }
}

async fn requests<S>(stream: S, registry: Arc<Registry>, watcher: Watcher) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let registry = Arc::clone(&registry);
        async move { Ok::<_, Infallible>(registry.handle(request.map(Body::new)).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    watcher.watch(connection).await
}

/// Errors of one connection, or of too many at once, that do not end the server.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    // EMFILE and ENFILE have no kind.
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
        || matches!(error.raw_os_error(), Some(23 | 24))
}
