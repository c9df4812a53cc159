//! The audit log: records each operation with its user, time, host, object and outcome.
//!
//! A log is a transparency log in the files of crate `tlog`, with one entry for each [`Event`]: canonical JSON with
//! the six fields that NIST SP 800-53 AU-3 requires. An event is durable, in the tree and covered by a signed checkpoint
//! before its operation reports success.
//!
//! Invariants:
//! - When [`Journal::record`] returns, its event can neither be lost nor changed without detection.
//! - An event is shown only after its proof against the signed checkpoint was verified.
//! - The index, which can be rebuilt from the log's files, is never trusted: it only shows where to look.
//!
//! - [`event`]: the content of an entry; [`draft`]: an event that has not ended yet
//! - [`journal`]: writes; `key`: the log's key
//! - [`read`]: events and their proofs; [`index`] and [`search`]: find them
//! - [`verify`]: verifies a log from its files alone
//! - [`report`]: compliance evidence; [`explain`]: the history of one digest
//!
//! `work -> Draft -> Event -> Journal => Log -> Reader -> Event`

pub mod draft;
mod error;
pub mod event;
pub mod explain;
pub mod index;
pub mod journal;
mod key;
pub mod read;
pub mod report;
pub mod search;
pub mod verify;

pub use draft::{Draft, EventSource};
pub use error::Error;
pub use event::{Actor, Component, Ending, Event, EventType, Object, Outcome, Part};
pub use index::Index;
pub use journal::Journal;
pub use read::{LogTrust, Reader};
pub use search::Filter;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
