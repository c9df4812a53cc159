//! Error responses: status, the specification's code, and a detail with a hint.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use oci::distribution::{ErrorBody, ErrorCode, ErrorEntry};
use oci::{Digest, RepositoryName, Selector};
use serde_json::{Value, json};
use store::{SizeMismatch, UploadId};

use super::access::Allow;
use super::guard::memory::BodyError;

/// What is wrong with the token of a request (RFC 6750, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenFault {
    /// It is not valid, or has expired.
    Invalid,
    /// Its scope does not include the request.
    Scope,
}

impl TokenFault {
    fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid_token",
            Self::Scope => "insufficient_scope",
        }
    }
}

/// An error response.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    entry: ErrorEntry,
    /// Additional codes for the same error, for clients that check for them.
    more: Vec<ErrorEntry>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What is wrong with the request's token, for the challenge.
    fault: Option<TokenFault>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: ErrorCode, message: &str, detail: Value) -> Self {
        let entry = ErrorEntry { code, message: message.to_owned(), detail };
        Self { status, entry, more: Vec::new(), headers: Vec::new(), fault: None }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds what is wrong with the request's token (RFC 6750, section 3.1).
    pub(super) fn fault(mut self, fault: TokenFault) -> Self {
        self.fault = Some(fault);
        self
    }

    pub(super) fn token_fault(&self) -> Option<&'static str> {
        self.fault.map(TokenFault::code)
    }

    pub(super) fn message(&self) -> &str {
        &self.entry.message
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn not_found(path: &str) -> Self {
        let message = "nothing exists at this path";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, message, json!({ "path": path }))
    }

    pub(super) fn method(method: &Method, allowed: &'static str) -> Self {
        let detail = json!({ "method": method.as_str(), "allowed": allowed });
        let message = "the method is not supported for this path";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message, detail)
            .header(ALLOW, HeaderValue::from_static(allowed))
    }

    /// An invalid name, tag or digest.
    pub(super) fn invalid(code: ErrorCode, error: &oci::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, &error.to_string(), Value::Null)
    }

    pub(super) fn query(parameter: &str) -> Self {
        let message = "a query parameter is invalid";
        let detail = json!({ "parameter": parameter });
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message, detail)
    }

    pub(super) fn read_only() -> Self {
        let detail = json!({ "hint": "add content to the registry's store with `airlock import` or `airlock mirror`" });
        let message = "the registry is read-only";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message, detail)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message, Value::Null)
    }

    /// An action that no policy allows the user.
    pub(super) fn denied(repository: &RepositoryName, action: Allow) -> Self {
        let hint = "ask the registry's operator for a policy that allows this";
        let detail = json!({ "repository": repository.as_str(), "action": action.as_str(), "hint": hint });
        let message = format!("no policy allows you to {action} in this repository");
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, &message, detail)
    }

    pub(super) fn too_many(message: &str) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests, message, Value::Null)
    }

    pub(super) fn waiting() -> Self {
        Self::too_many("too many requests of this client are waiting")
    }

    /// A source of users does not answer, so that no one can be identified.
    pub(super) fn unidentified(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown, message, Value::Null)
            .header(RETRY_AFTER, HeaderValue::from_static("30"))
    }

    pub(super) fn blob_unknown(repository: &RepositoryName, digest: &Digest) -> Self {
        let detail = json!({ "repository": repository.as_str(), "digest": digest.to_string() });
        let message = "the repository has no such blob";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, message, detail)
    }

    pub(super) fn manifest_unknown(repository: &RepositoryName, selector: &Selector) -> Self {
        let detail = json!({ "repository": repository.as_str(), "reference": selector.to_string() });
        let message = "the repository has no such manifest";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, message, detail)
    }

    /// A text that is not a valid tag, so no manifest has it.
    pub(super) fn no_such_tag(repository: &RepositoryName, text: &str) -> Self {
        let detail = json!({ "repository": repository.as_str(), "reference": text });
        let message = "the repository has no such manifest";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, message, detail)
    }

    /// A body that could not be received; `most` is its maximum size.
    pub(super) fn body(error: BodyError, most: usize) -> Self {
        match error {
            BodyError::TooLong => {
                let (message, detail) = ("the manifest is too large", json!({ "most": most }));
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid, message, detail)
            }
            BodyError::Lost { received } => Self::body_lost(received),
            BodyError::NoMemory => Self::too_many("too many request bodies are in memory"),
        }
    }

    pub(super) fn name_unknown(repository: &RepositoryName) -> Self {
        let detail = json!({ "repository": repository.as_str() });
        let message = "the repository does not exist";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, message, detail)
    }

    pub(super) fn upload_unknown(id: &str) -> Self {
        let detail = json!({ "upload": id, "hint": "start a new upload with POST" });
        let message = "the upload does not exist";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown, message, detail)
    }

    pub(super) fn upload_busy(id: &UploadId) -> Self {
        let detail = json!({ "upload": id.to_string(), "hint": "wait for the other request to end" });
        let message = "another request is writing to this upload";
        Self::new(StatusCode::CONFLICT, ErrorCode::BlobUploadInvalid, message, detail)
    }

    /// A body that was interrupted or stalled.
    pub(super) fn body_lost(received: u64) -> Self {
        let message = "the request body was interrupted or stalled";
        let detail = json!({ "received": received });
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, message, detail)
    }

    /// A body that is longer than its `Content-Range` or `Content-Length` states.
    pub(super) fn body_too_long(received: u64) -> Self {
        let message = "the request body is longer than its range";
        let detail = json!({ "received": received });
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, message, detail)
    }

    /// The number of bytes that were received of a body that was not received completely.
    pub(super) fn received(&self) -> Option<u64> {
        self.entry.detail.get("received").and_then(Value::as_u64)
    }

    pub(super) fn blob_mismatch(expected: &Digest, found: &Digest) -> Self {
        let detail = json!({ "expected": expected.to_string(), "found": found.to_string() });
        let message = "the content does not match the digest";
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, message, detail)
    }

    pub(super) fn manifest_invalid(error: &oci::Error) -> Self {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let detail = cause.map_or(Value::Null, |cause| json!({ "cause": cause }));
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, &error.to_string(), detail)
    }

    /// The blobs of a manifest that the repository lacks.
    pub(super) fn blobs_missing(repository: &RepositoryName, digests: &[Digest]) -> Self {
        let missing: Vec<String> = digests.iter().map(ToString::to_string).collect();
        let detail = json!({
            "repository": repository.as_str(),
            "missing": missing,
            "hint": "push or mount these blobs to this repository first",
        });
        let message = "the repository lacks blobs that the manifest lists";
        Self::new(StatusCode::NOT_FOUND, ErrorCode::ManifestBlobUnknown, message, detail)
    }

    /// A manifest that states wrong sizes.
    pub(super) fn sizes(wrong: &[SizeMismatch]) -> Self {
        let one = |SizeMismatch { digest, said, found }: &SizeMismatch| json!({ "digest": digest.to_string(), "said": said, "found": found });
        let detail = json!({
            "sizes": wrong.iter().map(one).collect::<Vec<_>>(),
            "hint": "rebuild the manifest: each size must match the content",
        });
        let message = "the manifest states sizes that do not match its content";
        let mut refusal =
            Self::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid, message, detail.clone());
        let entry = ErrorEntry { code: ErrorCode::SizeInvalid, message: message.to_owned(), detail };
        refusal.more.push(entry);
        refusal
    }

    /// Unfinished uploads have reached their limit.
    fn upload_quota(error: &store::Error) -> Self {
        let detail = json!({ "hint": "finish or cancel open uploads; uploads that are idle for an hour make room for new ones" });
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, ErrorCode::TooManyRequests, &error.to_string(), detail)
            .header(RETRY_AFTER, HeaderValue::from_static("60"))
    }

    /// The store's folder is missing.
    pub(super) fn store_gone() -> Self {
        let message = "the store's folder is missing";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown, message, Value::Null)
    }

    /// The disk of the store or of a log is full.
    fn disk_full(what: &str) -> Self {
        tracing::error!("the file system of {what} is full");
        let detail = json!({ "hint": "free space on the registry's disk, then push again" });
        let message = "the registry's disk is full";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unknown, message, detail)
    }

    /// A change that could not be recorded.
    pub(super) fn unrecorded(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        let is_full = |cause: &std::io::Error| {
            matches!(cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
        };
        if causes.any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(is_full)) {
            return Self::disk_full("the audit log");
        }
        Self::internal(error)
    }

    /// An internal error. The cause goes to the log only.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = causes(error), "a request failed with an internal error");
        let message = "the registry failed; see its log for the cause";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, message, Value::Null)
    }

    /// The response; without a body for HEAD.
    pub(super) fn into_response(self, method: &Method) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if *method != Method::HEAD {
            let errors = std::iter::once(self.entry).chain(self.more).collect();
            let body = serde_json::to_vec(&ErrorBody { errors }).unwrap_or_default();
            *response.body_mut() = Body::from(body);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers);
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.entry(RETRY_AFTER).or_insert(HeaderValue::from_static("5"));
        }
        response
    }
}

/// An error with all its causes, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        source = cause.source();
    }
    causes
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::DigestMismatch { expected, found } => Self::blob_mismatch(expected, found),
            store::Error::BlobMissing { repository, digest } => {
                Self::blobs_missing(repository, std::slice::from_ref(digest))
            }
            store::Error::ManifestMissing { repository, digest } => {
                Self::manifest_unknown(repository, &Selector::Digest(digest.clone()))
            }
            store::Error::UploadBusy(id) => match id.parse() {
                Ok(id) => Self::upload_busy(&id),
                Err(_) => Self::upload_unknown(id),
            },
            store::Error::UploadGone(id) => Self::upload_unknown(id),
            store::Error::UploadQuota { .. } => Self::upload_quota(&error),
            store::Error::TooManyNaming { named, .. } => {
                let hint = "delete referrers or indexes that are no longer needed, or ask the registry's operator for a \
                            higher --referrers-per-user";
                let detail = json!({ "digest": named.to_string(), "hint": hint });
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, &error.to_string(), detail)
            }
            store::Error::InboxFull { repository, .. } => {
                let hint = "sign or drop manifests in the inbox (`airlock inbox`), or push by digest, sign, and then push the tag";
                let detail = json!({ "repository": repository.as_str(), "hint": hint });
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, &error.to_string(), detail)
            }
            store::Error::TagImmutable { repository, tag } => {
                let hint = "push a different tag: this one is immutable, so it cannot be moved or deleted";
                let detail = json!({ "repository": repository.as_str(), "tag": tag.as_str(), "hint": hint });
                Self::new(StatusCode::PRECONDITION_FAILED, ErrorCode::Denied, &error.to_string(), detail)
            }
            store::Error::Protected(protection) => {
                let hint = "it is still needed; ask the registry's operator to end the protection";
                let detail = json!({ "name": protection.to_string(), "hint": hint });
                Self::new(StatusCode::PRECONDITION_FAILED, ErrorCode::Denied, &error.to_string(), detail)
            }
            store::Error::QuotaExceeded { quota, used, added, most, what } => {
                let hint = "delete content that is no longer needed, or ask the registry's operator for a higher quota";
                let detail = json!({ "quota": quota, "unit": what, "used": used, "added": added, "most": most, "hint": hint });
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, &error.to_string(), detail)
            }
            store::Error::DescriptorSize { digest, said, found, .. } => {
                Self::sizes(&[SizeMismatch { digest: digest.clone(), said: *said, found: *found }])
            }
            locked if locked.is_locked() => {
                tracing::error!(error = %causes(locked), "the store is locked");
                let message = "the store is locked by another process; try again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown, message, Value::Null)
                    .header(RETRY_AFTER, HeaderValue::from_static("5"))
            }
            full if full.is_out_of_space() => Self::disk_full("the store"),
            other => Self::internal(other),
        }
    }
}
