//! The layer between a connection and the router: cheap refusals, shares, and bodies that report when they wait for the
//! client.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use oci::distribution::{ErrorBody, ErrorCode, ErrorEntry};
use serde_json::Value;

use super::Guard;
use super::connection::{Connection, Exchange, Lane};
use super::shares::Share;
use crate::server::observed::{Observe, Observed, Read};
use crate::server::sendfile::Queue;

/// Serves one connection.
pub(in crate::server) struct Guarded {
    guard: Arc<Guard>,
    connection: Arc<Connection>,
    service: TowerToHyperService<Router>,
    /// The queue for files, if the kernel can send them on this connection.
    files: Option<Queue>,
}

impl Guarded {
    pub(in crate::server) fn new(guard: Arc<Guard>, connection: Arc<Connection>, router: Router) -> Self {
        Self { guard, connection, service: TowerToHyperService::new(router), files: None }
    }

    /// Lets HTTP/1 requests send files with this queue.
    pub(in crate::server) fn sending_files(self, files: Queue) -> Self {
        Self { files: Some(files), ..self }
    }
}

impl hyper::service::Service<Request<Incoming>> for Guarded {
    type Response = Response<Observed<Body, Leaving>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // On HTTP/2, several bodies are sent at once, in frames.
        if let Some(files) = self.files.as_ref().filter(|_| request.version() <= Version::HTTP_11) {
            request.extensions_mut().insert(files.clone());
        }
        let exchange = Exchange::begin(&self.connection);
        let responding = respond(
            Arc::clone(&self.guard),
            Arc::clone(&self.connection),
            self.service.clone(),
            request,
            Arc::clone(&exchange),
        );
        async move {
            let (response, share) = responding.await;
            let observer = Leaving { exchange, _share: share };
            Ok(response.map(|body| Observed { body, observer }))
        }
        .boxed()
    }
}

async fn respond(
    guard: Arc<Guard>,
    connection: Arc<Connection>,
    service: TowerToHyperService<Router>,
    mut request: Request<Incoming>,
    exchange: Arc<Exchange>,
) -> (Response<Body>, Option<Share>) {
    let version = request.version();
    let client = guard.proxies.client(connection.peer, request.headers());
    if connection.is_ambiguous() {
        let message = "the request has both Content-Length and Transfer-Encoding; send only one of them";
        let refusal = refusal(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, message, version);
        return (guard.record(&request, client, refusal), None);
    }
    let mut share = None;
    if !guard.sockets.probes.contains(&request.uri().path()) {
        share = (connection.lane == Lane::Full).then(|| guard.requests.take(client.network())).flatten();
        if share.is_none() {
            let message =
                "this client has too many connections or requests open; close some, or try again later";
            let status = StatusCode::TOO_MANY_REQUESTS;
            let refusal = refusal(status, ErrorCode::TooManyRequests, message, version);
            return (guard.record(&request, client, refusal), None);
        }
    }
    // The certificate of a proxy identifies none of its clients.
    if let Some(certificate) = connection.certificate().filter(|_| !client.proxied) {
        request.extensions_mut().insert(certificate);
    }
    request.extensions_mut().insert(client);
    request.extensions_mut().insert(guard.memory.clone());
    request.extensions_mut().insert(Arc::clone(&guard));
    let observer = Arriving(exchange);
    let request = request.map(|body| Body::new(Observed { body, observer }));
    let mut response = match service.call(request).await {
        Ok(response) => response,
        Err(impossible) => match impossible {},
    };
    if connection.lane == Lane::Probe && version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    (response, share)
}

/// A refusal without any work.
fn refusal(status: StatusCode, code: ErrorCode, message: &str, version: Version) -> Response<Body> {
    let entry = ErrorEntry { code, message: message.to_owned(), detail: Value::Null };
    let body = serde_json::to_vec(&ErrorBody { errors: vec![entry] }).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    if version <= Version::HTTP_11 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reports when the server waits for the bytes of a request: a read finds none.
struct Arriving(Arc<Exchange>);

impl Observe for Arriving {
    fn observe(&mut self, read: Read) {
        self.0.waits_for_client(read == Read::Pending);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.waits_for_client(false);
    }
}

/// Reports when the server waits for a client to take a response: between two pieces.
pub(in crate::server) struct Leaving {
    exchange: Arc<Exchange>,
    _share: Option<Share>,
}

impl Observe for Leaving {
    fn observe(&mut self, read: Read) {
        self.exchange.waits_for_client(matches!(read, Read::Bytes(_) | Read::Failed));
    }
}
