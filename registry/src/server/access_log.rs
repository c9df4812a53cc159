//! Records each request: in the metrics when its response begins, and in the access log when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;

use super::App;
use super::guard::address::Client;
use super::handle::handle;
use super::metrics::{self, Metrics};
use super::observe::Visitor;
use super::observed::{Observe, Observed, Read};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The maximum length of the ID of a request that a proxy sets.
const LONGEST_ID: usize = 128;
/// The maximum lengths of what clients choose.
const LONGEST_METHOD: usize = 16;
const LONGEST_TARGET: usize = 1024;
const LONGEST_AGENT: usize = 256;

/// A request whose response ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// When it began.
    pub time: SystemTime,
    /// The client.
    pub visitor: Visitor,
    /// The method. This and all other texts of the client are cut if they are long; they can contain any character.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// The version of HTTP.
    pub version: &'static str,
    /// The HTTP status of the response.
    pub status: u16,
    /// The number of bytes in the request's body.
    pub received: u64,
    /// The number of bytes in the response's body that were sent.
    pub sent: u64,
    /// Whether the response was sent completely.
    pub complete: bool,
    /// The time until the response ended.
    pub duration: Duration,
    /// The ID of the request, also in the response's `X-Request-Id`.
    pub request_id: String,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
}

/// Receives each request when its response ended.
pub trait AccessLog: Send + Sync {
    /// Takes a request. Must not block, because the connection waits for it.
    fn ended(&self, access: Access);
}

/// What is known about a request after it was handled.
pub(super) struct Handled {
    pub(super) route: &'static str,
    pub(super) visitor: Visitor,
}

/// Makes the IDs of requests: unique as long as no other process makes them.
pub(super) struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 8];
        let random = rustls::crypto::ring::default_provider().secure_random;
        // IDs need not be secret: without random bytes, only those of two processes can be equal.
        let _ = random.fill(&mut bytes);
        Self { process: format!("{:016x}", u64::from_be_bytes(bytes)), next: AtomicU64::new(1) }
    }

    /// The ID that a trusted proxy gave the request, or a new one.
    fn of(&self, client: Option<&Client>, headers: &HeaderMap) -> String {
        let proxied = client.is_some_and(|client| client.proxied);
        let given = headers.get(&REQUEST_ID).filter(|_| proxied).and_then(|id| id.to_str().ok());
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(&byte);
        match given.filter(|id| (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_good)) {
            Some(id) => id.to_owned(),
            None => format!("{}-{}", self.process, self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Handles a request and records it.
pub(super) async fn respond(app: Arc<App>, request: Request) -> Response {
    let recording = Recording::begin(&app, &request);
    let request = recording.count(request);
    let (response, handled) = handle(app, request).await;
    recording.answered(response, handled)
}

/// Records a request that is refused before it has a route.
pub(super) fn refused(app: &App, request: &Request<Incoming>, client: Client, refusal: Response) -> Response {
    let handled =
        Handled { route: metrics::route(None), visitor: Visitor { user: None, address: client.address } };
    Recording::begin(app, request).answered(refusal, handled)
}

/// A request that is recorded. If there are neither metrics nor an access log, it only has an ID.
struct Recording {
    begun: Instant,
    time: SystemTime,
    request_id: String,
    method: Method,
    metrics: Option<Metrics>,
    log: Option<(Arc<dyn AccessLog>, Asked)>,
    received: Arc<AtomicU64>,
}

impl Recording {
    fn begin<B>(app: &App, request: &Request<B>) -> Self {
        Self {
            begun: Instant::now(),
            time: SystemTime::now(),
            request_id: app.request_ids.of(request.extensions().get(), request.headers()),
            method: request.method().clone(),
            metrics: app.served_metrics(),
            log: app.access_log.clone().map(|log| (log, Asked::of(request))),
            received: Arc::default(),
        }
    }

    fn is_off(&self) -> bool {
        self.metrics.is_none() && self.log.is_none()
    }

    /// Counts the bytes of the request.
    fn count(&self, request: Request) -> Request {
        if self.is_off() {
            return request;
        }
        let received = Received(Arc::clone(&self.received));
        request.map(|body| Body::new(Observed { body, observer: received }))
    }

    /// Records the response when it begins, and when it ends.
    fn answered(self, mut response: Response, Handled { route, visitor }: Handled) -> Response {
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if self.is_off() {
            return response;
        }
        if let Some(metrics) = &self.metrics {
            metrics.responded(route, &self.method, response.status(), self.begun.elapsed());
        }
        let status = response.status().as_u16();
        let announced =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let Self { begun, time, request_id, metrics, log, received, .. } = self;
        response.map(|body| {
            // The body of a HEAD response is empty, whatever its headers announce.
            let whole = http_body::Body::size_hint(&body).exact().or(announced);
            let metrics = metrics.map(|metrics| (metrics.sent(route), metrics));
            let log = log.map(|(log, asked)| (log, asked.answered((time, visitor), status, request_id)));
            let observer = Answer { whole, bytes: 0, ended: false, begun, metrics, route, received, log };
            Body::new(Observed { body, observer })
        })
    }
}

/// The texts of a request.
struct Asked {
    method: String,
    target: String,
    version: &'static str,
    user_agent: Option<String>,
}

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        let target = request.uri().path_and_query().map_or(request.uri().path(), |target| target.as_str());
        let agent = request.headers().get(USER_AGENT);
        Self {
            method: cut(request.method().as_str(), LONGEST_METHOD),
            target: cut(target, LONGEST_TARGET),
            version: match request.version() {
                http::Version::HTTP_10 => "HTTP/1.0",
                http::Version::HTTP_2 => "HTTP/2.0",
                _ => "HTTP/1.1",
            },
            user_agent: agent.map(|agent| cut(&String::from_utf8_lossy(agent.as_bytes()), LONGEST_AGENT)),
        }
    }

    fn answered(self, (time, visitor): (SystemTime, Visitor), status: u16, request_id: String) -> Access {
        let Self { method, target, version, user_agent } = self;
        let (received, sent, complete, duration) = (0, 0, false, Duration::ZERO);
        Access {
            time,
            visitor,
            method,
            target,
            version,
            status,
            received,
            sent,
            complete,
            duration,
            request_id,
            user_agent,
        }
    }
}

/// The first bytes of a text, up to a character boundary.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        text.to_owned()
    } else {
        format!("{}...", &text[..text.floor_char_boundary(most)])
    }
}

/// Counts the bytes of a request body.
struct Received(Arc<AtomicU64>);

impl Observe for Received {
    fn observe(&mut self, read: Read) {
        if let Read::Bytes(bytes) = read {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// Counts the bytes of a response body. When it is dropped, the request has ended.
struct Answer {
    /// The length of the body, if it is known.
    whole: Option<u64>,
    bytes: u64,
    ended: bool,
    begun: Instant,
    metrics: Option<(Counter, Metrics)>,
    route: &'static str,
    received: Arc<AtomicU64>,
    log: Option<(Arc<dyn AccessLog>, Access)>,
}

impl Observe for Answer {
    fn observe(&mut self, read: Read) {
        match read {
            Read::Bytes(bytes) => {
                self.bytes += bytes;
                if let Some((sent, _)) = &self.metrics {
                    sent.inc_by(bytes);
                }
            }
            Read::End => self.ended = true,
            Read::Failed | Read::Pending => {}
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let received = self.received.load(Ordering::Relaxed);
        if let Some((_, metrics)) = &self.metrics {
            metrics.received(self.route, received);
        }
        if let Some((log, mut access)) = self.log.take() {
            (access.received, access.sent, access.duration) = (received, self.bytes, self.begun.elapsed());
            // A body of a known length is not read beyond it.
            access.complete = self.ended || self.whole == Some(self.bytes);
            log.ended(access);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxied: bool) -> Client {
        Client { address: Some("192.0.2.1:1".parse().unwrap()), secure: true, proxied }
    }

    fn headers(id: &str) -> HeaderMap {
        [(REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap())].into_iter().collect()
    }

    #[test]
    fn only_a_trusted_proxy_sets_the_id_of_a_request() {
        let ids = RequestIds::new();
        assert_eq!(ids.of(Some(&client(true)), &headers("a1:b-2")), "a1:b-2");
        for (proxied, id) in
            [(false, "a1"), (true, ""), (true, "a b"), (true, "a\"b"), (true, "é"), (true, &*"a".repeat(129))]
        {
            let made = ids.of(Some(&client(proxied)), &headers(id));
            assert!(made.starts_with(&ids.process), "{proxied} {id}: {made}");
        }
        assert_ne!(ids.of(None, &HeaderMap::new()), ids.of(None, &HeaderMap::new()));
        assert_ne!(ids.process, RequestIds::new().process);
    }

    #[test]
    fn long_texts_of_clients_are_cut_at_a_character() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc...");
        assert_eq!(cut("aéé", 2), "a...");
    }
}
