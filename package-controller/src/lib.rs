//! Packages in the cluster: what admission lets pass, and what becomes of a package.
//!
//! The decisions are pure: objects and facts go in, verdicts and steps come out, and nothing of them asks a cluster,
//! a registry or a clock. What runs them is around them.
//!
//! - [`admission`]: EKS Anywhere's three webhooks, with their texts
//! - [`guard`]: what a package's objects are held to; [`objects`]: the one reading of what a chart renders to
//! - [`images`]: the images of everything that makes pods, and the patch that pins them
//! - [`package`]: the steps of a package; [`bundle`]: whether a bundle can be used, and which to use
//! - [`policy`]: the cluster's trust policies as trust files
//! - [`webhook`]: the webhooks served; [`reconcile`]: the controllers; [`engine`]: charts installed as Helm does;
//!   [`run`]: the process; [`telemetry`]: what it tells about itself; [`keys`]: whose bundles count
//! - [`rbac`]: what the controller may do, by what is installed; [`workload`]: other clusters
//! - [`values`]: a package's values against the bundle's schema; [`version`]: Go's semantic versions
//!
//! `AdmissionReview -> Verdict`, `Observed -> Step`

pub mod admission;
mod brief;
pub mod bundle;
pub mod engine;
mod error;
pub mod guard;
pub mod images;
pub mod keys;
pub mod objects;
pub mod package;
pub mod policy;
pub mod rbac;
pub mod reconcile;
pub mod run;
pub mod telemetry;
pub mod values;
pub mod version;
pub mod webhook;
pub mod workload;

pub(crate) use error::words;
pub use error::{Error, Result, causes};
