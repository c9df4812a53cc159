//! Handles a request: route, authorize, act, and log.

use std::mem;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use http::header::{CONNECTION, EXPECT, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use http_body::Body as _;
use oci::{RegistryHost, RepositoryName};

use super::App;
use super::access::{self, Allow, Rights, Verdict};
use super::access_log::Handled;
use super::auth::{self, Caller, Presented};
use super::certificates::ClientCertificate;
use super::guard::Guard;
use super::guard::address::{Client, Network};
use super::guard::memory::Memory;
use super::guard::party::Party;
use super::namespace::Namespace;
use super::observe::{Operation, Refused, Visitor};
use super::refusal::Refusal;
use super::route::{Action, Permission, Query, Route};
use super::{answer, blobs, listing, manifests, metrics, ready, repositories, tokens, uploads};

/// The number of bytes of a refused body that are read, so that the client can read the refusal.
const DRAIN_BYTES: usize = 1024 * 1024;
/// The maximum time for reading a refused body.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// The delay of a refusal for a client that was refused too often.
const TOO_OFTEN: Duration = Duration::from_secs(1);

/// A request on its way to its action.
pub(super) struct Call {
    pub(super) head: Parts,
    pub(super) query: Query,
    /// The body, taken by the action that reads it. It is behind a lock only because a body is not `Sync`.
    body: Mutex<Body>,
    pub(super) caller: Caller,
    /// What the caller may do.
    pub(super) rights: Rights,
    /// The user name that a form claims.
    pub(super) claimed: Option<String>,
    /// The requested change, and the name of its object.
    attempt: Option<(Operation, String)>,
    /// The scope that a token needs.
    scope: Option<String>,
    /// The name of the route in metrics.
    route: &'static str,
}

impl Call {
    pub(super) fn take_body(&self) -> Body {
        mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The client, for observers and gates.
    pub(super) fn visitor(&self) -> Visitor {
        Visitor { user: self.caller.user(), address: self.address() }
    }

    /// The name for counts: the user or, for anonymous requests, the network.
    pub(super) fn limit_key(&self) -> String {
        match self.caller.user() {
            Some(user) => format!("user {user}"),
            None => format!("network {}", self.network()),
        }
    }

    /// The client, and the groups that it belongs to, in the fair queues.
    pub(super) fn parties(&self) -> Vec<Party> {
        Party::all(self.caller.user().as_deref(), self.network())
    }

    /// Ends a transfer of another client that keeps the server waiting.
    pub(super) fn relieve(&self) {
        if let Some(guard) = self.head.extensions.get::<Arc<Guard>>() {
            guard.close_stalled(self.network());
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        self.client().and_then(|client| client.address)
    }

    fn client(&self) -> Option<&Client> {
        self.head.extensions.get::<Client>()
    }

    /// The caller's network for limits; all requests without a socket count as one network.
    pub(super) fn network(&self) -> Network {
        self.client().map_or_else(|| Network::of(Ipv6Addr::UNSPECIFIED.into()), Client::network)
    }

    /// What identifies the caller.
    pub(super) fn presented(&self) -> Presented<'_> {
        let certificate = self.head.extensions.get::<Arc<ClientCertificate>>().map(|shown| &**shown);
        Presented { headers: &self.head.headers, certificate, network: self.network() }
    }

    /// The memory budget.
    pub(super) fn memory(&self, app: &App) -> Memory {
        let own = self.head.extensions.get::<Memory>();
        own.cloned().unwrap_or_else(|| Memory::new(app.limits.memory))
    }

    /// The report of a refusal, if one is required: for a refused change, or for wrong credentials.
    fn refused(&self, refusal: &Refusal) -> Option<Refused> {
        let (status, message) = (refusal.status().as_u16(), refusal.message().to_owned());
        if refusal.status() == StatusCode::UNAUTHORIZED {
            // Clients try without credentials first, so only wrong credentials are reported.
            let claimed = self.claimed.clone().or_else(|| auth::claimed(&self.head.headers))?;
            let visitor = Visitor { user: Some(claimed), address: self.address() };
            let name = self.head.uri.path().to_owned();
            return Some(Refused {
                operation: Operation::LogIn,
                name,
                visitor,
                status,
                message,
                repeats: None,
            });
        }
        let (operation, name) = self.attempt.clone()?;
        Some(Refused { operation, name, visitor: self.visitor(), status, message, repeats: None })
    }

    pub(super) fn is_head(&self) -> bool {
        self.head.method == Method::HEAD
    }

    pub(super) fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The registry that the request means.
    pub(super) fn namespace(&self) -> Namespace {
        Namespace::of(&self.query, self.own_name())
    }

    /// The repositories to search, of those that the caller may pull from.
    pub(super) fn candidates(&self, repository: &RepositoryName) -> Vec<RepositoryCandidate> {
        let may_pull = |named: &RepositoryCandidate| {
            self.rights.judge(repository, [&named.repository], Allow::Pull) == Verdict::Allowed
        };
        self.named(repository).into_iter().filter(may_pull).collect()
    }

    /// The repositories that a request names.
    pub(super) fn named(&self, repository: &RepositoryName) -> Vec<RepositoryCandidate> {
        self.namespace().candidates(repository)
    }

    /// The host that the client sent the request to; a trusted proxy reports it.
    fn own_name(&self) -> Option<&str> {
        let proxied = self.client().is_some_and(|client| client.proxied);
        let forwarded = || self.header(&HeaderName::from_static("x-forwarded-host")).filter(|_| proxied);
        let authority = self.head.uri.authority().map(http::uri::Authority::as_str);
        forwarded().or(authority).or_else(|| self.header(&http::header::HOST))
    }
}

/// A repository that may have the requested content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RepositoryCandidate {
    pub(super) repository: RepositoryName,
    /// The registry it mirrors, if the client's `ns` led to it.
    pub(super) namespace: Option<RegistryHost>,
}

impl RepositoryCandidate {
    /// Sets the response header for the client's `ns`.
    pub(super) fn set_namespace(&self, response: &mut Response) {
        if let Some(host) = &self.namespace {
            answer::set(response.headers_mut(), answer::OCI_NAMESPACE, host.as_str());
        }
    }
}

pub(super) async fn handle(app: Arc<App>, request: Request) -> (Response, Handled) {
    let (head, body) = request.into_parts();
    let (method, version) = (head.method.clone(), head.version);
    let path = head.uri.path().to_owned();
    let expects = head.headers.contains_key(EXPECT);
    let mut call = Call {
        head,
        query: Query::default(),
        body: Mutex::new(body),
        caller: Caller::Anonymous,
        rights: Rights::Nothing,
        claimed: None,
        attempt: None,
        scope: None,
        route: metrics::route(None),
    };
    let answered = act(&app, &mut call).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            if let Some(refused) = call.refused(&refusal) {
                app.report_refused(refused).await;
            }
            // A client that waits for `100 Continue` does not send the body.
            let drained = expects || drain(call.take_body()).await;
            let unauthorized = refusal.status() == StatusCode::UNAUTHORIZED;
            let fault = refusal.token_fault();
            // Refusals are cheap, but an endless number of them would still delay other clients.
            if is_denied(refusal.status()) && !app.refused_often.count(call.network(), Instant::now()) {
                tokio::time::sleep(TOO_OFTEN).await;
            }
            let mut response = refusal.into_response(&method);
            if unauthorized {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge(&app, &call, fault));
            }
            if !drained && version <= Version::HTTP_11 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    if path.starts_with("/v2") {
        response.headers_mut().insert(answer::API_VERSION, HeaderValue::from_static("registry/2.0"));
    }
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered a request");
    (response, Handled { route: call.route, visitor: call.visitor() })
}

/// Whether the request was denied. A missing object does not count, because every push first asks for objects that do not
/// exist yet.
fn is_denied(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::TOO_MANY_REQUESTS
    )
}

async fn act(app: &Arc<App>, call: &mut Call) -> Result<Response, Refusal> {
    let route = Route::parse(&call.head.method, call.head.uri.path())?;
    let action = Action::of(&call.head.method, route)?;
    call.route = metrics::route(Some(&action));
    if action == Action::Token && !app.authenticator.gives_tokens() {
        return Err(Refusal::not_found(tokens::PATH));
    }
    if action == Action::TokenForm && !app.authenticator.takes_forms() {
        return Err(Refusal::method(&call.head.method, "GET, HEAD"));
    }
    call.attempt = action.operation();
    call.scope = action.scope();
    (call.caller, call.rights) = app.authenticator.authorize(action.permission(), call.presented()).await?;
    if app.read_only && action.permission() == Permission::Push {
        return Err(Refusal::read_only());
    }
    call.query = Query::parse(call.head.uri.query())?;
    access::check(call, &action)?;
    if action.permission() != Permission::None {
        app.activity.note(&call.parties(), Instant::now());
    }
    match action {
        Action::Live => Ok(answer::done(StatusCode::OK)),
        Action::Ready => {
            ready::check(app).await?;
            Ok(answer::done(StatusCode::OK))
        }
        Action::Token => app.authenticator.grant(&call.caller, call.query.values("scope")),
        Action::TokenForm => tokens::form(app, call).await,
        Action::Base => answer::json("application/json", &serde_json::json!({})),
        Action::Catalog => listing::catalog(app, call).await,
        Action::ListTags(repository) => listing::tags(app, call, repository).await,
        Action::ListReferrers(repository, digest) => listing::referrers(app, call, repository, digest).await,
        Action::PullBlob(repository, digest) => blobs::pull(app, call, repository, digest).await,
        Action::DeleteBlob(repository, digest) => blobs::delete(app, call, repository, digest).await,
        Action::PullManifest(repository, selector) => manifests::pull(app, call, repository, selector).await,
        Action::PushManifest(repository, selector) => manifests::push(app, call, repository, selector).await,
        Action::DeleteManifest(repository, selector) => {
            manifests::delete(app, call, repository, selector).await
        }
        Action::DeleteRepository(repository) => repositories::delete(app, call, repository).await,
        Action::StartUpload(repository) => uploads::start(app, call, repository).await,
        Action::AppendUpload(repository, id) => uploads::append(app, call, repository, id).await,
        Action::FinishUpload(repository, id) => uploads::finish(app, call, repository, id).await,
        Action::UploadStatus(repository, id) => uploads::status(app, repository, id).await,
        Action::CancelUpload(repository, id) => uploads::cancel(app, repository, id).await,
    }
}

/// The authentication challenge: for a token if anonymous clients use tokens, too; otherwise for a password.
fn challenge(app: &App, call: &Call, fault: Option<&str>) -> HeaderValue {
    let by_token = app.authenticator.gives_tokens() && call.head.uri.path() != tokens::PATH;
    let token = || tokens::challenge(&call.head, call.client(), call.scope.as_deref(), fault);
    by_token.then(token).flatten().unwrap_or(answer::CHALLENGE)
}

/// Reads the rest of a body within limits; returns whether the body ended.
async fn drain(body: Body) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let all = async move {
        let mut frames = body.into_data_stream();
        let mut read = 0;
        while let Some(frame) = frames.next().await {
            read += frame.map_or(DRAIN_BYTES + 1, |bytes| bytes.len());
            if read > DRAIN_BYTES {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAIN_TIME, all).await.unwrap_or(false)
}
