//! Packages in the cluster: what admission lets pass, and what becomes of a package.
//!
//! The decisions are pure: objects and facts go in, verdicts and steps come out, and nothing of them asks a cluster,
//! a registry or a clock. What runs them is around them.
//!
//! - [`admission`]: EKS Anywhere's three webhooks, with their texts
//! - [`guard`]: what a package's objects are held to; [`objects`]: the one reading of what a chart renders to
//! - [`package`]: the steps of a package; [`bundle`]: whether a bundle can be used, and which to use
//! - [`policy`]: the cluster's trust policies as trust files
//! - [`webhook`]: the webhooks served; [`reconcile`]: the controllers; [`engine`]: charts installed as Helm does;
//!   [`run`]: the process; [`keys`]: whose bundles count
//! - [`rbac`]: what the controller may do, by what is installed; [`workload`]: other clusters
//! - [`values`]: a package's values against the bundle's schema
//!
//! `AdmissionReview -> Verdict`, `Observed -> Step`

pub mod admission;
pub mod bundle;
mod error;
pub mod keys;
pub mod package;
pub mod policy;
pub mod rbac;
pub mod reconcile;
pub mod run;
pub mod values;
pub mod webhook;
pub mod workload;

pub use error::{Error, Result};
