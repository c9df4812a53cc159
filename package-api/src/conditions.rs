//! What a status says beyond EKS Anywhere's states: conditions, in the form that Kubernetes has for them.
//!
//! Under EKS Anywhere's own definitions the API server drops them; nothing that airlock decides may rest on one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A package runs as wanted; or a policy is in force.
pub const READY: &str = "Ready";
/// An installation or upgrade was given up.
pub const FAILED: &str = "Failed";
/// What is in the cluster is not what was applied.
pub const DRIFTED: &str = "Drifted";
/// What is used was verified.
pub const VERIFIED: &str = "Verified";

/// One aspect of an object's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// Why, in one word for programs.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Since when: RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Of which generation of the object this was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody could tell.
    Unknown,
}
