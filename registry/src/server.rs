//! The distribution specification's server over a store.
//!
//! - [`auth`]: who may do what; `route`: paths and methods as types; `range`: ranges of downloads and chunks
//! - `blobs`, `uploads`, `manifests`, `lists`: the operations; `refusal`, `answer`: what they say
//! - `transfer`: bytes between connections and files; [`listen`]: sockets, TLS, graceful end

mod answer;
pub mod auth;
mod blobs;
pub mod listen;
mod lists;
mod manifests;
mod range;
mod refusal;
mod route;
mod transfer;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{EXPECT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use oci::{RegistryHost, RepositoryName};
use store::Store;

pub use self::auth::{Auth, Htpasswd};
use self::auth::{Authenticator, Caller};
pub use self::listen::serve;
use self::refusal::Refusal;
use self::route::{Action, Query, Right, Route};

/// What the server serves, and to whom.
#[derive(Clone)]
pub struct ServerConfig {
    /// The content.
    pub store: Store,
    /// Who may do what.
    pub auth: Auth,
    /// Whether pushes and deletes are refused.
    pub read_only: bool,
    /// What a client may ask for.
    pub limits: Limits,
}

/// Bounds on what clients can make the server hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a manifest; 4 MiB unless changed, as the specification asks for at least.
    pub manifest: usize,
    /// Connections at once; 1024.
    pub connections: usize,
    /// How long a peer may send or take nothing; 60 s.
    pub idle: Duration,
    /// How long open connections may go on after the end was asked for; 30 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { manifest: 4 << 20, connections: 1024, idle: seconds(60), drain: seconds(30) }
    }
}

/// What every request needs.
struct Registry {
    store: Store,
    authenticator: Authenticator,
    read_only: bool,
    limits: Limits,
}

/// The server as an axum router, for serving and for tests without a socket.
pub fn router(config: ServerConfig) -> Router {
    Router::new().fallback(entry).with_state(Arc::new(Registry::new(config)))
}

async fn entry(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    registry.handle(request).await
}

/// A request's head, taken apart.
struct Asked {
    method: Method,
    headers: HeaderMap,
    query: Query,
}

impl Registry {
    fn new(config: ServerConfig) -> Self {
        let ServerConfig { store, auth, read_only, limits } = config;
        Self { store, authenticator: Authenticator::new(auth), read_only, limits }
    }

    async fn handle(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let asked = head.uri.path().to_owned();
        let waits = head.headers.contains_key(EXPECT);
        let mut body = Some(body);
        let mut response = match self.answer(head, &mut body).await {
            Ok(response) => response,
            Err((method, refusal)) => {
                tracing::debug!(path = asked, status = refusal.status().as_u16(), "refused");
                // A client that still sends would see a broken connection instead of the answer. One that
                // waits for `100 Continue` has sent nothing.
                if let Some(body) = body.take().filter(|_| !waits) {
                    self.drain(body).await;
                }
                refusal.into_response(&method)
            }
        };
        response.headers_mut().insert(answer::API_VERSION, HeaderValue::from_static("registry/2.0"));
        response
    }

    /// Authorises before the body is touched.
    async fn answer(
        &self,
        head: http::request::Parts,
        body: &mut Option<Body>,
    ) -> Result<Response, (Method, Refusal)> {
        let method = head.method.clone();
        self.dispatch(head, body).await.map_err(|refusal| (method, refusal))
    }

    async fn dispatch(
        &self,
        head: http::request::Parts,
        body: &mut Option<Body>,
    ) -> Result<Response, Refusal> {
        let action = Action::of(&head.method, Route::parse(head.uri.path())?)?;
        let right = action.right();
        let caller = self.authenticator.authorize(right, &head.headers).await?;
        if right == Right::Push && self.read_only {
            return Err(Refusal::read_only());
        }
        let query = Query::parse(head.uri.query())?;
        let asked = Asked { method: head.method, headers: head.headers, query };
        let mut response = self.act(action, &asked, body).await?;
        if caller == (Caller::Anonymous { challenge: true }) {
            response.headers_mut().insert(WWW_AUTHENTICATE, answer::CHALLENGE);
        }
        Ok(response)
    }

    async fn act(&self, action: Action, asked: &Asked, body: &mut Option<Body>) -> Result<Response, Refusal> {
        let mut take = || body.take().unwrap_or_default();
        match action {
            Action::Live | Action::Ready | Action::Base => Ok(answer::done(StatusCode::OK)),
            Action::Catalog => self.catalog(asked).await,
            Action::ListTags(repository) => self.tags(repository, asked).await,
            Action::ListReferrers(repository, digest) => self.referrers(repository, digest, asked).await,
            Action::PullBlob(repository, digest) => self.pull_blob(repository, digest, asked).await,
            Action::DeleteBlob(repository, digest) => self.delete_blob(repository, digest).await,
            Action::PullManifest(repository, selector) => {
                self.pull_manifest(repository, selector, asked).await
            }
            Action::PushManifest(repository, selector) => {
                self.push_manifest(repository, selector, asked, take()).await
            }
            Action::DeleteManifest(repository, selector) => self.delete_manifest(repository, selector).await,
            Action::StartUpload(repository) => self.start_upload(repository, asked, take()).await,
            Action::AppendUpload(repository, id) => self.append_upload(repository, id, asked, take()).await,
            Action::FinishUpload(repository, id) => self.finish_upload(repository, id, asked, take()).await,
            Action::UploadStatus(repository, id) => self.upload_status(repository, id).await,
            Action::CancelUpload(repository, id) => self.cancel_upload(repository, id).await,
        }
    }

    /// Reads a bounded rest of a body that nobody wants.
    async fn drain(&self, mut body: Body) {
        let mut left = 1_usize << 20;
        let read = async {
            while let Some(Ok(frame)) = body.frame().await {
                left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
    }

    /// The repository that is meant: containerd asks mirrors with `?ns=` for another registry's content, which
    /// stands below that registry's name here. Says whether that was used.
    async fn namespaced(
        &self,
        repository: RepositoryName,
        asked: &Asked,
    ) -> Result<(RepositoryName, Option<String>), Refusal> {
        let Some(namespace) = asked.query.value("ns") else { return Ok((repository, None)) };
        let host = namespace.parse::<RegistryHost>().and_then(|host| host.as_repository());
        let Ok(below) = host.and_then(|host| repository.below(&host)) else { return Ok((repository, None)) };
        let namespace = namespace.to_owned();
        self.blocking(move |store| {
            let known = store.repository_exists(&below)?;
            Ok(if known { (below, Some(namespace)) } else { (repository, None) })
        })
        .await
    }

    /// Asks the store, which is synchronous, on the blocking pool.
    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.store.clone();
        transfer::blocking(move || ask(&store)).await
    }

    /// How long a cache may keep what only some may see.
    fn lasting(&self) -> answer::Lasting {
        if self.authenticator.is_closed() { answer::Lasting::Private } else { answer::Lasting::Public }
    }
}

fn set_namespace(response: &mut Response, namespace: Option<String>) {
    if let Some(namespace) = namespace {
        answer::set(response.headers_mut(), answer::OCI_NAMESPACE, namespace);
    }
}
