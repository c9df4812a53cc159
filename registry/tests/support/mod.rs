//! A small HTTP client for the tests, on hyper: no proxy, no redirects, no retries.
#![allow(clippy::allow_attributes, dead_code, reason = "each test uses a part of it")]

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures::future::{BoxFuture, Ready, ready};
use futures::stream::{BoxStream, StreamExt as _};
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::{self};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower_service::Service;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;
type Outgoing = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;
type Connector = HttpsConnector<HttpConnector<Loopback>>;

/// Every name is 127.0.0.1.
#[derive(Clone)]
pub(crate) struct Loopback;

impl Service<Name> for Loopback {
    type Response = std::option::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(Some(SocketAddr::from(([127, 0, 0, 1], 0))).into_iter()))
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<Connector, Outgoing>,
    limit: Duration,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::with(None, None, None)
    }

    /// Connects from this address.
    pub(crate) fn from(address: IpAddr) -> Self {
        Self::with(Some(address), None, None)
    }

    /// Accepts this certificate alone.
    pub(crate) fn trusting(root: CertificateDer<'static>) -> Self {
        Self::with(None, Some(root), None)
    }

    /// Connects from this address, accepts this certificate alone, and shows its own.
    pub(crate) fn with(
        from: Option<IpAddr>,
        root: Option<CertificateDer<'static>>,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Self {
        // A second installation fails and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut tcp = HttpConnector::new_with_resolver(Loopback);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_local_address(from);
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(root);
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots);
        let tls = match own {
            Some((certificate, key)) => tls.with_client_auth_cert(vec![certificate], key).expect("not a key"),
            None => tls.with_no_client_auth(),
        };
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = builder.enable_all_versions().wrap_connector(tcp);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { http, limit: Duration::from_mins(1) }
    }

    pub(crate) fn request(&self, method: Method, url: impl AsRef<str>) -> Request {
        let mut request = http::Request::new(Either::Left(Full::default()));
        *request.method_mut() = method;
        *request.uri_mut() = url.as_ref().parse::<Uri>().expect("not a URL");
        Request { client: self.clone(), request }
    }

    pub(crate) fn get(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::GET, url)
    }

    pub(crate) fn head(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::HEAD, url)
    }

    pub(crate) fn put(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::PUT, url)
    }

    pub(crate) fn post(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::POST, url)
    }

    pub(crate) fn patch(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::PATCH, url)
    }

    pub(crate) fn delete(&self, url: impl AsRef<str>) -> Request {
        self.request(Method::DELETE, url)
    }
}

pub(crate) struct Request {
    client: Client,
    request: http::Request<Outgoing>,
}

impl Request {
    pub(crate) fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let name: HeaderName = name.as_ref().parse().expect("not a header");
        let value: HeaderValue = value.as_ref().parse().expect("not a value");
        self.request.headers_mut().append(name, value);
        self
    }

    pub(crate) fn basic_auth(self, user: impl AsRef<str>, password: Option<&str>) -> Self {
        let password = password.unwrap_or_default();
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", user.as_ref()));
        self.header(AUTHORIZATION.as_str(), format!("Basic {pair}"))
    }

    pub(crate) fn bearer_auth(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into().0;
        self
    }

    /// Sends it and waits for the head of the answer, a minute at most.
    pub(crate) fn send(self) -> BoxFuture<'static, Result<Response, BoxError>> {
        Box::pin(async move {
            let answer = self.client.http.request(self.request);
            Ok(Response(tokio::time::timeout(self.client.limit, answer).await??))
        })
    }
}

pub(crate) struct Body(Outgoing);

impl Body {
    /// Of unknown length, in pieces.
    pub(crate) fn stream(pieces: Vec<Vec<u8>>) -> Self {
        let pieces = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece))));
        Self(Either::Right(StreamBody::new(futures::stream::iter(pieces).boxed())))
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self(Either::Left(Full::new(bytes.into())))
    }
}

#[derive(Debug)]
pub(crate) struct Response(http::Response<Incoming>);

impl Response {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn version(&self) -> Version {
        self.0.version()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    pub(crate) async fn bytes(self) -> Result<Bytes, BoxError> {
        Ok(self.0.into_body().collect().await?.to_bytes())
    }

    pub(crate) async fn text(self) -> Result<String, BoxError> {
        Ok(String::from_utf8(self.bytes().await?.to_vec())?)
    }
}
