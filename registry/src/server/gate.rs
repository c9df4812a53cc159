//! Who decides which manifests may go out, and which may get a tag.

use std::error::Error;

use http::StatusCode;
use oci::distribution::ErrorCode;
use oci::{Digest, Manifest, RepositoryName, Tag};
use serde_json::json;

use super::observe::Visitor;
use super::refusal::Refusal;

/// A manifest that a client wants.
#[derive(Clone, Copy, Debug)]
pub struct Pull<'a> {
    /// The repository that has it.
    pub repository: &'a RepositoryName,
    /// Which one.
    pub digest: &'a Digest,
    /// Who asks.
    pub visitor: &'a Visitor,
}

/// A manifest that a client wants to be found under tags.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The repository.
    pub repository: &'a RepositoryName,
    /// Its digest.
    pub digest: &'a Digest,
    /// What came; it is not in the store yet.
    pub manifest: &'a Manifest,
    /// The tags, at least one.
    pub tags: &'a [Tag],
    /// Who asks.
    pub visitor: &'a Visitor,
}

/// Why something does not go through.
#[derive(Debug)]
pub enum Stop {
    /// It may not: 403 `DENIED`.
    Denied {
        /// Which rule is not met, and why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// It could not be decided.
    Failed(Box<dyn Error + Send + Sync>),
}

/// Decides, on the blocking pool. What it returns is final: it remembers what it may.
pub trait Gate: Send + Sync {
    /// Before a manifest, or that there is one, is answered.
    ///
    /// # Errors
    /// [`Stop`].
    fn pull(&self, pull: &Pull<'_>) -> Result<(), Stop>;

    /// Before a manifest is put with tags. A push by digest alone is not asked about, so that an image and what is said
    /// of it can arrive one after the other.
    ///
    /// # Errors
    /// [`Stop`].
    fn push(&self, push: &Push<'_>) -> Result<(), Stop>;
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Denied { message, hint } => {
                Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied, &message, json!({ "hint": hint }))
            }
            Stop::Failed(error) => Self::internal(&*error),
        }
    }
}
