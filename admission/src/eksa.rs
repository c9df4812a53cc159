//! EKS Anywhere's three webhooks: the same responses with the same texts, with security holes closed.
//!
//! Stricter than upstream: the annotation that skips all checks is honored only for users with the RBAC permission; a
//! selector that fails rejects the bundle instead of hashing a constant; a bundle name must match in full; values that a
//! signature does not cover are reported. More permissive than upstream: an edit that does not change the spec is not
//! checked again, so that a finalizer can be removed, and an unreachable cluster does not block other edits.

pub mod bundle;
pub mod bundle_controller;
pub mod package;

use serde::Serialize;

/// The decision on a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict {
    /// The request is admitted.
    #[serde(rename_all = "camelCase")]
    Allowed {
        /// Warnings for the client.
        warnings: Vec<String>,
    },
    /// The request is rejected.
    #[serde(rename_all = "camelCase")]
    Denied {
        /// The HTTP status: 400 if the object is invalid, 500 for other failures.
        code: u16,
        /// The reason.
        message: String,
    },
}

impl Verdict {
    /// Admits a request without warnings.
    #[must_use]
    pub fn allowed() -> Self {
        Self::Allowed { warnings: Vec::new() }
    }

    /// Whether the request is admitted.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// Rejects an invalid object.
    fn invalid(message: String) -> Self {
        Self::Denied { code: 400, message }
    }

    /// Rejects an object that cannot be checked.
    fn unavailable(message: String) -> Self {
        Self::Denied { code: 500, message }
    }
}

/// Rejects a package or a bundle, with the prefix that upstream uses for both.
fn failed(name: &str, fault: &str) -> Verdict {
    Verdict::invalid(format!("package {name} failed validation with error: {fault}"))
}
