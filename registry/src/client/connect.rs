//! Connections: names looked up by the system's configuration, the proxies, and TLS.
//!
//! The C library's own resolver loads modules at run time, which a static program cannot do; hickory reads the same
//! `/etc/hosts` and `/etc/resolv.conf`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;
use url::{Position, Url};

use super::proxy::Proxies;
use super::wire::basic_of;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Tcp = HttpConnector<Resolver>;

/// How long a connection may be without traffic before the kernel asks whether the peer is alive.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connects to the origin of a URL within a time limit, TLS handshake and proxy included.
#[derive(Clone)]
pub(super) struct Connector {
    origin: HttpsConnector<Route>,
    limit: Duration,
}

impl Connector {
    /// Takes a TLS configuration without ALPN protocols.
    pub(super) fn new(tls: ClientConfig, proxies: Arc<Proxies>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::default());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // Shared by all addresses of a name, so that one that does not answer leaves time for the next.
        tcp.set_connect_timeout(Some(limit));
        let builder = |tls| HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        // CONNECT is of HTTP/1.1 here.
        let to_proxy = builder(tls.clone()).enable_http1().wrap_connector(tcp.clone());
        let route = Route { tcp, to_proxy, proxies };
        Self { origin: builder(tls).enable_all_versions().wrap_connector(route), limit }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let (connecting, limit) = (self.origin.call(origin), self.limit);
        Box::pin(async move {
            let late = |_| {
                let text = format!("no connection within {} seconds", limit.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
            };
            tokio::time::timeout(limit, connecting).await.unwrap_or_else(late)
        })
    }
}

/// Directly, or through the proxy of the URL.
#[derive(Clone)]
struct Route {
    tcp: Tcp,
    to_proxy: HttpsConnector<Tcp>,
    proxies: Arc<Proxies>,
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Stream, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        let mut route = self.clone();
        Box::pin(async move {
            let url = Url::parse(&origin.to_string())?;
            let Some(proxy) = route.proxies.of(&url) else {
                let io = route.tcp.call(origin).await?.into();
                return Ok(Stream { io, forwards: false });
            };
            let authority = &proxy[Position::BeforeHost..Position::AfterPort];
            let address: Uri = format!("{}://{authority}", proxy.scheme()).parse()?;
            if url.scheme() == "http" {
                return Ok(Stream { io: route.to_proxy.call(address).await?, forwards: true });
            }
            let mut tunnel = Tunnel::new(address, route.to_proxy.clone());
            if let Some(value) = basic_of(proxy) {
                tunnel = tunnel.with_auth(value);
            }
            Ok(Stream { io: tunnel.call(origin).await?, forwards: false })
        })
    }
}

/// A connection to a server, or to the proxy before it.
pub(super) struct Stream {
    io: MaybeHttpsStream<TokioIo<TcpStream>>,
    /// Whether the proxy forwards requests, so that they name the whole URL (RFC 9112, 3.2.2).
    forwards: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.forwards)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Looks names up. The system's configuration is read at the first one.
#[derive(Clone, Default)]
struct Resolver(Arc<OnceLock<TokioResolver>>);

impl Resolver {
    fn get(&self) -> Result<&TokioResolver, NetError> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            tracing::warn!(%error, "the system has no usable resolver configuration; only `/etc/hosts` is read");
            let nothing = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            TokioResolver::builder_with_config(nothing, TokioRuntimeProvider::default())
        });
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let made = builder.build()?;
        Ok(self.0.get_or_init(|| made))
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NetError;
    type Future = BoxFuture<'static, Result<Self::Response, NetError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NetError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.get()?.lookup_ip(name.as_str()).await?;
            // The connector puts the port in.
            let addresses: Vec<_> = found.iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(addresses.into_iter())
        })
    }
}
