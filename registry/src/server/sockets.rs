//! Connections: accepting them, TLS, bounds on what they hold, and an end that lets requests finish.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::guard::Guard;
use super::guard::address::Proxies;
use super::guard::connection::{Connection, End};
use super::guard::exchange::Guarded;
use super::guard::pace::Pace;
use super::guard::stream::Watched;
use super::lingering::Lingering;
use crate::Error;

/// HTTP/1's read and write buffers per connection.
const BUFFER: usize = 64 * 1024;

/// How often a quiet HTTP/2 connection is asked whether it lives.
const PING: Duration = Duration::from_secs(30);

/// A listener, and what its clients may take. Every listener of the program is one, so that none is without bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    /// Open connections. With more, those that do nothing end first.
    pub connections: usize,
    /// Open connections of one client; 0 is no bound. Trusted proxies have none.
    pub per_client: usize,
    /// Requests at once of one client, also behind a trusted proxy; 0 is no bound.
    pub requests: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Bytes that a client can send on one HTTP/2 connection before they are read; half of it on one stream.
    pub window: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a request's headers may take.
    pub headers: Duration,
    /// How long a connection may idle between requests.
    pub idle: Duration,
    /// How slowly a client may send or take.
    pub pace: Pace,
    /// Bytes of bodies that are held in memory, of all clients; one client has half.
    pub memory: usize,
    /// Paths of health checks, which are answered also where a client has too much open.
    pub probes: &'static [&'static str],
    /// How long requests may go on after the server was told to end.
    pub drain: Duration,
}

impl Sockets {
    /// Serves `router` until `shutdown` completes; then accepts nobody and lets requests under way end. With `tls`,
    /// HTTP/2 is offered too. Each request has its [`Client`](super::Client) and the listener's
    /// [`Memory`](super::Memory) among its extensions.
    ///
    /// # Errors
    /// [`Error::Accept`] when the listener fails for good.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Arc<rustls::ServerConfig>>,
        proxies: Proxies,
        router: Router,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let guard = Guard::new(self, proxies, tls.is_some());
        let acceptor = tls.map(acceptor);
        let builder = Arc::new(self.builder());
        let accepting = async {
            loop {
                let (stream, peer) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        rest_after(error, &guard).await?;
                        continue;
                    }
                };
                let (acceptor, builder, guard) = (acceptor.clone(), Arc::clone(&builder), Arc::clone(&guard));
                let (place, router) = (guard.admit(peer), router.clone());
                tokio::spawn(async move {
                    let service = Guarded::new(guard, Arc::clone(&place.connection), router);
                    self.welcome(stream, acceptor, &builder, service, &place.connection).await;
                    drop(place);
                });
            }
        };
        tokio::select! {
            failed = accepting => return failed,
            () = guard.patrol() => {}
            () = shutdown => {}
        }
        drop(listener);
        tokio::select! {
            () = guard.patrol() => {}
            closed = tokio::time::timeout(self.drain, guard.close()) => if closed.is_err() {
                tracing::warn!("requests were cut off because they did not end in time");
                guard.cut();
            }
        }
        Ok(())
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

    async fn welcome(
        self,
        stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
        builder: &Builder<TokioExecutor>,
        service: Guarded,
        connection: &Arc<Connection>,
    ) {
        // Without it small answers wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return converse(stream, builder, service, connection).await };
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(self.handshake, acceptor.accept(stream)) => handshake,
            _ = connection.told_to_end(None) => return,
        };
        match handshake {
            Ok(Ok(stream)) => converse(stream, builder, service, connection).await,
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

/// One client's failure is not the server's; running out of descriptors passes when somebody gives one back.
async fn rest_after(error: io::Error, guard: &Guard) -> Result<(), Error> {
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

async fn converse<T>(
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
    let mut told = None;
    loop {
        tokio::select! {
            ended = conversation.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "a connection ended early");
                }
                return;
            }
            end = connection.told_to_end(told) => match end {
                End::Gently => {
                    told = Some(End::Gently);
                    conversation.as_mut().graceful_shutdown();
                }
                End::Now => {
                    tracing::debug!(peer = %connection.peer(), "a connection was ended");
                    return;
                }
            }
        }
    }
}
