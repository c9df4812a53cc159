//! The client's side: what a mirror needs of any registry.
//!
//! An absence is `None` and only ever a clean 404; everything else that is not an answer is an error, so that a
//! registry in trouble never looks like one without signatures. Invariants:
//!
//! - Credentials go to the endpoint that they were given for, and nowhere else (`wire`, `credentials`).
//! - Every body is bounded in bytes and in time (`body`), every listing in entries and bytes (`listing`).
//! - A fault that may pass is tried again alike for registries, token services and files (`wire`).
//! - No error, log or event has a secret in it (`shown`, `error`).

mod body;
mod config;
mod connect;
mod credentials;
mod error;
mod exchange;
mod file;
mod kind;
mod listing;
mod memory;
mod proxy;
mod push;
mod retry;
mod shown;
mod tls;
mod token;
mod transport;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oci::{Descriptor, Digest, Manifest, MediaType, Reference, RegistryHost, RepositoryName, Selector};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::body::{pieces, whole};
pub use self::config::{ClientConfig, HostRule};
use self::credentials::DockerConfig;
pub use self::error::{At, Error};
pub use self::exchange::ExchangeError;
use self::kind::unsupported;
pub use self::listing::{NextPage, ReferrerPage};
use self::memory::Memory;
pub use self::proxy::ProxySettings;
pub use self::push::{Open, Pushed};
pub use self::shown::shown_url;
pub use self::tls::check_certificates;
pub(crate) use self::tls::tls_config;
use self::token::is_html;
use self::transport::{Ask, EndpointState, Transport};
use self::wire::{Reply, Wire};

/// A client for all registries. Clones share connections and tokens.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    config: ClientConfig,
    wire: Arc<Wire>,
    docker: Arc<DockerConfig>,
    endpoints: Mutex<HashMap<RegistryHost, Arc<Transport>>>,
    memory: Option<Memory>,
}

/// Bytes on their way.
pub struct ByteStream {
    /// The position of the first byte: what was asked for, or 0 when the server cannot resume.
    pub start: u64,
    /// The bytes; ends early with an error when the connection breaks.
    pub stream: BoxStream<'static, Result<Bytes, Error>>,
    /// Who sends them.
    pub at: At,
    /// Whether the answer calls itself a web page.
    pub html: bool,
    /// The encoding that the server put on the bytes, if it says that it did.
    pub encoding: Option<String>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Client {
    /// A client; connections are made when needed.
    ///
    /// # Errors
    /// When Docker's configuration, a certificate file or a proxy's address is not usable.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        // Another part of the program may have done it; it is the same provider then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let docker =
            config.docker_config.as_deref().map_or(Ok(DockerConfig::default()), DockerConfig::read)?;
        for (key, reason) in &docker.ignored {
            tracing::warn!(key, reason, "an entry of Docker's config.json is ignored");
        }
        let wire = Arc::new(Wire::new(&config)?);
        let memory = config.remembers.then(Memory::default);
        let docker = Arc::new(docker);
        Ok(Self(Arc::new(Inner { config, wire, docker, endpoints: Mutex::default(), memory })))
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
        let Some(memory) = &self.0.memory else {
            return self.ask_manifest(host, repository, selector).await;
        };
        let slot = memory.manifest(host, repository, selector);
        let asked = slot.0.get_or_try_init(|| async {
            let found = match selector {
                Selector::Tag(_) => self.tagged(host, repository, selector).await?,
                Selector::Digest(_) => self.ask_manifest(host, repository, selector).await?,
            };
            memory.learned(found.as_ref());
            Ok(found)
        });
        asked.await.cloned()
    }

    /// What a tag means: its digest first, which costs little and counts as no pull, then that manifest, unless it is
    /// known.
    async fn tagged(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        tag: &Selector,
    ) -> Result<Option<Manifest>, Error> {
        let endpoint = self.endpoint(host)?;
        let mut ask = manifest_ask(repository, tag);
        ask.method = Method::HEAD;
        let answer = {
            let _permit = endpoint.permit().await;
            endpoint.send(&ask).await?
        };
        match answer.response.status() {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            // A registry that knows no HEAD may know GET, and says more with it.
            _ => return self.ask_manifest(host, repository, tag).await,
        }
        let Some(digest) = stated_digest(&answer) else {
            return self.ask_manifest(host, repository, tag).await;
        };
        drop(answer);
        match Box::pin(self.manifest(host, repository, &Selector::Digest(digest))).await? {
            Some(found) => Ok(Some(found)),
            // Told one moment and gone the next: what the tag means now decides.
            None => self.ask_manifest(host, repository, tag).await,
        }
    }

    async fn ask_manifest(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        selector: &Selector,
    ) -> Result<Option<Manifest>, Error> {
        let endpoint = self.endpoint(host)?;
        self.0.wire.whole(|| endpoint.manifest(repository, selector)).await
    }

    /// A blob from position `from` on. What comes is not hashed here, but never more than the descriptor's size, and
    /// less is an error.
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
        let endpoint = self.endpoint(host)?;
        let permit = endpoint.permit().await;
        let mut ask = Ask::get(repository, format!("blobs/{}", blob.digest));
        ask.headers.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if from > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={from}-"))
        {
            ask.headers.insert(RANGE, range);
        }
        let mut answer = endpoint.send(&ask).await?;
        if from > 0 && answer.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            ask.headers.remove(RANGE);
            answer = endpoint.send(&ask).await?;
        }
        let start = match answer.response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if resumes(answer.response.headers(), from) => from,
            StatusCode::PARTIAL_CONTENT => {
                return Err(endpoint.protocol("it sent a different range than requested"));
            }
            _ => return Err(endpoint.refused(answer).await),
        };
        let rest = blob.size.saturating_sub(start);
        Ok(self.stream(answer, start, rest, Some(rest), permit))
    }

    /// A small blob, whole and hashed; again when it broke off or is not what its digest says.
    ///
    /// # Errors
    /// [`Error::TooLong`] when it is larger than `most`, [`Error::Digest`], or anything but an answer.
    pub async fn small_blob(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        blob: &Descriptor,
        most: u64,
    ) -> Result<Bytes, Error> {
        self.0.wire.whole(|| self.blob_once(host, repository, blob, most)).await
    }

    async fn blob_once(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        blob: &Descriptor,
        most: u64,
    ) -> Result<Bytes, Error> {
        let stream = self.blob(host, repository, blob, 0).await?;
        let at = Box::new(stream.at.clone());
        if blob.size > most {
            return Err(Error::TooLong { at, limit: most });
        }
        let bytes = stream.whole().await?;
        let (expected, found) = (blob.digest.clone(), Digest::of(blob.digest.algorithm(), &bytes));
        if found == expected {
            return Ok(bytes);
        }
        let reference = display(host, repository, &Selector::Digest(expected.clone()));
        Err(Error::Digest { reference, at, expected, found })
    }

    /// The bytes of an answer: at most `most`, and `expected` if that is known.
    fn stream(
        &self,
        answer: Reply,
        start: u64,
        most: u64,
        expected: Option<u64>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> ByteStream {
        let Reply { response, at, .. } = answer;
        let html = is_html(response.headers());
        let encoding = response.headers().get(http::header::CONTENT_ENCODING);
        let encoding = encoding.and_then(|value| value.to_str().ok().map(str::to_owned));
        let mut bounds = self.0.wire.bounds(at.clone(), most);
        bounds.expected = expected;
        ByteStream { start, stream: pieces(response, bounds), at, html, encoding, _permit: permit }
    }

    fn endpoint(&self, host: &RegistryHost) -> Result<Arc<Transport>, Error> {
        let mut endpoints = self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = endpoints.get(host) {
            return Ok(Arc::clone(known));
        }
        let endpoint = Arc::new(self.connect(host)?);
        endpoints.insert(host.clone(), Arc::clone(&endpoint));
        Ok(endpoint)
    }

    fn connect(&self, host: &RegistryHost) -> Result<Transport, Error> {
        let config = &self.0.config;
        let rule = config.hosts.iter().find(|rule| rule.host == *host);
        let plain_http = rule.is_some_and(|rule| rule.plain_http);
        let address = rule.map_or(host, |rule| &rule.endpoint);
        // Docker Hub's name is not its server's, in a rule for it neither.
        let address = address.endpoint().parse().unwrap_or_else(|_| address.clone());
        let base = format!("{}://{address}/", if plain_http { "http" } else { "https" });
        let unusable = |_| Error::NotUrl { url: shown_url(&base) };
        Ok(Transport {
            wire: Arc::clone(&self.0.wire),
            docker: Arc::clone(&self.0.docker),
            host: host.clone(),
            base: base.parse().map_err(unusable)?,
            address,
            prefix: rule.and_then(|rule| rule.prefix.clone()),
            plain_http,
            permits: Arc::new(Semaphore::new(config.per_host)),
            state: EndpointState::default(),
        })
    }
}

impl ByteStream {
    /// All bytes in memory; their number is bounded by who asked.
    pub(super) async fn whole(mut self) -> Result<Bytes, Error> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.into())
    }
}

impl Transport {
    /// One try for a manifest, whole and checked.
    async fn manifest(
        &self,
        repository: &RepositoryName,
        selector: &Selector,
    ) -> Result<Option<Manifest>, Error> {
        let _permit = self.permit().await;
        let answer = self.send(&manifest_ask(repository, selector)).await?;
        match answer.response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.refused(answer).await),
        }
        let reference = || display(&self.host, repository, selector);
        let kind = answer.response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // A registry may call it `application/json`, or say nothing.
        let kind = kind.and_then(|kind| kind.parse::<MediaType>().ok()).filter(MediaType::is_manifest);
        let html = is_html(answer.response.headers());
        let expected = match selector {
            Selector::Digest(digest) => Some(digest.clone()),
            Selector::Tag(_) => stated_digest(&answer),
        };
        let at = Box::new(answer.at.clone());
        let bytes = whole(answer.response, self.wire.bounds(answer.at, MOST_BYTES)).await?;
        if let Some(expected) = expected {
            let found = Digest::of(expected.algorithm(), &bytes);
            if found != expected {
                return Err(Error::Digest { reference: reference(), at, expected, found });
            }
        }
        if let Some(kind) = unsupported(&bytes, kind.as_ref()) {
            return Err(Error::Unsupported { reference: reference(), kind });
        }
        let kind = kind.filter(MediaType::is_manifest);
        let manifest = Manifest::parse(bytes, kind.as_ref());
        manifest.map(Some).map_err(|source| Error::Manifest { reference: reference(), at, html, source })
    }
}

fn manifest_ask<'a>(repository: &'a RepositoryName, selector: &Selector) -> Ask<'a> {
    let mut ask = Ask::get(repository, format!("manifests/{selector}"));
    ask.headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    ask.headers.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    ask
}

fn stated_digest(answer: &Reply) -> Option<Digest> {
    answer.response.headers().get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

/// Every manifest type, since a registry may refuse what is not named.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, */*";

/// Manifests and pages of lists are read whole; nothing larger than this is one.
const MOST_BYTES: u64 = 8 << 20;

/// Whether a partial answer begins where it should.
fn resumes(headers: &HeaderMap, from: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

/// The whole reference as text, for messages.
#[must_use]
pub fn display(host: &RegistryHost, repository: &RepositoryName, selector: &Selector) -> String {
    Reference::new(host.clone(), repository.clone(), selector.clone()).to_string()
}
