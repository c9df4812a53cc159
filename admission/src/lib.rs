//! What a cluster lets pass: packages, bundles and settings as EKS Anywhere's webhooks judge them, and images by the
//! cluster's trust policies.
//!
//! The decisions are pure: objects and facts go in, verdicts come out, and nothing of them asks a cluster, a registry or
//! a clock. What serves them is around them.
//!
//! - [`eksa`]: EKS Anywhere's three webhooks, with their texts
//! - [`policy`]: the cluster's trust policies as trust files
//! - [`values`]: a package's values against the bundle's schema; [`keys`]: whose bundles count
//! - [`workload`]: other clusters
//! - [`webhook`]: the webhooks served; [`Context`]: what they work with
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

pub use context::{Context, Leads, Settings};
pub use error::{Error, Result};
