//! Packages in the cluster: what admission lets pass, and what becomes of a package.
//!
//! So far the decisions alone: objects and facts go in, verdicts and steps come out. Nothing here asks a cluster,
//! a registry or a clock, so every decision is tested as a function; what runs them comes around them.
//!
//! - [`admission`]: EKS Anywhere's three webhooks, with their texts
//! - [`images`]: the images of everything that makes pods, and the patch that pins them
//! - [`package`]: the steps of a package; [`bundle`]: whether a bundle can be used, and which to use
//! - [`policy`]: the cluster's trust policies as trust files
//! - [`values`]: a package's values against the bundle's schema; [`version`]: Go's semantic versions
//!
//! `AdmissionReview -> Verdict`, `Observed -> Step`

pub mod admission;
pub mod bundle;
pub mod images;
pub mod package;
pub mod policy;
pub mod values;
pub mod version;
