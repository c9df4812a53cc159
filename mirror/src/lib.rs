//! Mirrors the sources of a mirror file into a store, and locks the result.
//!
//! Stages report to a [`reporter::Reporter`]; they never print.
//!
//! - [`config`]: the mirror file; [`source`]: the content of its sources
//! - [`lock`]: the digests that a run resolved; [`complete`]: the check that all content of the manifests is included
//! - [`run()`]: mirrors into the store; [`plan()`]: shows what a run would do
//!
//! `MirrorConfig -> MirrorPlan -> [store] -> Lock`

pub mod complete;
pub mod config;
pub mod lock;
mod platforms;
pub mod reporter;
mod run;
pub mod source;

pub use run::{
    Download, Error, ItemReport, LockTarget, Locks, MOST_PROVENANCE, MirrorPlan, MirrorReport, Mirrored,
    MovedTag, Origin, StoredChart, Totals, WrongContent, client, plan, run, stored_chart, verify_chart,
    write_durably,
};
