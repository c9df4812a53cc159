//! What Go's standard library and `sigs.k8s.io/yaml` do, in Rust: the values that templates see, and what Go prints,
//! reads and writes of them.
//!
//! Text that comes in is untrusted. Whatever it can make grow is bounded by [`Limits`], and counted in a [`Budget`].
//!
//! - [`value`]: Go's `any`; [`object`]: values with methods
//! - [`mod@fmt`]: Go's `fmt`; [`time`]: its instants, layouts and durations
//! - [`json`]: Go's `encoding/json`; [`yaml`]: the reader and writer of YAML for all that airlock hands to Kubernetes
//! - [`limits`]: every bound, with its default; [`budget`]: what is used of them

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
