//! Packages in the cluster: what becomes of a package, and the process in which that happens.
//!
//! The decisions are pure: objects and facts go in, steps come out, and nothing of them asks a cluster, a registry or a
//! clock. What runs them is around them.
//!
//! - [`package`]: the steps of a package; [`bundle`]: whether a bundle can be used, and which to use
//! - [`reconcile`]: the controllers, which install charts with [`installer`]
//! - [`run`]: the process, by its [`Settings`], which serves the webhooks of [`admission`], too
//! - [`rbac`]: what the controller may do in any case
//!
//! `Observed -> Step`

pub mod bundle;
mod context;
mod error;
pub mod package;
pub mod rbac;
pub mod reconcile;
pub mod run;

pub use context::{Context, Duty, Settings};
pub use error::{Error, Result};
