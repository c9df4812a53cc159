//! Connections: accepts them, handles TLS, enforces limits, and lets requests finish at shutdown.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::certificates::{ClientAuthorities, ClientCertificate};
use super::guard::Guard;
use super::guard::address::Proxies;
use super::guard::connection::{Connection, End};
use super::guard::exchange::Guarded;
use super::guard::pace::Pace;
use super::guard::stream::Watched;
use super::lingering::Lingering;
use super::listener::{Listener, Stream};
use super::sendfile::Socket;
use crate::Error;

/// The size of HTTP/1's read and write buffers per connection.
const BUFFER: usize = 64 * 1024;

/// The interval of pings on an idle HTTP/2 connection.
const PING: Duration = Duration::from_secs(30);

/// A listener and the limits for its clients. Every listener of the program uses this type, so that none is without limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// The maximum number of open connections. Above it, idle connections are closed first.
    pub connections: usize,
    /// The maximum number of open connections of one client; 0 is unlimited. Trusted proxies are not limited.
    pub per_client: usize,
    /// The maximum number of concurrent requests of one client, also behind a trusted proxy; 0 is unlimited.
    pub requests: usize,
    /// The maximum number of concurrent requests on one HTTP/2 connection.
    pub streams: u32,
    /// The number of bytes that a client can send on one HTTP/2 connection before they are read; half of it on one stream.
    pub window: u32,
    /// The maximum time for a TLS handshake.
    pub handshake: Duration,
    /// The maximum time for receiving a request's headers.
    pub headers: Duration,
    /// The maximum idle time of a connection between requests.
    pub idle: Duration,
    /// The minimum pace of a client that sends or receives.
    pub pace: Pace,
    /// The maximum memory for bodies of all clients, in bytes; one client can use half.
    pub memory: usize,
    /// The paths of health checks, which are answered even if the client has reached its limits.
    pub probes: &'static [&'static str],
    /// The maximum time for finishing requests after shutdown begins.
    pub drain: Duration,
}

impl Sockets {
    /// Serves `router` until `shutdown` completes; then accepts no more connections and lets current requests finish. With
    /// `tls`, HTTP/2 is offered, too. Each request has its [`Client`](super::Client) and the listener's
    /// [`Memory`](super::Memory) as extensions.
    ///
    /// # Errors
    /// [`Error::Accept`] when the listener fails permanently.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        proxies: Proxies,
        router: Router,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let guard = Guard::new(self, proxies, None);
        self.serve_all(vec![Listener::tcp(listener, tls)], &guard, router, shutdown).await
    }

    /// As [`Self::serve`], on several listeners that share a guard.
    pub(super) async fn serve_all(
        self,
        listeners: Vec<Listener>,
        guard: &Arc<Guard>,
        router: Router,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let builder = Arc::new(self.builder());
        let accepting = listeners.iter().map(|listener| self.accept(listener, &builder, guard, &router));
        tokio::select! {
            failed = futures::future::try_join_all(accepting) => return failed.map(drop),
            () = guard.patrol() => {}
            () = shutdown => {}
        }
        drop(listeners);
        tokio::select! {
            () = guard.patrol() => {}
            closed = tokio::time::timeout(self.drain, guard.close()) => if closed.is_err() {
                tracing::warn!("requests were cut off because they did not end in time");
                guard.cut();
            }
        }
        Ok(())
    }

    /// Accepts clients until the listener fails permanently.
    async fn accept(
        self,
        listener: &Listener,
        builder: &Arc<Builder<TokioExecutor>>,
        guard: &Arc<Guard>,
        router: &Router,
    ) -> Result<(), Error> {
        let acceptor = listener.tls().map(|tls| (acceptor(tls), listener.clients()));
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    handle_accept_error(error, guard).await?;
                    continue;
                }
            };
            let (acceptor, builder, guard) = (acceptor.clone(), Arc::clone(builder), Arc::clone(guard));
            let (slot, router) = (guard.admit(peer), router.clone());
            tokio::spawn(async move {
                let service = Guarded::new(guard, Arc::clone(&slot.connection), router);
                match stream {
                    Stream::Tcp(stream) => {
                        self.handle(stream, acceptor, &builder, service, &slot.connection).await;
                    }
                    Stream::Unix(stream) => serve_stream(stream, &builder, service, &slot.connection).await,
                }
                drop(slot);
            });
        }
    }

    fn builder(self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.idle).max_buf_size(BUFFER);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.streams)
            .initial_stream_window_size(self.window / 2)
            .initial_connection_window_size(self.window)
            .max_send_buf_size(BUFFER)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING);
        builder
    }

    async fn handle(
        self,
        stream: TcpStream,
        acceptor: Option<(TlsAcceptor, Option<Arc<ClientAuthorities>>)>,
        builder: &Builder<TokioExecutor>,
        service: Guarded,
        connection: &Arc<Connection>,
    ) {
        // Without this, small responses wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let Some((acceptor, clients)) = acceptor else {
            let socket = Socket::new(stream);
            let service = service.sending_files(socket.queue().clone());
            return serve_stream(socket, builder, service, connection).await;
        };
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(self.handshake, acceptor.accept(stream)) => handshake,
            _ = connection.end_requested(None) => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates();
                let certificate =
                    clients.zip(chain).and_then(|(clients, chain)| ClientCertificate::of(chain, &clients));
                if let Some(certificate) = certificate {
                    connection.identified_by(certificate);
                }
                serve_stream(stream, builder, service, connection).await;
            }
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

/// Handles a failed accept. A failure of one client does not affect the server, and a lack of file descriptors is temporary.
async fn handle_accept_error(error: io::Error, guard: &Guard) -> Result<(), Error> {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset => Ok(()),
        InvalidInput => Err(Error::Accept(error)),
        _ => {
            tracing::warn!(%error, "cannot accept a connection");
            guard.make_room();
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        }
    }
}

async fn serve_stream<T>(
    stream: T,
    builder: &Builder<TokioExecutor>,
    service: Guarded,
    connection: &Arc<Connection>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Watched::new(Lingering::new(stream), Arc::clone(connection));
    let conversation = builder.serve_connection(TokioIo::new(stream), service);
    let mut conversation = std::pin::pin!(conversation);
    let mut known = None;
    loop {
        tokio::select! {
            ended = conversation.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended early");
                }
                return;
            }
            end = connection.end_requested(known) => match end {
                End::Gently => {
                    known = Some(End::Gently);
                    conversation.as_mut().graceful_shutdown();
                }
                End::Now => {
                    tracing::debug!(peer = ?connection.peer().address, "a connection was closed by the guard");
                    return;
                }
            }
        }
    }
}
