//! From a request to its answer: route, authorise, act, and log.

use std::mem;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use http::header::{CONNECTION, EXPECT, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version};
use http_body::Body as _;
use oci::{RegistryHost, RepositoryName};

use super::App;
use super::auth::{self, Caller};
use super::guard::address::{Client, Network};
use super::guard::memory::Memory;
use super::observe::{Operation, Refused, Visitor};
use super::refusal::Refusal;
use super::route::{Action, Query, Right, Route};
use super::{answer, blobs, listing, manifests, tokens, uploads};

/// So much of a refused body is read, so that the client gets to reading the refusal.
const DRAIN_BYTES: usize = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long a refusal takes for a client that was refused too often.
const TOO_OFTEN: Duration = Duration::from_secs(1);

/// A request on its way to its action.
pub(super) struct Call {
    pub(super) head: Parts,
    pub(super) query: Query,
    /// Taken by the action that reads it; behind a lock only because a body is not `Sync`.
    body: Mutex<Body>,
    pub(super) caller: Caller,
    /// What the request wants to change, and its name.
    attempt: Option<(Operation, String)>,
    /// What a token would have to be good for.
    scope: Option<String>,
}

impl Call {
    pub(super) fn take_body(&self) -> Body {
        mem::take(&mut *self.body.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who asks.
    pub(super) fn visitor(&self) -> Visitor {
        Visitor { user: self.caller.user(), address: self.address() }
    }

    /// Whom limits count: a user, or a network from which nobody says who they are.
    pub(super) fn who(&self) -> String {
        match self.caller.user() {
            Some(user) => format!("user {user}"),
            None => format!("network {}", self.network()),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        self.client().map(|client| client.address)
    }

    fn client(&self) -> Option<&Client> {
        self.head.extensions.get::<Client>()
    }

    /// What limits count the caller by; all who come by no socket are one.
    pub(super) fn network(&self) -> Network {
        let nowhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        Network::of(self.address().map_or(nowhere, |address| address.ip()))
    }

    /// The budget for what is held in memory.
    pub(super) fn memory(&self, app: &App) -> Memory {
        let own = self.head.extensions.get::<Memory>();
        own.cloned().unwrap_or_else(|| Memory::new(app.limits.memory))
    }

    /// What has to be told of a refusal: a change that is not made, or credentials that are not right.
    fn refused(&self, refusal: &Refusal) -> Option<Refused> {
        let (status, message) = (refusal.status().as_u16(), refusal.message().to_owned());
        if refusal.status() == StatusCode::UNAUTHORIZED {
            // Clients try without credentials first, so that only wrong ones tell something.
            let visitor = Visitor { user: Some(auth::claimed(&self.head.headers)?), address: self.address() };
            let name = self.head.uri.path().to_owned();
            return Some(Refused { deed: Operation::LogIn, name, visitor, status, message, repeats: None });
        }
        let (deed, name) = self.attempt.clone()?;
        Some(Refused { deed, name, visitor: self.visitor(), status, message, repeats: None })
    }

    pub(super) fn is_head(&self) -> bool {
        self.head.method == Method::HEAD
    }

    pub(super) fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Repositories to look in: a mirror's client names the registry it means by `ns`. A repository of this registry
    /// that only has the same name is not what such a client means.
    pub(super) fn places(&self, repository: &RepositoryName) -> Vec<RepositoryCandidate> {
        let Some(namespace) = self.query.value("ns").filter(|ns| !ns.is_empty() && !self.is_own_name(ns))
        else {
            return vec![RepositoryCandidate { repository: repository.clone(), namespace: None }];
        };
        // As in references: a name without a dot or port is no registry's, but the first part of a repository's.
        let is_host = namespace.contains(['.', ':']) || namespace == "localhost";
        let Some(host) = namespace.parse::<RegistryHost>().ok().filter(|_| is_host) else {
            return Vec::new();
        };
        let Ok(prefix) = host.as_repository() else { return Vec::new() };
        let mut places = Vec::new();
        if let Ok(mirrored) = repository.below(&prefix) {
            places.push(RepositoryCandidate { repository: mirrored, namespace: Some(host.clone()) });
        }
        // A mirror with a path in its URL asks for the whole name.
        if repository.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/')) {
            places.push(RepositoryCandidate { repository: repository.clone(), namespace: Some(host) });
        }
        places
    }

    /// Whether a registry's name is the one that this request was sent to.
    fn is_own_name(&self, name: &str) -> bool {
        let host = self.head.uri.authority().map(http::uri::Authority::as_str);
        host.or_else(|| self.header(&http::header::HOST)).is_some_and(|host| host.eq_ignore_ascii_case(name))
    }
}

/// A repository that may hold what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RepositoryCandidate {
    pub(super) repository: RepositoryName,
    /// The registry it mirrors, if the client's `ns` led to it.
    pub(super) namespace: Option<RegistryHost>,
}

impl RepositoryCandidate {
    /// Tells the client that its `ns` was heeded.
    pub(super) fn name_in(&self, response: &mut Response) {
        if let Some(host) = &self.namespace {
            answer::set(response.headers_mut(), answer::OCI_NAMESPACE, host.as_str());
        }
    }
}

pub(super) async fn handle(app: Arc<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let (method, version) = (head.method.clone(), head.version);
    let path = head.uri.path().to_owned();
    let expects = head.headers.contains_key(EXPECT);
    let mut call = Call {
        head,
        query: Query::default(),
        body: Mutex::new(body),
        caller: Caller::Anonymous,
        attempt: None,
        scope: None,
    };
    let answered = act(&app, &mut call).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(refusal) => {
            if let Some(refused) = call.refused(&refusal) {
                app.tell_refused(refused).await;
            }
            // Who waits to be asked for the body is not asked any more.
            let drained = expects || drain(call.take_body()).await;
            let unauthorized = refusal.status() == StatusCode::UNAUTHORIZED;
            // Refusals are cheap, and whoever asks for them without end would still take the time of others.
            if may_not(refusal.status()) && !app.refused_often.count(call.network(), Instant::now()) {
                tokio::time::sleep(TOO_OFTEN).await;
            }
            let mut response = refusal.into_response(&method);
            if unauthorized {
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge(&app, &call));
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
    response
}

/// Whether it was refused because of who asks; what is not there is asked for by every client that pushes.
fn may_not(status: StatusCode) -> bool {
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
    if action == Action::Token && !app.authenticator.gives_tokens() {
        return Err(Refusal::not_found(tokens::PATH));
    }
    call.attempt = action.deed();
    call.scope = action.scope();
    let network = call.network();
    call.caller = app.authenticator.authorize(action.right(), &call.head.headers, network).await?;
    if app.read_only && action.right() == Right::Push {
        return Err(Refusal::read_only());
    }
    call.query = Query::parse(call.head.uri.query())?;
    match action {
        Action::Live => Ok(answer::done(StatusCode::OK)),
        Action::Ready => {
            app.run(|store| {
                store.repositories(None, Some(1))?;
                if store.is_present() { Ok(()) } else { Err(Refusal::store_gone()) }
            })
            .await?;
            Ok(answer::done(StatusCode::OK))
        }
        Action::Token => app.authenticator.tokens.give(&call.caller),
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
        Action::StartUpload(repository) => uploads::start(app, call, repository).await,
        Action::AppendUpload(repository, id) => uploads::append(app, call, repository, id).await,
        Action::FinishUpload(repository, id) => uploads::finish(app, call, repository, id).await,
        Action::UploadStatus(repository, id) => uploads::status(app, repository, id).await,
        Action::CancelUpload(repository, id) => uploads::cancel(app, repository, id).await,
    }
}

/// How the client is to show who it is: by a token where those without a password have one, too; else by a password.
fn challenge(app: &App, call: &Call) -> HeaderValue {
    let by_token = app.authenticator.gives_tokens() && call.head.uri.path() != tokens::PATH;
    let token =
        by_token.then(|| tokens::challenge(&call.head, call.client(), call.scope.as_deref())).flatten();
    token.unwrap_or(answer::CHALLENGE)
}

/// Reads the rest of a body within bounds; says whether that was all of it.
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
