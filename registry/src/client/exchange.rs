//! One request and its response, over HTTP/1.1 or HTTP/2 by hyper. Connections are shared.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use http::header::{ACCEPT, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use url::{Position, Url};

use super::connect::Connector;
use super::proxy::Proxies;

type Outgoing = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// All connections of a client.
pub(super) struct Exchange {
    client: legacy::Client<Connector, Outgoing>,
    proxies: Arc<Proxies>,
    idle: Duration,
}

/// What is sent.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// The content of a request.
#[derive(Default)]
pub(super) enum Body {
    #[default]
    Empty,
    Bytes(Bytes),
    /// A length that is known stands in `Content-Length`.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

/// What came back; its body is still on the way.
pub(super) struct Response(http::Response<Incoming>);

/// Why a request has no response.
#[derive(Debug)]
pub struct ExchangeError(Cause);

#[derive(Debug)]
enum Cause {
    Url(http::uri::InvalidUri),
    Client(legacy::Error),
    Idle(Duration),
}

impl Exchange {
    /// `idle` is how long a connection may take to be made, and a server to take or give the next bytes.
    pub(super) fn new(tls: rustls::ClientConfig, proxies: Arc<Proxies>, idle: Duration) -> Self {
        let connector = Connector::new(tls, Arc::clone(&proxies), idle);
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { client, proxies, idle }
    }

    /// Sends a request and waits for the head of the response.
    pub(super) fn execute(&self, request: Request) -> BoxFuture<'_, Result<Response, ExchangeError>> {
        // Boxed: it is large, and a part of every caller's future.
        Box::pin(self.exchange(request))
    }

    async fn exchange(&self, request: Request) -> Result<Response, ExchangeError> {
        let Request { method, url, headers, body } = request;
        let uri: Uri =
            url[..Position::AfterQuery].parse().map_err(|error| ExchangeError(Cause::Url(error)))?;
        let progress = Progress::default();
        let mut sent = http::Request::new(progress.watch(body));
        *sent.method_mut() = method;
        *sent.uri_mut() = uri;
        *sent.headers_mut() = headers;
        sent.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // Into a tunnel no credentials of the proxy go: `CONNECT` has them.
        if url.scheme() == "http"
            && let Some(value) = self.proxies.of(&url).and_then(super::wire::basic_of)
        {
            sent.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        match progress.until_idle(self.client.request(sent), self.idle).await {
            Ok(Ok(response)) => Ok(Response(response)),
            Ok(Err(error)) => Err(ExchangeError(Cause::Client(error))),
            Err(idle) => Err(ExchangeError(Cause::Idle(idle))),
        }
    }
}

/// When the last bytes of a request were taken.
#[derive(Clone)]
struct Progress(Arc<Mutex<Instant>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Progress {
    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same content, whose pieces count as progress when they are taken.
    fn watch(&self, body: Body) -> Outgoing {
        let stream = match body {
            Body::Empty => return Either::Left(Full::default()),
            Body::Bytes(bytes) => return Either::Left(Full::new(bytes)),
            Body::Stream(stream) => stream,
        };
        let progress = self.clone();
        let frames = stream.map_ok(Frame::data).inspect(move |_| {
            *progress.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        });
        Either::Right(StreamBody::new(frames.boxed()))
    }

    /// Waits as long as there is progress.
    async fn until_idle<F: Future>(&self, future: F, idle: Duration) -> Result<F::Output, Duration> {
        let mut future = pin!(future);
        loop {
            let seen = self.last();
            match tokio::time::timeout_at(seen + idle, future.as_mut()).await {
                Ok(output) => return Ok(output),
                Err(_) if self.last() > seen => {}
                Err(_) => return Err(idle),
            }
        }
    }
}

impl Response {
    pub(super) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The length that the server announced for the body that follows.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.0.body().size_hint().exact()
    }

    /// The body as it arrives.
    pub(super) fn pieces(self) -> BoxStream<'static, Result<Bytes, hyper::Error>> {
        self.0.into_body().into_data_stream().boxed()
    }
}

impl ExchangeError {
    /// Whether no connection was made, so that the server has seen nothing of the request.
    pub(super) fn is_connect(&self) -> bool {
        matches!(&self.0, Cause::Client(error) if error.is_connect())
    }

    /// Whether the request cannot be sent to any server.
    pub(super) fn is_malformed(&self) -> bool {
        matches!(self.0, Cause::Url(_))
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Url(_) => f.write_str("the URL cannot be requested"),
            Cause::Client(error) if error.is_connect() => f.write_str("cannot connect"),
            Cause::Client(_) => f.write_str("the connection failed"),
            Cause::Idle(idle) => write!(f, "no bytes for {} seconds", idle.as_secs()),
        }
    }
}

impl std::error::Error for ExchangeError {
    /// hyper's own text says no more than this error's.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Cause::Url(error) => Some(error),
            Cause::Client(error) => error.source(),
            Cause::Idle(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_is_taken_slowly_is_waited_for_and_one_that_is_not_taken_is_not() {
        let step = |number: u32| async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            Some((Ok(Bytes::from_static(b"x")), number + 1)).filter(|_| number < 5)
        };
        let progress = Progress::default();
        let body = progress.watch(Body::Stream(futures::stream::unfold(0, step).boxed()));
        let taken = progress.until_idle(body.collect(), Duration::from_secs(3)).await;
        let taken = taken.expect("it was given up").expect("there is no body");
        assert_eq!(taken.to_bytes().len(), 5);

        let (idle, stalled) = (Duration::from_millis(1), Progress::default());
        assert_eq!(stalled.until_idle(std::future::pending::<()>(), idle).await, Err(idle));
    }
}
