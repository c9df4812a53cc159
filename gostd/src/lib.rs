//! Parts of Go's standard library and `sigs.k8s.io/yaml` in Rust: the values that templates see, and how Go prints,
//! reads and writes them.
//!
//! Input is untrusted. [`Limits`] bounds everything that it can make grow, and a [`Budget`] counts it.
//!
//! - [`value`]: Go's `any`; [`object`]: values with methods
//! - [`mod@fmt`]: Go's `fmt`; [`time`]: Go's instants, layouts and durations
//! - [`json`]: Go's `encoding/json`; [`yaml`]: the YAML reader and writer for everything that airlock passes to
//!   Kubernetes
//! - [`limits`]: every limit, with its default; [`budget`]: how much of each is used

pub mod budget;
pub mod fmt;
pub mod json;
pub mod limits;
pub mod object;
pub mod time;
pub mod value;
pub mod yaml;

pub use budget::{Budget, Failure};
pub use limits::Limits;
