//! Admission: packages, bundles and their configuration are checked as EKS Anywhere's webhooks check them, and images by
//! the cluster's trust policies.
//!
//! The decisions are pure functions of objects and of state that the caller fetched. They do not access a cluster, a
//! registry or a clock. The servers around them do.
//!
//! - [`eksa`]: the decisions of EKS Anywhere's three webhooks, with their texts
//! - [`policy`]: the cluster's trust policies as trust files
//! - [`values`]: validation of a package's values; [`keys`]: the trusted keys for bundles
//! - [`workload`]: clients for other clusters
//! - [`webhook`]: the webhook server; [`Context`]: its dependencies
//!
//! `AdmissionReview -> Verdict`

mod context;
pub mod eksa;
mod error;
pub mod keys;
pub mod policy;
pub mod values;
pub mod webhook;
pub mod workload;

pub use context::{Context, LeaderCheck, Settings};
pub use error::{Error, Result};
