//! What a process tells about itself: whether it lives, whether it is ready, and its metrics.
//!
//! [`Telemetry`] is shared by all parts of the process; [`serve()`] answers probes and scrapes with it.

mod error;
mod process;
mod serve;

pub use error::{Error, Result};
pub use process::{Part, Telemetry};
pub use serve::serve;
