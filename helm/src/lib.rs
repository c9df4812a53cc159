//! Renders Helm charts. From a chart, values and capabilities, it produces ordered manifests, hooks and notes that are
//! equal to those of Helm 4 for the same input.
//!
//! It is a pure Rust engine that starts no process and accesses neither the network nor files or environment variables
//! of the host. A chart is untrusted input, so [`Limits`] bounds everything that it can make grow. Clock, randomness
//! and `lookup` come from the caller, so a render with the same seed returns the same bytes.
//!
//! - `chart`: loading, values, dependencies, schemas; [`Chart`], [`Values`]
//! - `capabilities`: the versions of the cluster and its APIs; [`Capabilities`]
//! - `render`: from templates to manifests, hooks and notes; [`render()`], [`Options`], [`Rendered`]
//! - `function`: template functions, and the scope that they can access
//! - `template`: Go's text/template: lexer, parser, evaluator
//! - `funcs`: the functions; `semver`: versions and constraints; `toml`: reading and writing TOML
//! - `primes`: the primes of RSA keys, generated ahead of their use
//! - [`lookup`]: access of a chart to a cluster
//!
//! Go's values, `fmt`, `time`, JSON and YAML are in [`gostd`], as is [`Limits`].
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
pub use chart::{Chart, Dependency, InvalidMetadata, Maintainer, Metadata, ReadFile, Values};
pub use error::Error;
pub use funcs::crypto::is_due;
pub use gostd::Limits;
pub use lookup::{Deny, Lookup};
pub use render::{
    Crd, DeletePolicy, Hook, HookEvent, Keys, Manifest, Mode, Options, Order, OutputLogPolicy, Release,
    Rendered, SchemaCheck, render,
};
pub use semver::newest;
