//! The response bodies of the distribution protocol (distribution specification 1.1), shared by client and server.

use serde::{Deserialize, Serialize};

/// The error codes of the specification's table "Error Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The blob is not in the repository.
    BlobUnknown,
    /// The upload broke a rule, for example a chunk out of order.
    BlobUploadInvalid,
    /// The upload session does not exist.
    BlobUploadUnknown,
    /// The digest is malformed, or the content does not hash to it.
    DigestInvalid,
    /// The manifest references blobs or manifests that the repository lacks.
    ManifestBlobUnknown,
    /// The manifest is malformed.
    ManifestInvalid,
    /// The manifest is not in the repository.
    ManifestUnknown,
    /// The repository name is malformed.
    NameInvalid,
    /// The repository does not exist.
    NameUnknown,
    /// The length and the content differ.
    SizeInvalid,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The credentials do not allow the operation.
    Denied,
    /// The operation is not supported.
    Unsupported,
    /// Too many requests; `Retry-After` states when to retry.
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// A code that is not in the table.
    #[serde(other, rename = "UNKNOWN")]
    Unknown,
}

/// One entry of an error response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// The kind of error.
    pub code: ErrorCode,
    /// A sentence for users.
    #[serde(default)]
    pub message: String,
    /// Details: the names and digests concerned, and what to do.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// The body of every 4xx response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// At least one.
    pub errors: Vec<ErrorEntry>,
}

/// The body of `GET /v2/<name>/tags/list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagList {
    /// The repository.
    pub name: String,
    /// Its tags in byte order; some registries send `null` for none.
    #[serde(deserialize_with = "crate::descriptor::null_is_default")]
    pub tags: Vec<String>,
}

/// The body of `GET /v2/_catalog`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Repository names in byte order.
    #[serde(deserialize_with = "crate::descriptor::null_is_default")]
    pub repositories: Vec<String>,
}
