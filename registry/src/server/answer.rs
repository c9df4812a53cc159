//! Headers and responses that several operations share.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use oci::{Digest, RepositoryName, Selector};
use serde::Serialize;
use store::UploadId;

use super::App;
use super::guard::memory::{self, BodyError};
use super::handle::Call;
use super::refusal::Refusal;

pub(super) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(super) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
pub(super) const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(super) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The challenge for a password.
pub(super) const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"airlock\"");

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A response without a body and with `Content-Length: 0`, for clients that wait for a length.
pub(super) fn done(status: StatusCode) -> Response {
    let mut response = empty(status);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// A JSON response.
pub(super) fn json(content_type: &'static str, value: &impl Serialize) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| Refusal::internal(&error))?;
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// Bodies up to this size are not counted.
const SMALL: usize = 64 * 1024;

/// A body of bytes in memory, which the client may read slowly: longer bodies count against the memory budget.
pub(super) async fn in_memory(app: &App, call: &Call, bytes: Bytes) -> Result<Body, Refusal> {
    if bytes.len() <= SMALL {
        return Ok(Body::from(bytes));
    }
    let memory = call.memory(app);
    let mut lease = memory.lease(call.network());
    match lease.grow(bytes.len()).await {
        // A body that exceeds any share is sent uncounted, because it is the store's own content.
        Ok(()) | Err(BodyError::TooLong) => Ok(memory::body(bytes, lease)),
        Err(error) => Err(Refusal::body(error, bytes.len())),
    }
}

/// A JSON response that may be long.
pub(super) async fn long_json(
    app: &App,
    call: &Call,
    content_type: &'static str,
    value: &impl Serialize,
) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| Refusal::internal(&error))?;
    let length = bytes.len();
    let mut response = Response::new(in_memory(app, call, Bytes::from(bytes)).await?);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    Ok(response)
}

/// Sets a header whose value is built from checked parts; values that are invalid in a header are left out.
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

/// How long a response may be cached, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// Requested by digest, without a password.
    Public,
    /// Requested by digest, with a password.
    Private,
    /// Requested by tag.
    Movable,
}

pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client states that it has this content.
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

/// `0-<last byte>`; also `0-0` for an empty upload, like in all registries.
pub(super) fn upload_range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

/// The headers for the state of an upload. Its location never changes.
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

/// The link to the next page of a listing.
pub(super) fn link_next(headers: &mut HeaderMap, target: &str) {
    set(headers, LINK, format!("<{target}>; rel=\"next\""));
}
