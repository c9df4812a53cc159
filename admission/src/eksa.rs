//! EKS Anywhere's three webhooks: the same answers in the same words, with their holes closed.
//!
//! Closed: the annotation that let anyone pass unchecked lets pass only whom the cluster's own rights allow; a
//! selector that fails refuses the bundle instead of hashing a constant; a name is a bundle's only in full; what a
//! signature does not cover is told. Loosened, where upstream stands in its own way: an edit that leaves the spec
//! alone is not judged again, so that a finalizer can go, and a cluster that does not answer stops no other edit.

pub mod bundle;
pub mod bundle_controller;
pub mod package;

use serde::Serialize;

/// An answer to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    /// It may be.
    #[serde(rename_all = "camelCase")]
    Allowed {
        /// What whoever asked is told all the same.
        warnings: Vec<String>,
    },
    /// It may not be.
    #[serde(rename_all = "camelCase")]
    Denied {
        /// The HTTP status: 400 for the object's fault, 500 for another.
        code: u16,
        /// Why.
        message: String,
    },
}

impl Verdict {
    /// It may be.
    #[must_use]
    pub fn allowed() -> Self {
        Self::Allowed { warnings: Vec::new() }
    }

    /// Whether it may be.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// It may not be, by its own fault.
    fn refused(message: String) -> Self {
        Self::Denied { code: 400, message }
    }

    /// Nobody can tell, so it may not be.
    fn unknown(message: String) -> Self {
        Self::Denied { code: 500, message }
    }
}

/// What upstream says before any fault of a package, and of a bundle, too.
fn failed(name: &str, fault: &str) -> Verdict {
    Verdict::refused(format!("package {name} failed validation with error: {fault}"))
}
