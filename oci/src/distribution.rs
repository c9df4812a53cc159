//! Shapes of the distribution protocol (distribution specification 1.1) that both ends speak.

use serde::{Deserialize, Serialize};

/// The error codes of the specification's table "Error Codes".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The blob is not in the repository.
    BlobUnknown,
    /// The upload broke a rule, for example a chunk out of order.
    BlobUploadInvalid,
    /// There is no such upload session.
    BlobUploadUnknown,
    /// The digest is malformed, or the content does not hash to it.
    DigestInvalid,
    /// The manifest names blobs or manifests that the repository lacks.
    ManifestBlobUnknown,
    /// The manifest is malformed.
    ManifestInvalid,
    /// The manifest is not in the repository.
    ManifestUnknown,
    /// The repository name is malformed.
    NameInvalid,
    /// There is no such repository.
    NameUnknown,
    /// The length and the content differ.
    SizeInvalid,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The credentials do not allow it.
    Denied,
    /// The operation is not supported.
    Unsupported,
    /// Too many requests; `Retry-After` says when to come back.
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// A code that is not in the table.
    #[serde(other, rename = "UNKNOWN")]
    Unknown,
}

/// One entry of an error answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// What kind of error.
    pub code: ErrorCode,
    /// A sentence for a person.
    #[serde(default)]
    pub message: String,
    /// Anything that helps: the names and digests concerned, and what to do.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// The body of every 4xx answer.
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
