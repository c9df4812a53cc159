//! Installs, upgrades, rolls back and uninstalls charts as Helm does, with records that Helm can read.
//!
//! The record of a revision, with the whole manifest, is written before its first object is applied, and every later step
//! can be repeated. So a process that was killed in between can be resumed: another call of [`Engine::install`] with the
//! same plan completes that revision and creates no other.
//!
//! - [`Install`]: the plan of an installation; [`Engine`]: one target cluster; [`Limits`]: timeouts, and what to do on
//!   failure
//! - [`Record`]: a revision of a release as Helm stores it
//! - [`Prepared`]: a chart, pulled by its digest and rendered for this cluster, before anything is changed
//! - [`readiness`]: when an object is ready, by the rules of kstatus and Helm
//! - [`objects`]: parses the documents of a rendered chart; [`guard`]: restricts the objects of a package;
//!   [`rights`]: the permissions for installing a chart
//!
//! `Install -> Prepared -> Record`

mod adopt;
mod annotations;
mod apply;
mod certificates;
mod chart;
mod cluster;
mod definitions;
mod differences;
mod drift;
mod engine;
mod error;
pub mod guard;
mod hooks;
mod install;
mod limits;
mod lookup;
mod object;
pub mod objects;
mod plan;
mod prepare;
mod prepared;
pub mod readiness;
mod record;
mod release;
mod remove;
pub mod rights;
mod rollback;
mod storage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod uninstall;
mod wait;

pub use annotations::TAKE_OWNERSHIP;
pub use engine::Engine;
pub use error::Error;
pub use limits::{Conflicts, Limits, OnFailure, Ownership};
pub use plan::{IMAGE_REGISTRY, Install, SOURCE_REGISTRY, gives_registry, with_registry};
pub use prepared::Prepared;
pub use release::{Change, Drift, Record, Status};
