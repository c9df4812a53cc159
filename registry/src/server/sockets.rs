//! Connections: accepting them, TLS, bounds on what they hold, and an end that lets requests finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::connection::Lingering;
use crate::Error;

/// HTTP/1's read and write buffers per connection.
const BUFFER: usize = 64 * 1024;

/// HTTP/2's receive window per stream and per connection.
const WINDOW: u32 = 1024 * 1024;

/// How often a quiet HTTP/2 connection is asked whether it lives.
const PING: Duration = Duration::from_secs(30);

type Service = TowerToHyperService<Router>;

/// What the connections of one server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Open connections; more wait in the system's queue.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's headers may take, and how long an HTTP/1 connection may idle between requests.
    pub headers: Duration,
    /// How long requests may go on after the server was told to end.
    pub drain: Duration,
}

impl Sockets {
    /// Serves what `service` makes for a client's address until `shutdown` completes; then accepts nobody and lets
    /// requests under way end. With `tls`, HTTP/2 is offered too.
    ///
    /// # Errors
    /// [`Error::Accept`] when the listener fails for good.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        service: impl Fn(SocketAddr) -> Router,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let acceptor = tls.map(acceptor);
        let builder = Arc::new(self.builder());
        let connections = Arc::new(Semaphore::new(self.connections));
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
            let service = TowerToHyperService::new(service(peer));
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let _permit = permit;
                self.welcome(stream, acceptor, &builder, service, watcher).await;
            });
        }
        drop(listener);
        if tokio::time::timeout(self.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were cut off because they did not end in time");
        }
        Ok(())
    }

    fn builder(self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.headers).max_buf_size(BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.streams)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        builder
    }

    async fn welcome(
        self,
        stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
        builder: &Builder<TokioExecutor>,
        service: Service,
        watcher: Watcher,
    ) {
        // Without it small answers wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return converse(stream, builder, service, watcher).await };
        match tokio::time::timeout(self.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, builder, service, watcher).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
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

async fn converse<T>(stream: T, builder: &Builder<TokioExecutor>, service: Service, watcher: Watcher)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = builder.serve_connection(TokioIo::new(Lingering::new(stream)), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(error, "a connection ended early");
    }
}
