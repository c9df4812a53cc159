//! The client's side: what a mirror needs of any registry, on the `oci-client` crate.
//!
//! `oci-client` does the tokens; here are the decisions: which endpoint stands for a host, whose password is sent,
//! how many requests go at once, how long to wait, and what is an absence and what a failure. An absence
//! is `None` and only ever a clean 404; everything else that is not an answer is an error, so that a registry in
//! trouble never looks like one without signatures.

mod credentials;
mod error;
mod push;
mod transport;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use oci::{
    Descriptor, Digest, Index, Manifest, MediaType, Reference, RegistryHost, RepositoryName, Selector, Tag,
    media_type,
};
use oci_client::client::{Certificate, CertificateEncoding, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::credentials::DockerConfig;
pub use self::error::Error;
pub use self::push::{Open, Pushed};
use self::transport::{Ask, Transport};

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Hosts that are reached in another way than over HTTPS under their own name.
    pub hosts: Vec<HostRule>,
    /// Docker's `config.json`, for passwords.
    pub docker_config: Option<PathBuf>,
    /// Requests at once to one endpoint; 4 unless changed.
    pub per_host: usize,
    /// How long an endpoint may send nothing; 60 s.
    pub idle: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { hosts: Vec::new(), docker_config: None, per_host: 4, idle: Duration::from_mins(1) }
    }
}

/// How one host is reached.
#[derive(Clone, Debug)]
pub struct HostRule {
    /// The host as it stands in references.
    pub host: RegistryHost,
    /// The host to connect to.
    pub endpoint: RegistryHost,
    /// What stands before repository names there.
    pub prefix: Option<RepositoryName>,
    /// Whether to speak plain HTTP. Never done unless asked for.
    pub plain_http: bool,
    /// A certificate authority to trust beside the system's, as PEM.
    pub ca_pem: Option<Vec<u8>>,
}

/// A client for all registries. Clones share connections and tokens.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: ClientConfig,
    docker: DockerConfig,
    endpoints: Mutex<HashMap<RegistryHost, Arc<Transport>>>,
    /// For files, which are not a registry's. Made when needed: an image of airlock alone has no authorities of a
    /// system, and needs none for a registry whose authority it was given.
    plain: OnceLock<reqwest::Client>,
}

/// Bytes on their way.
pub struct ByteStream {
    /// The position of the first byte: what was asked for, or 0 when the server cannot resume.
    pub start: u64,
    /// The bytes; ends early with an error when the connection breaks.
    pub stream: BoxStream<'static, Result<Bytes, Error>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Client {
    /// A client; connections are made when needed.
    ///
    /// # Errors
    /// When Docker's configuration cannot be read.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        // Another part of the program may have done it; it is the same provider then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let docker =
            config.docker_config.as_deref().map_or(Ok(DockerConfig::default()), DockerConfig::read)?;
        Ok(Self(Arc::new(Inner { config, docker, endpoints: Mutex::default(), plain: OnceLock::new() })))
    }

    fn plain(&self) -> Result<&reqwest::Client, Error> {
        if let Some(known) = self.0.plain.get() {
            return Ok(known);
        }
        let idle = self.0.config.idle;
        let builder = reqwest::Client::builder().read_timeout(idle).connect_timeout(idle);
        let made = builder.redirect(redirects()).build().map_err(Error::Tls)?;
        Ok(self.0.plain.get_or_init(|| made))
    }

    /// A manifest's exact bytes, checked against the digest that was asked for or answered.
    ///
    /// # Errors
    /// Anything but an answer or a clean 404.
    pub async fn manifest(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        selector: &Selector,
    ) -> Result<Option<Manifest>, Error> {
        let endpoint = self.endpoint(host).await?;
        let _permit = endpoint.permit().await;
        let mut ask = Ask::get(repository, format!("manifests/{selector}"));
        ask.headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let response = endpoint.send(&ask).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(endpoint.refused(&ask, response).await),
        }
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned))
        };
        let (kind, stated) = (header("content-type"), header("docker-content-digest"));
        let bytes = body(response, host).await?;
        let expected = match selector {
            Selector::Digest(digest) => Some(digest.clone()),
            Selector::Tag(_) => stated.and_then(|text| text.parse::<Digest>().ok()),
        };
        if let Some(expected) = expected {
            let found = Digest::of(expected.algorithm(), &bytes);
            if found != expected {
                return Err(Error::Digest { expected, found });
            }
        }
        // A registry may call it `application/json`, or say nothing.
        let kind = kind.and_then(|kind| kind.parse::<MediaType>().ok()).filter(MediaType::is_manifest);
        let manifest = Manifest::parse(bytes, kind.as_ref())
            .map_err(|source| Error::Manifest { reference: display(host, repository, selector), source })?;
        Ok(Some(manifest))
    }

    /// What refers to `subject`: the referrers API's answer, or for registries without it the index that clients
    /// keep under a tag (distribution specification 1.1, "Referrers Tag Schema").
    ///
    /// # Errors
    /// When it cannot be asked: never "none" for "unknown".
    pub async fn referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let endpoint = self.endpoint(host).await?;
        let mut found = BTreeMap::new();
        let mut path = Some(format!("referrers/{subject}"));
        while let Some(page) = path.take() {
            let permit = endpoint.permit().await;
            let mut ask = Ask::get(repository, page);
            ask.headers.insert(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
            let response = endpoint.send(&ask).await?;
            let is_index = response
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(media_type::OCI_INDEX.as_bytes()));
            match response.status() {
                StatusCode::OK if is_index => {}
                // Some registries without the API answer other pages, or that the path makes no sense.
                StatusCode::OK
                | StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::METHOD_NOT_ALLOWED => {
                    drop(permit);
                    return self.tagged_referrers(host, repository, subject).await;
                }
                _ => return Err(endpoint.refused(&ask, response).await),
            }
            path = next_page(response.headers(), &format!("/v2/{}/", endpoint.remote(repository)));
            let index: Index = serde_json::from_slice(&body(response, host).await?).map_err(Error::Json)?;
            found.extend(index.manifests.into_iter().map(|entry| (entry.digest.clone(), entry)));
        }
        Ok(found.into_values().collect())
    }

    async fn tagged_referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let tag = Selector::Tag(Tag::of_referrers(subject));
        let index = self.manifest(host, repository, &tag).await?;
        Ok(index.map(|index| index.children().to_vec()).unwrap_or_default())
    }

    /// A blob from position `from` on. What comes is not hashed here: the store does.
    ///
    /// # Errors
    /// Anything but an answer.
    pub async fn blob(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        blob: &Descriptor,
        from: u64,
    ) -> Result<ByteStream, Error> {
        let endpoint = self.endpoint(host).await?;
        let permit = endpoint.permit().await;
        let mut ask = Ask::get(repository, format!("blobs/{}", blob.digest));
        if from > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={from}-"))
        {
            ask.headers.insert(RANGE, range);
        }
        let response = endpoint.send(&ask).await?;
        let start = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if resumes(response.headers(), from) => from,
            StatusCode::PARTIAL_CONTENT => {
                return Err(Error::Protocol {
                    host: host.to_string(),
                    what: "another range than was asked for",
                });
            }
            _ => return Err(endpoint.refused(&ask, response).await),
        };
        let host = host.to_string();
        let stream = response
            .bytes_stream()
            .map(move |item| item.map_err(|source| Error::Broken { host: host.clone(), source }));
        Ok(ByteStream { start, stream: stream.boxed(), _permit: permit })
    }

    /// A file from a URL, from position `from` on.
    ///
    /// # Errors
    /// Anything but an answer.
    pub async fn file(&self, url: &str, from: u64) -> Result<ByteStream, Error> {
        let failed = |source| Error::Url { url: url.to_owned(), source };
        let mut request = self.plain()?.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.send().await.map_err(failed)?;
        // What is there already may be all there is: then from the start again, to be hashed.
        if from > 0 && response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Box::pin(self.file(url, 0)).await;
        }
        let response = response.error_for_status().map_err(failed)?;
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT && resumes(response.headers(), from);
        let host = url.to_owned();
        let stream = response
            .bytes_stream()
            .map(move |item| item.map_err(|source| Error::Url { url: host.clone(), source }));
        Ok(ByteStream { start: if resumed { from } else { 0 }, stream: stream.boxed(), _permit: None })
    }

    /// The size that a server announces for a URL, if it answers and tells one. Only for plans: content decides.
    pub async fn announced_size(&self, url: &str) -> Option<u64> {
        let response = self.plain().ok()?.head(url).send().await.ok()?.error_for_status().ok()?;
        response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    async fn endpoint(&self, host: &RegistryHost) -> Result<Arc<Transport>, Error> {
        let known = self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        if let Some(endpoint) = known {
            return Ok(endpoint);
        }
        let endpoint = Arc::new(self.connect(host).await?);
        let mut endpoints = self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(endpoints.entry(host.clone()).or_insert(endpoint)))
    }

    async fn connect(&self, host: &RegistryHost) -> Result<Transport, Error> {
        let config = &self.0.config;
        let rule = config.hosts.iter().find(|rule| rule.host == *host);
        let hub = || host.endpoint().parse().unwrap_or_else(|_| host.clone());
        let plain_http = rule.is_some_and(|rule| rule.plain_http);
        let authority = rule.and_then(|rule| rule.ca_pem.as_ref());
        let mut http = reqwest::Client::builder()
            .read_timeout(config.idle)
            .connect_timeout(config.idle)
            .redirect(redirects());
        let mut tokens = oci_client::client::ClientConfig {
            protocol: if plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
            read_timeout: Some(config.idle),
            connect_timeout: Some(config.idle),
            ..Default::default()
        };
        if let Some(pem) = authority {
            http = http.add_root_certificate(reqwest::Certificate::from_pem(pem).map_err(Error::Tls)?);
            tokens
                .extra_root_certificates
                .push(Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() });
        }
        let failed = |source| Error::Setup { host: host.to_string(), source };
        Ok(Transport {
            http: http.build().map_err(Error::Tls)?,
            tokens: oci_client::Client::try_from(tokens).map_err(failed)?,
            auth: self.0.docker.credentials(host).await?.unwrap_or(RegistryAuth::Anonymous),
            host: host.clone(),
            address: rule.map_or_else(hub, |rule| rule.endpoint.clone()),
            prefix: rule.and_then(|rule| rule.prefix.clone()),
            plain_http,
            permits: Arc::new(Semaphore::new(config.per_host)),
            known: Mutex::default(),
        })
    }
}

/// A server may send us on, but not from HTTPS to plain HTTP: that is chosen in the mirror file or not at all.
fn redirects() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        if attempt.previous().len() > MOST_REDIRECTS {
            attempt.error("too many redirects")
        } else if attempt.previous().last().is_some_and(|from| leaves_tls(from, attempt.url())) {
            attempt.error("a redirect from HTTPS to plain HTTP, which is not followed")
        } else {
            attempt.follow()
        }
    })
}

const MOST_REDIRECTS: usize = 10;

fn leaves_tls(from: &reqwest::Url, to: &reqwest::Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

/// Every manifest type, since a registry may refuse what is not named.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, */*";

/// Manifests and lists are read whole; nothing larger than this is one.
const MOST_BYTES: usize = 8 << 20;

async fn body(response: reqwest::Response, host: &RegistryHost) -> Result<Bytes, Error> {
    let mut stream = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(|source| Error::Broken { host: host.to_string(), source })?);
        if bytes.len() > MOST_BYTES {
            return Err(Error::Protocol { host: host.to_string(), what: "a manifest of more than 8 MiB" });
        }
    }
    Ok(bytes.into())
}

/// Whether a partial answer begins where it should.
fn resumes(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// The rest of a list, below the repository's path (RFC 8288 `Link` with `rel="next"`).
fn next_page(headers: &HeaderMap, below: &str) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let path = target.find("/v2/").map(|at| &target[at..])?;
    if !parameters.contains("next") {
        return None;
    }
    path.strip_prefix(below).map(str::to_owned)
}

/// The whole reference as text, for messages.
#[must_use]
pub fn display(host: &RegistryHost, repository: &RepositoryName, selector: &Selector) -> String {
    Reference::new(host.clone(), repository.clone(), selector.clone()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_from_tls_to_plain_http() {
        let leaves = |from: &str, to: &str| leaves_tls(&from.parse().unwrap(), &to.parse().unwrap());
        assert!(leaves("https://a.example/x", "http://a.example/x"));
        assert!(!leaves("https://a.example/x", "https://b.example/x"));
        assert!(!leaves("http://127.0.0.1:5000/x", "http://127.0.0.1:5001/x"));
        assert!(!leaves("http://a.example/x", "https://a.example/x"));
    }
}
