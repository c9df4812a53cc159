//! The client's side: what a mirror needs of any registry, on the `oci-client` crate.
//!
//! `oci-client` does requests, redirects and tokens; here are the decisions: which endpoint stands for a host,
//! whose password is sent, how many requests go at once, and what is an absence and what a failure. An absence
//! is `None` and only ever a clean 404; everything else that is not an answer is an error, so that a registry in
//! trouble never looks like one without signatures.

mod credentials;
mod error;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use http::StatusCode;
use http::header::{CONTENT_RANGE, RANGE};
use oci::{Descriptor, Digest, Manifest, Reference, RegistryHost, RepositoryName, Selector, Tag, media_type};
use oci_client::client::{BlobResponse, Certificate, CertificateEncoding, ClientProtocol};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::credentials::DockerConfig;
pub use self::error::Error;

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
    endpoints: Mutex<HashMap<RegistryHost, Arc<Endpoint>>>,
    plain: reqwest::Client,
}

struct Endpoint {
    client: oci_client::Client,
    host: RegistryHost,
    prefix: Option<RepositoryName>,
    permits: Arc<Semaphore>,
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
    /// When Docker's configuration cannot be read, or TLS cannot be set up.
    pub fn new(config: ClientConfig) -> Result<Self, Error> {
        // Another part of the program may have done it; it is the same provider then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let docker =
            config.docker_config.as_deref().map_or(Ok(DockerConfig::default()), DockerConfig::read)?;
        let plain = reqwest::Client::builder()
            .read_timeout(config.idle)
            .connect_timeout(config.idle)
            .build()
            .map_err(Error::Tls)?;
        Ok(Self(Arc::new(Inner { config, docker, endpoints: Mutex::default(), plain })))
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
        let reference = endpoint.reference(repository, selector);
        let auth = oci_client::secrets::RegistryAuth::Anonymous;
        // The stored password is used; this argument counts only where none is stored.
        match endpoint.client.pull_manifest_raw(&reference, &auth, &media_type::MANIFESTS).await {
            Ok((bytes, _)) => {
                let manifest = Manifest::parse(bytes, None)
                    .map_err(|source| Error::Manifest { reference: reference.to_string(), source })?;
                if let Selector::Digest(expected) = selector {
                    let found = Digest::of(expected.algorithm(), manifest.bytes());
                    if found != *expected {
                        return Err(Error::Digest { expected: expected.clone(), found });
                    }
                }
                Ok(Some(manifest))
            }
            Err(error) if error::is_absence(&error) => Ok(None),
            Err(source) => Err(Error::request(host, repository, source)),
        }
    }

    /// What refers to `subject`: the referrers API's answer, and the index that clients keep under a tag for
    /// registries without it.
    ///
    /// # Errors
    /// When either cannot be asked: never "none" for "unknown".
    pub async fn referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let tag = Selector::Tag(Tag::of_referrers(subject));
        let mut found = BTreeMap::new();
        if let Some(index) = self.manifest(host, repository, &tag).await? {
            found.extend(index.children().iter().map(|child| (child.digest.clone(), child.clone())));
        }
        let endpoint = self.endpoint(host).await?;
        let _permit = endpoint.permit().await;
        let reference = endpoint.reference(repository, &Selector::Digest(subject.clone()));
        // It falls back to the tag by itself, without telling failures apart; the tag was asked above.
        let listed = match endpoint.client.pull_referrers(&reference, None).await {
            Ok(index) => index.manifests,
            Err(error) if error::is_absence(&error) => Vec::new(),
            Err(source) => return Err(Error::request(host, repository, source)),
        };
        for entry in listed {
            let value = serde_json::to_value(entry).map_err(Error::Json)?;
            let descriptor: Descriptor = serde_json::from_value(value).map_err(Error::Json)?;
            found.insert(descriptor.digest.clone(), descriptor);
        }
        Ok(found.into_values().collect())
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
        let reference = endpoint.reference(repository, &Selector::Digest(blob.digest.clone()));
        let layer = oci_client::manifest::OciDescriptor {
            media_type: blob.media_type.to_string(),
            digest: blob.digest.to_string(),
            size: i64::try_from(blob.size).unwrap_or(i64::MAX),
            ..Default::default()
        };
        let answer = if from == 0 {
            endpoint.client.pull_blob_stream(&reference, &layer).await.map(|stream| (0, stream))
        } else {
            endpoint.client.pull_blob_stream_partial(&reference, &layer, from, None).await.map(|answer| {
                match answer {
                    BlobResponse::Full(stream) => (0, stream),
                    BlobResponse::Partial(stream) => (from, stream),
                }
            })
        };
        let (start, stream) = answer.map_err(|source| Error::request(host, repository, source))?;
        let host = host.clone();
        let stream = stream
            .stream
            .map(move |item| item.map_err(|source| Error::Broken { host: host.to_string(), source }));
        Ok(ByteStream { start, stream: stream.boxed(), _permit: permit })
    }

    /// A file from a URL, from position `from` on.
    ///
    /// # Errors
    /// Anything but an answer.
    pub async fn file(&self, url: &str, from: u64) -> Result<ByteStream, Error> {
        let failed = |source| Error::Url { url: url.to_owned(), source };
        let mut request = self.0.plain.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request.send().await.map_err(failed)?;
        // What is there already may be all there is: then from the start again, to be hashed.
        if from > 0 && response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Box::pin(self.file(url, 0)).await;
        }
        let response = response.error_for_status().map_err(failed)?;
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT
            && response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|range| range.to_str().ok())
                .is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        let host = url.to_owned();
        let stream = response
            .bytes_stream()
            .map(move |item| item.map_err(|source| Error::Url { url: host.clone(), source }));
        Ok(ByteStream { start: if resumed { from } else { 0 }, stream: stream.boxed(), _permit: None })
    }

    async fn endpoint(&self, host: &RegistryHost) -> Result<Arc<Endpoint>, Error> {
        let known = self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        if let Some(endpoint) = known {
            return Ok(endpoint);
        }
        let rule = self.0.config.hosts.iter().find(|rule| rule.host == *host);
        let address = rule
            .map_or_else(|| host.endpoint().parse().unwrap_or(host.clone()), |rule| rule.endpoint.clone());
        let plain = rule.is_some_and(|rule| rule.plain_http);
        let authority = rule.and_then(|rule| rule.ca_pem.clone());
        let config = oci_client::client::ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            extra_root_certificates: authority
                .map(|data| Certificate { encoding: CertificateEncoding::Pem, data })
                .into_iter()
                .collect(),
            read_timeout: Some(self.0.config.idle),
            connect_timeout: Some(self.0.config.idle),
            ..Default::default()
        };
        let client = oci_client::Client::try_from(config)
            .map_err(|source| Error::Setup { host: host.to_string(), source })?;
        if let Some(auth) = self.0.docker.credentials(host).await? {
            client.store_auth_if_needed(address.as_str(), &auth).await;
        }
        let endpoint = Arc::new(Endpoint {
            client,
            host: address,
            prefix: rule.and_then(|rule| rule.prefix.clone()),
            permits: Arc::new(Semaphore::new(self.0.config.per_host)),
        });
        let mut endpoints = self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(endpoints.entry(host.clone()).or_insert(endpoint)))
    }
}

impl Endpoint {
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn reference(&self, repository: &RepositoryName, selector: &Selector) -> oci_client::Reference {
        let host = self.host.to_string();
        let name = match &self.prefix {
            Some(prefix) => format!("{prefix}/{repository}"),
            None => repository.to_string(),
        };
        match selector {
            Selector::Tag(tag) => oci_client::Reference::with_tag(host, name, tag.to_string()),
            Selector::Digest(digest) => oci_client::Reference::with_digest(host, name, digest.to_string()),
        }
    }
}

/// The whole reference as text, for messages.
#[must_use]
pub fn display(host: &RegistryHost, repository: &RepositoryName, selector: &Selector) -> String {
    Reference::new(host.clone(), repository.clone(), selector.clone()).to_string()
}
