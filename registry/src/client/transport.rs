//! Requests to one endpoint: its address, its credentials, and what an answer means.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oci::distribution::{ErrorBody, ErrorCode};
use oci::{RegistryHost, RepositoryName};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::body::whole;
use super::credentials::{Credential, DockerConfig, Endpoint};
use super::error::{At, Error};
use super::exchange::{Request, Response};
use super::token::{Challenge, Purpose, is_html};
use super::wire::{Call, Reply, Wire, leaves_tls};

/// One endpoint.
pub(super) struct Transport {
    pub(super) wire: Arc<Wire>,
    pub(super) docker: Arc<DockerConfig>,
    /// As it stands in references, for messages.
    pub(super) host: RegistryHost,
    /// Where to connect.
    pub(super) address: RegistryHost,
    /// The same as a URL: what credentials and tokens belong to.
    pub(super) base: Url,
    pub(super) prefix: Option<RepositoryName>,
    pub(super) plain_http: bool,
    pub(super) permits: Arc<Semaphore>,
    pub(super) state: EndpointState,
}

/// What was learned of an endpoint.
#[derive(Default)]
pub(super) struct EndpointState {
    /// What helper programs had for it.
    helper: OnceCell<Option<Credential>>,
    /// What was accepted, by repository and whether it is for pushing; one asks for a new token at a time.
    accepted: Mutex<HashMap<(String, bool), Arc<Accepted>>>,
    /// Repositories without the referrers API.
    pub(super) without_referrers: Mutex<HashSet<RepositoryName>>,
}

type Accepted = tokio::sync::Mutex<Option<HeaderValue>>;

/// What to ask.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) repository: &'a RepositoryName,
    /// Below the repository, for example `manifests/latest`.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    /// Whether it is part of a push.
    pub(super) push: bool,
    /// A small body that can be sent again.
    pub(super) body: Option<bytes::Bytes>,
}

impl<'a> Ask<'a> {
    /// A reading request without headers.
    pub(super) fn get(repository: &'a RepositoryName, path: String) -> Self {
        Self { method: Method::GET, repository, path, headers: HeaderMap::new(), push: false, body: None }
    }
}

impl Transport {
    /// Waits for a place among the requests to this endpoint.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// The repository's name at the endpoint.
    pub(super) fn remote(&self, repository: &RepositoryName) -> String {
        self.prefix.as_ref().map_or_else(|| repository.to_string(), |prefix| format!("{prefix}/{repository}"))
    }

    /// Sends a request, with credentials when the endpoint asks for them. Any other answer is given back.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Reply, Error> {
        let path = format!("/v2/{}/{}", self.remote(ask.repository), ask.path);
        let url =
            self.base.join(&path).map_err(|_| self.protocol("the repository name does not form a URL"))?;
        let accepted = self.accepted(ask);
        let mut call = Call::get(url);
        call.method = ask.method.clone();
        call.headers = ask.headers.clone();
        call.body.clone_from(&ask.body);
        call.host = Some(self.host.to_string());
        call.authorization.clone_from(&*accepted.lock().await);
        let answer = self.wire.send(&call).await?;
        let Some(challenge) = self.challenge(&answer) else { return Ok(answer) };
        match self.authorize(ask, &challenge, &accepted, call.authorization.as_ref()).await? {
            None => Ok(answer),
            Some(value) => {
                drop(answer);
                call.authorization = Some(value);
                self.wire.send(&call).await
            }
        }
    }

    /// Sends one request whose body cannot be sent again, to a location that the registry gave. Credentials go along
    /// only to the endpoint itself.
    pub(super) async fn send_once(&self, mut request: Request, ask: &Ask<'_>) -> Result<Reply, Error> {
        if request.url.origin() == self.base.origin()
            && let Some(value) = self.accepted(ask).lock().await.clone()
        {
            request.headers.insert(http::header::AUTHORIZATION, value);
        }
        self.wire.execute(request, Some(self.host.as_str())).await
    }

    /// Where a registry says that an upload goes on. It may name another server, but not one in clear.
    pub(super) fn location(&self, text: &str) -> Option<Url> {
        let mut url = self.base.join(text).ok()?;
        let _ = url.set_username("");
        let _ = url.set_password(None);
        (matches!(url.scheme(), "http" | "https") && !leaves_tls(&self.base, &url)).then_some(url)
    }

    /// What the endpoint itself asks for. Another server that it redirected to has no say in its credentials.
    fn challenge(&self, answer: &Reply) -> Option<Challenge> {
        let own = answer.url.origin() == self.base.origin();
        let asked = own && answer.response.status() == StatusCode::UNAUTHORIZED;
        if asked { Challenge::of(answer.response.headers()) } else { None }
    }

    fn accepted(&self, ask: &Ask<'_>) -> Arc<Accepted> {
        let key = (ask.repository.to_string(), ask.push);
        let mut accepted = self.state.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accepted.entry(key).or_default())
    }

    /// The value of `Authorization` after a challenge. Who waited while another got a new one takes that.
    async fn authorize(
        &self,
        ask: &Ask<'_>,
        challenge: &Challenge,
        accepted: &Accepted,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        let mut accepted = accepted.lock().await;
        if accepted.is_some() && accepted.as_ref() != refused {
            return Ok(accepted.clone());
        }
        let remote = self.remote(ask.repository);
        let credential = self.credential(&remote).await?;
        let host = self.host.as_str();
        let purpose = Purpose { registry: &self.base, host, repository: &remote, push: ask.push };
        let value = self.wire.authorize(challenge, credential.as_ref(), &purpose).await?;
        // The same password again would be refused again.
        if value.is_some() && value.as_ref() == refused {
            return Ok(None);
        }
        accepted.clone_from(&value);
        Ok(value)
    }

    /// The endpoint's own credential, never that of the host that it stands for.
    async fn credential(&self, remote: &str) -> Result<Option<Credential>, Error> {
        let endpoint = Endpoint { address: &self.address, plain_http: self.plain_http, repository: remote };
        if !self.docker.has_helper(&endpoint)
            && let Some(found) = self.docker.in_file(&endpoint)
        {
            return Ok(Some(found.clone()));
        }
        self.state.helper.get_or_try_init(|| self.docker.helped(&endpoint)).await.cloned()
    }

    pub(super) fn protocol(&self, what: &'static str) -> Error {
        Error::Protocol { host: self.host.to_string(), what }
    }

    /// An answer that is none, as an error with what the registry said.
    pub(super) async fn refused(&self, answer: Reply) -> Error {
        refused(&self.wire, answer).await
    }
}

/// The most bytes of an error response that are read.
const MOST_REFUSAL: u64 = 64 << 10;

/// The most of a server's advice that is shown, in characters.
const MOST_ADVICE: usize = 400;

/// An answer that is none, as an error with what the server said.
pub(super) async fn refused(wire: &Wire, answer: Reply) -> Error {
    let Reply { response, at, .. } = answer;
    let status = response.status();
    let (said, advice) = said(wire, response, at.clone()).await;
    Error::Refused { at: Box::new(at), status, said, advice }
}

/// What the server said, and what it advises where it denies the request by a rule of its own.
async fn said(wire: &Wire, response: Response, at: At) -> (String, Option<String>) {
    if is_html(response.headers()) {
        return ("an HTML page".to_owned(), None);
    }
    let denials = [StatusCode::FORBIDDEN, StatusCode::PRECONDITION_FAILED];
    let is_denied = denials.contains(&response.status());
    let bytes = whole(response, wire.bounds(at, MOST_REFUSAL)).await.unwrap_or_default();
    let shown = |text: &str| text.replace(char::is_control, " ");
    let body = serde_json::from_slice::<ErrorBody>(&bytes).ok();
    let Some(entry) = body.and_then(|body| body.errors.into_iter().next()) else {
        return ("the server gave no reason".to_owned(), None);
    };
    let advice = entry.detail.get("hint").and_then(serde_json::Value::as_str);
    let advice = advice.filter(|_| is_denied && entry.code == ErrorCode::Denied);
    let advice = advice.map(|advice| {
        let advice: String = advice.chars().take(MOST_ADVICE).collect();
        format!("the registry advises: {}", shown(&advice))
    });
    let said = if entry.message.is_empty() { format!("{:?}", entry.code) } else { shown(&entry.message) };
    (said, advice)
}
