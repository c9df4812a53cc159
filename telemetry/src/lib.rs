//! Health, readiness and metrics of a process.
//!
//! All parts of the process share a [`Telemetry`]; [`serve()`] answers probes and scrapes with it.

mod error;
mod process;
mod serve;

pub use error::{Error, Result};
pub use process::{Part, Telemetry};
pub use serve::{listen, serve, serve_on};
