//! Requests to one endpoint: authorisation, waiting when told to, and what an answer means.
//!
//! Tokens are `oci-client`'s work: it reads the challenge, asks the token service and gives the token. The requests
//! themselves are made here, because `oci-client` does not tell an answer's headers: its `Retry-After`, its
//! `Content-Type`, its `Content-Range`. Redirects to other hosts lose the authorisation; that is `reqwest`'s rule.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use oci::distribution::ErrorBody;
use oci::{RegistryHost, RepositoryName};
use oci_client::RegistryOperation;
use oci_client::secrets::RegistryAuth;
use reqwest::{Body, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Error;

/// How often a request is made again when the registry asks for patience or stumbles.
const TRIES: u32 = 5;
/// The longest wait that a registry may ask for.
const LONGEST: Duration = Duration::from_mins(2);

/// One endpoint.
pub(super) struct Transport {
    pub(super) http: reqwest::Client,
    pub(super) tokens: oci_client::Client,
    pub(super) auth: RegistryAuth,
    /// As it stands in references, for messages.
    pub(super) host: RegistryHost,
    /// Where to connect.
    pub(super) address: RegistryHost,
    pub(super) prefix: Option<RepositoryName>,
    pub(super) plain_http: bool,
    pub(super) permits: Arc<Semaphore>,
    /// What was accepted, by repository and whether it is for pushing.
    pub(super) known: Mutex<HashMap<(String, bool), String>>,
}

/// What to ask.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) repository: &'a RepositoryName,
    /// Below the repository, for example `manifests/latest`.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) operation: RegistryOperation,
    /// A small body that can be sent again.
    pub(super) body: Option<bytes::Bytes>,
}

impl<'a> Ask<'a> {
    /// A reading request without headers.
    pub(super) fn get(repository: &'a RepositoryName, path: String) -> Self {
        let (headers, operation) = (HeaderMap::new(), RegistryOperation::Pull);
        Self { method: Method::GET, repository, path, headers, operation, body: None }
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

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.plain_http { "http" } else { "https" }, self.address)
    }

    /// Sends a request; again when the registry says so. Any answer but a refusal of credentials, of patience or of
    /// service is given back.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Response, Error> {
        let url = self.url(&format!("/v2/{}/{}", self.remote(ask.repository), ask.path));
        let (mut tries, mut challenged) = (0, false);
        let mut authorised = self.authorization(ask, false).await?;
        loop {
            let mut request = self.http.request(ask.method.clone(), &url).headers(ask.headers.clone());
            if let Some(value) = &authorised {
                request = request.header(AUTHORIZATION, value);
            }
            if let Some(body) = &ask.body {
                request = request.body(body.clone());
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) if tries < TRIES && (error.is_connect() || error.is_timeout()) => {
                    tries += 1;
                    tokio::time::sleep(backoff(tries)).await;
                    continue;
                }
                Err(source) => return Err(self.failed(ask, source)),
            };
            match response.status() {
                StatusCode::UNAUTHORIZED if !challenged => {
                    challenged = true;
                    authorised = self.authorization(ask, true).await?;
                }
                status if is_busy(status) && tries < TRIES => {
                    tries += 1;
                    let wait =
                        retry_after(response.headers(), SystemTime::now()).unwrap_or_else(|| backoff(tries));
                    tracing::info!(host = %self.host, seconds = wait.as_secs(), "the registry asks for patience");
                    tokio::time::sleep(wait.min(LONGEST)).await;
                }
                _ => return Ok(response),
            }
        }
    }

    /// Sends one request whose body cannot be sent again, to a location that the registry gave.
    pub(super) async fn send_once(
        &self,
        mut request: Request,
        ask: &Ask<'_>,
        body: Option<Body>,
    ) -> Result<Response, Error> {
        if let Some(value) = self.authorization(ask, false).await?
            && let Ok(value) = value.parse()
        {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        *request.body_mut() = body;
        self.http.execute(request).await.map_err(|source| self.failed(ask, source))
    }

    /// The value of `Authorization`: what worked before; after a challenge a new token, or the password where the
    /// registry takes that.
    async fn authorization(&self, ask: &Ask<'_>, challenged: bool) -> Result<Option<String>, Error> {
        let key = (ask.repository.to_string(), ask.operation == RegistryOperation::Push);
        if !challenged {
            return Ok(self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned());
        }
        let value = self.token(ask).await?.or_else(|| self.password());
        if let Some(value) = &value {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        }
        Ok(value)
    }

    async fn token(&self, ask: &Ask<'_>) -> Result<Option<String>, Error> {
        let reference = oci_client::Reference::with_tag(
            self.address.to_string(),
            self.remote(ask.repository),
            "latest".to_owned(),
        );
        let token = self.tokens.auth(&reference, &self.auth, ask.operation).await;
        let token =
            token.map_err(|source| Error::Token { host: self.host.to_string(), source: Box::new(source) })?;
        Ok(token.map(|token| format!("Bearer {token}")))
    }

    fn password(&self) -> Option<String> {
        use base64::Engine as _;
        match &self.auth {
            RegistryAuth::Basic(user, password) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {pair}"))
            }
            RegistryAuth::Bearer(token) => Some(format!("Bearer {token}")),
            RegistryAuth::Anonymous => None,
        }
    }

    fn failed(&self, ask: &Ask<'_>, source: reqwest::Error) -> Error {
        Error::Request { host: self.host.to_string(), repository: ask.repository.to_string(), source }
    }

    /// An answer that is none, as an error with what the registry said.
    pub(super) async fn refused(&self, ask: &Ask<'_>, response: Response) -> Error {
        let status = response.status();
        let said = serde_json::from_slice::<ErrorBody>(&beginning(response).await).ok().and_then(|body| {
            let entry = body.errors.into_iter().next()?;
            Some(if entry.message.is_empty() { format!("{:?}", entry.code) } else { entry.message })
        });
        Error::Refused {
            host: self.host.to_string(),
            repository: ask.repository.to_string(),
            status,
            said: said.map_or_else(|| "nothing more".to_owned(), |said| said.replace(char::is_control, " ")),
        }
    }
}

/// What is read of a refusal; nobody needs more to understand it.
const MOST_REFUSAL: usize = 64 << 10;

/// The first bytes of an answer: a hostile one may never end.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < MOST_REFUSAL
        && let Ok(Some(piece)) = response.chunk().await
    {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn backoff(tries: u32) -> Duration {
    Duration::from_millis(250 << tries.min(6))
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_told_in_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
