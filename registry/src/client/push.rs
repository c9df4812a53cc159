//! Pushing: a blob that is there already is not sent, one of another repository is mounted, and an upload that
//! broke goes on where the registry says that it ended.

use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oci::{Content, Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector, Tag, media_type};
use serde_json::json;
use url::Url;

use super::error::Error;
use super::exchange::{Body, Request};
use super::transport::{Ask, Transport};
use super::wire::Reply;
use super::{Client, display, stated_digest};

/// How often an upload that broke is taken up again.
const TRIES: u32 = 5;

/// How a blob came to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Present,
    /// It was in another repository there.
    Mounted,
    /// It was sent.
    Sent,
}

/// Opens what is to be pushed at a position.
pub type Open<'a> = dyn Fn(u64) -> io::Result<BoxStream<'static, io::Result<Bytes>>> + Send + Sync + 'a;

impl Client {
    /// Brings a blob into a repository. `from` is a repository of the same registry that may have it.
    ///
    /// # Errors
    /// When the registry refuses, or breaks off too often.
    pub async fn push_blob(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        blob: &Descriptor,
        from: Option<&RepositoryName>,
        open: &Open<'_>,
    ) -> Result<Pushed, Error> {
        let endpoint = self.endpoint(host)?;
        let _permit = endpoint.permit().await;
        let there = ask(Method::HEAD, repository, format!("blobs/{}", blob.digest));
        if endpoint.send(&there).await?.response.status() == StatusCode::OK {
            return Ok(Pushed::Present);
        }
        let mount = from.map(|from| format!("?mount={}&from={}", blob.digest, endpoint.remote(from)));
        let start = ask(Method::POST, repository, format!("blobs/uploads/{}", mount.unwrap_or_default()));
        let answer = endpoint.send(&start).await?;
        match answer.response.status() {
            StatusCode::CREATED => return Ok(Pushed::Mounted),
            StatusCode::ACCEPTED => {}
            _ => return Err(endpoint.refused(answer).await),
        }
        let mut upload = Upload {
            location: location(&endpoint, answer.response.headers())?,
            offset: 0,
            endpoint: &endpoint,
            ask: start,
        };
        let mut tries = 0;
        while upload.offset < blob.size {
            match upload.send(blob.size, open).await {
                Ok(()) => {}
                Err(error) if breaks_off(&error) && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(100 << tries)).await;
                    upload.find_offset().await?;
                }
                Err(error) => return Err(error),
            }
        }
        upload.finish(&blob.digest).await?;
        Ok(Pushed::Sent)
    }

    /// Puts a manifest under a tag or its digest. Where the registry does not know referrers, the index that stands
    /// for them is kept up to date.
    ///
    /// # Errors
    /// When the registry refuses, or says another digest.
    pub async fn push_manifest(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        selector: &Selector,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let digest = match selector {
            Selector::Digest(digest) => digest.clone(),
            Selector::Tag(_) => manifest.digest(),
        };
        let knows_subject = self.put_manifest(host, repository, selector, manifest, &digest).await?;
        match manifest.subject() {
            Some(subject) if !knows_subject => {
                self.tag_referrer(host, repository, &subject.digest, manifest.referrer_descriptor(digest))
                    .await
            }
            _ => Ok(()),
        }
    }

    async fn put_manifest(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        selector: &Selector,
        manifest: &Manifest,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let endpoint = self.endpoint(host)?;
        let _permit = endpoint.permit().await;
        let mut put = ask(Method::PUT, repository, format!("manifests/{selector}"));
        if let Ok(kind) = HeaderValue::from_str(manifest.media_type().as_str()) {
            put.headers.insert(CONTENT_TYPE, kind);
        }
        put.body = Some(manifest.bytes().clone());
        let answer = endpoint.send(&put).await?;
        if answer.response.status() != StatusCode::CREATED {
            return Err(endpoint.refused(answer).await);
        }
        if let Some(found) = stated_digest(&answer)
            && found != *digest
        {
            let (reference, at) = (display(host, repository, selector), Box::new(answer.at));
            return Err(Error::Digest { reference, at, expected: digest.clone(), found });
        }
        Ok(answer.response.headers().contains_key("oci-subject"))
    }

    async fn tag_referrer(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: Descriptor,
    ) -> Result<(), Error> {
        let selector = Selector::Tag(Tag::of_referrers(subject));
        let mut entries =
            match self.manifest(host, repository, &selector).await?.as_ref().map(Manifest::content) {
                Some(Content::Index(index)) => index.manifests.clone(),
                Some(Content::Image(_)) | None => Vec::new(),
            };
        if entries.iter().any(|entry| entry.digest == referrer.digest) {
            return Ok(());
        }
        entries.push(referrer);
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
        let bytes = serde_json::to_vec(&index).map_err(Error::Json)?;
        let index = Manifest::parse(bytes.into(), None).map_err(|source| {
            let endpoint =
                self.endpoint(host).map(|endpoint| endpoint.wire.at(&endpoint.base, Some(host.as_str())));
            endpoint.map_or_else(
                |error| error,
                |at| Error::Manifest {
                    reference: display(host, repository, &selector),
                    at: Box::new(at),
                    html: false,
                    source,
                },
            )
        })?;
        let digest = index.digest();
        self.put_manifest(host, repository, &selector, &index, &digest).await.map(drop)
    }
}

fn ask(method: Method, repository: &RepositoryName, path: String) -> Ask<'_> {
    Ask { method, push: true, ..Ask::get(repository, path) }
}

/// An upload session.
struct Upload<'a> {
    endpoint: &'a Transport,
    ask: Ask<'a>,
    location: Url,
    offset: u64,
}

impl Upload<'_> {
    fn request(&self, method: Method, body: Body) -> Request {
        Request { method, url: self.location.clone(), headers: HeaderMap::new(), body }
    }

    /// Sends all from the offset on as one chunk.
    async fn send(&mut self, size: u64, open: &Open<'_>) -> Result<(), Error> {
        let body = Body::Stream(open(self.offset).map_err(Error::Source)?);
        let mut request = self.request(Method::PATCH, body);
        let range = format!("{}-{}", self.offset, size - 1);
        for (name, value) in [
            (CONTENT_RANGE, range),
            (CONTENT_LENGTH, (size - self.offset).to_string()),
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                request.headers.insert(name, value);
            }
        }
        let answer = self.endpoint.send_once(request, &self.ask).await?;
        self.accept(answer, StatusCode::ACCEPTED).await?;
        self.offset = size;
        Ok(())
    }

    /// Asks where the session ends.
    async fn find_offset(&mut self) -> Result<(), Error> {
        let request = self.request(Method::GET, Body::Empty);
        let answer = self.endpoint.send_once(request, &self.ask).await?;
        let range = answer
            .response
            .headers()
            .get(RANGE)
            .and_then(|range| range.to_str().ok()?.rsplit_once('-')?.1.parse().ok());
        // `0-0` is both the empty session's range and that of one byte: then from the start again would be refused,
        // so the byte is taken as there only if the registry says more.
        self.offset = range.map_or(0, |last: u64| if last == 0 { 0 } else { last + 1 });
        self.accept(answer, StatusCode::NO_CONTENT).await
    }

    async fn finish(mut self, digest: &Digest) -> Result<(), Error> {
        let mut request = self.request(Method::PUT, Body::Empty);
        request.url.query_pairs_mut().append_pair("digest", &digest.to_string());
        request.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let answer = self.endpoint.send_once(request, &self.ask).await?;
        self.accept(answer, StatusCode::CREATED).await
    }

    async fn accept(&mut self, answer: Reply, status: StatusCode) -> Result<(), Error> {
        if answer.response.status() != status {
            return Err(self.endpoint.refused(answer).await);
        }
        let headers = answer.response.headers();
        if status != StatusCode::CREATED && headers.contains_key(LOCATION) {
            self.location = location(self.endpoint, headers)?;
        }
        Ok(())
    }
}

/// Where an upload goes on: an absolute URL, or a path on the same endpoint.
fn location(endpoint: &Transport, headers: &HeaderMap) -> Result<Url, Error> {
    let text = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let found = text.and_then(|text| endpoint.location(text));
    found.ok_or_else(|| endpoint.protocol("no usable location of an upload"))
}

/// Whether an upload may go on where the registry says that it ended.
fn breaks_off(error: &Error) -> bool {
    match error {
        Error::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
        Error::Request { source, .. } => !Error::is_tls(source),
        error => error.is_passing(),
    }
}
