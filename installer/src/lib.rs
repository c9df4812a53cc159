//! Charts installed, upgraded, rolled back and taken away as Helm does, with records that Helm reads.
//!
//! The record of a revision, with the whole manifest, is written before its first object is applied, and every step
//! after that may be done twice. So whoever was killed in between goes on where it was: [`Engine::install`] called
//! again with the same plan finishes that revision and makes no other.
//!
//! - [`Install`]: what is to be installed; [`Engine`]: one target cluster; [`Limits`]: how long, and what becomes of a failure
//! - [`Record`]: a release's revision as Helm stores it
//! - [`Prepared`]: a chart, pulled by its digest and rendered for this cluster, before anything is changed
//! - [`readiness`]: when an object is ready, by kstatus' and Helm's rules
//! - [`objects`]: the one reading of what a chart renders to; [`guard`]: what a package's objects are held to;
//!   [`rights`]: what who installs a chart must be allowed
//!
//! `Install -> Prepared -> Record`

mod adopt;
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
mod marks;
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

pub use engine::Engine;
pub use error::Error;
pub use limits::{Conflicts, Limits, OnFailure, Ownership};
pub use marks::TAKE_OWNERSHIP;
pub use plan::{IMAGE_REGISTRY, Install, SOURCE_REGISTRY, gives_registry, with_registry};
pub use prepared::Prepared;
pub use release::{Change, Drift, Record, Status};
