//! From a mirror file into a store, and a lock of what that came to.
//!
//! Stages tell a [`reporter::Reporter`] what they do; they never print.
//!
//! - [`config`]: the mirror file; [`source`]: what its sources name
//! - [`lock`]: what a run settled on; [`complete`]: whether all that its manifests name is there
//! - [`run()`]: from a mirror file into the store; [`plan()`]: what it would do
//!
//! `MirrorConfig -> MirrorPlan -> [store] -> Lock`

pub mod complete;
pub mod config;
pub mod lock;
pub mod reporter;
mod run;
pub mod source;

pub use run::{
    Download, Error, ItemReport, Locks, MOST_PROVENANCE, MirrorPlan, MirrorReport, MovedTag, Origin,
    StoredChart, Totals, WrongContent, client, plan, run, stored_chart, verify_chart, write_durably,
};
