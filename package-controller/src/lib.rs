//! The controller for packages in a cluster, and its process.
//!
//! The decisions are pure functions of objects and of observed state. They do not access a cluster, a registry or a clock.
//! The controllers around them do.
//!
//! - [`package`]: the steps of a package; [`bundle`]: whether a bundle can be used, and which one to activate
//! - [`reconcile`]: the controllers, which install charts with [`installer`]
//! - [`run`]: the process with its [`Settings`]; it also serves the webhooks of [`admission`]
//! - [`rbac`]: the permissions that the controller always needs; [`read_kubeconfig`]: reads a kubeconfig file
//!
//! `Observed -> Step`

pub mod bundle;
mod context;
mod error;
mod kubeconfig;
pub mod package;
pub mod rbac;
pub mod reconcile;
pub mod run;

pub use context::{Context, Duty, Settings};
pub use error::{Error, Result};
pub use kubeconfig::read_kubeconfig;
