//! Status conditions in Kubernetes' standard form, in addition to EKS Anywhere's states.
//!
//! With EKS Anywhere's own CRDs, the API server drops them, so no decision of airlock may depend on a condition.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A package is installed as specified, or a policy is in force.
pub const READY: &str = "Ready";
/// An installation or upgrade failed and is not continued.
pub const FAILED: &str = "Failed";
/// The objects in the cluster differ from those that were applied.
pub const DRIFTED: &str = "Drifted";
/// The signature of what is used was verified.
pub const VERIFIED: &str = "Verified";

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The type of the condition.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the condition holds.
    pub status: ConditionStatus,
    /// The reason, as one word for programs.
    pub reason: String,
    /// The reason, as text for people.
    pub message: String,
    /// The time of the last change of the status: RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The generation of the object that the condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known whether it holds.
    Unknown,
}
