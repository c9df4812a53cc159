//! The gate that decides which manifests clients may pull, and which may get a tag.

use std::error::Error;

use http::StatusCode;
use oci::distribution::ErrorCode;
use oci::{Digest, Manifest, RepositoryName, Tag};
use serde_json::json;

use super::observe::Visitor;
use super::refusal::Refusal;

/// A manifest that a client pulls.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// The repository that has it.
    pub repository: &'a RepositoryName,
    /// Its digest.
    pub digest: &'a Digest,
    /// The client.
    pub visitor: &'a Visitor,
}

/// A manifest that a client pushes with tags.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Its digest.
    pub digest: &'a Digest,
    /// The manifest, which is not in the store yet.
    pub manifest: &'a Manifest,
    /// The tags, at least one.
    pub tags: &'a [Tag],
    /// The client.
    pub visitor: &'a Visitor,
}

/// Why a gate does not allow a manifest.
#[derive(Debug)]
pub enum GateError {
    /// It is denied: 403 `DENIED`.
    Denied {
        /// The rule that is not met, and why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The decision failed.
    Failed(Box<dyn Error + Send + Sync>),
}

/// Decides about manifests, on the blocking pool. The server does not cache decisions; the gate may.
pub trait Gate: Send + Sync {
    /// Decides before a manifest, or the existence of a manifest, is sent to the client.
    ///
    /// # Errors
    /// [`GateError`].
    fn pull(&self, pull: &Pull<'_>) -> Result<(), GateError>;

    /// Decides before a manifest is stored with tags. A push by digest alone needs no decision, so that an image and its
    /// signatures can be pushed one after the other.
    ///
    /// # Errors
    /// [`GateError`].
    fn push(&self, push: &Push<'_>) -> Result<(), GateError>;
}

impl From<GateError> for Refusal {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Denied { message, hint } => {
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, &message, json!({ "hint": hint }))
            }
            GateError::Failed(error) => Self::internal(&*error),
        }
    }
}
