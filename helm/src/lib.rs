//! Charts: what Helm renders, rendered here. Chart, values and capabilities go in; ordered manifests,
//! hooks and notes come out, equal to what Helm 4 makes of the same input.
//!
//! The vocabulary's one engine: pure Rust, no process, no network, no file or environment of the host. A chart
//! is untrusted input, so everything it can make grow is bounded by [`Limits`]; clock, randomness and `lookup`
//! come in from the caller, so a render with the same seed gives the same bytes.
//!
//! - `chart`: loading, values, dependencies, schemas; [`Chart`], [`Values`]
//! - `capabilities`: what templates may learn of the cluster unasked; [`Capabilities`]
//! - `render`: templates to manifests, hooks and notes; [`render()`], [`Options`], [`Rendered`]
//! - `function`: what a template function is, and what it may reach
//! - `template`: Go's text/template: lexer, parser, evaluator
//! - `funcs`: the functions themselves; `semver`: versions and the constraints on them; `toml`: TOML in and out
//! - `primes`: what RSA keys are made of, made ahead
//! - [`lookup`]: what a chart may learn of a cluster
//!
//! Go's values, `fmt`, `time`, JSON and YAML are [`gostd`]'s; [`Limits`] is its type.
//!
//! `Chart + Values + Capabilities -> Rendered`

pub mod lint;
pub mod lookup;

mod capabilities;
mod chart;
mod draws;
mod error;
mod funcs;
mod function;
mod primes;
mod render;
mod semver;
mod template;
mod toml;

pub use capabilities::{Capabilities, KubeVersion};
pub use chart::{Chart, Dependency, Maintainer, Metadata, ReadFile, Unfit, Values};
pub use error::Error;
pub use funcs::crypto::is_due;
pub use gostd::Limits;
pub use lookup::{Deny, Lookup};
pub use render::{
    Crd, DeletePolicy, Hook, HookEvent, Keys, Manifest, Mode, Options, Order, OutputLogPolicy, Release,
    Rendered, SchemaCheck, render,
};
pub use semver::newest;
