//! Headers and answers that several operations share.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use oci::{Digest, RepositoryName, Selector};
use serde::Serialize;
use store::UploadId;

use super::App;
use super::guard::memory::{self, Unread};
use super::handle::Call;
use super::refusal::Refusal;

pub(super) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(super) const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// How the registry asks for a password.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"airlock\"");

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer without a body that says so, for clients that wait for a length.
pub(super) fn done(status: StatusCode) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// A JSON answer.
pub(super) fn json(content_type: &'static str, value: &impl Serialize) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| Refusal::internal(&error))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// Shorter bodies are not worth counting.
const SMALL: usize = 64 * 1024;

/// A body of bytes in memory, which its client may take its time for: longer ones are of the budget for those.
pub(super) async fn held(app: &App, call: &Call, bytes: Bytes) -> Result<Body, Refusal> {
    if bytes.len() <= SMALL {
        return Ok(Body::from(bytes));
    }
    let memory = call.memory(app);
    let mut held = memory.hold(call.network());
    match held.grow(bytes.len()).await {
        // What is longer than any share goes out uncounted: it is the store's own.
        Ok(()) | Err(Unread::TooLong) => Ok(memory::body(bytes, held)),
        Err(unread) => Err(Refusal::unread(unread, bytes.len())),
    }
}

/// A JSON answer that may be long.
pub(super) async fn long_json(
    app: &App,
    call: &Call,
    content_type: &'static str,
    value: &impl Serialize,
) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| Refusal::internal(&error))?;
    let length = bytes.len();
    let mut response = Response::new(held(app, call, Bytes::from(bytes)).await?);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    Ok(response)
}

/// Sets a header whose value is built from checked parts; what no header can hold is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        headers.insert(name, value);
    }
}

/// The headers that let a client and its caches recognise content.
pub(super) fn identify(headers: &mut HeaderMap, digest: &Digest, lasting: Lasting) {
    set(headers, CONTENT_DIGEST, digest.to_string());
    set(headers, ETAG, etag(digest));
    let control = match lasting {
        Lasting::Public => "public, max-age=31536000, immutable",
        Lasting::Private => "private, max-age=31536000, immutable",
        Lasting::Movable => "no-cache",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
}

/// How long an answer stays true, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// Asked for by digest, without a password.
    Public,
    /// Asked for by digest, with a password.
    Private,
    /// Asked for by tag.
    Movable,
}

pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client says that it has this content.
pub(super) fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let etag = etag(digest);
    let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).map(str::trim).any(|known| {
        // Weak comparison: GET and HEAD only.
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
    })
}

pub(super) fn blob_path(repository: &RepositoryName, digest: &Digest) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

pub(super) fn manifest_path(repository: &RepositoryName, selector: &Selector) -> String {
    format!("/v2/{repository}/manifests/{selector}")
}

pub(super) fn upload_path(repository: &RepositoryName, id: &UploadId) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}")
}

/// `0-<last byte>`; an empty upload says `0-0` too, as every registry does.
pub(super) fn upload_range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

/// Where an upload stands. The location is the same for the whole of its life.
pub(super) fn upload_headers(
    headers: &mut HeaderMap,
    repository: &RepositoryName,
    id: &UploadId,
    offset: u64,
) {
    set(headers, LOCATION, upload_path(repository, id));
    set(headers, http::header::RANGE, upload_range(offset));
    set(headers, UPLOAD_UUID, id.to_string());
}

/// Where the rest of a listing is.
pub(super) fn link_next(headers: &mut HeaderMap, target: &str) {
    set(headers, LINK, format!("<{target}>; rel=\"next\""));
}
