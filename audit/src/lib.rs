//! The audit log: what was done, by whom, when, where, to what, and how it ended.
//!
//! A log is a transparency log in the files of crate `tlog`, with one entry for each [`Event`]: canonical JSON with
//! the six things that NIST SP 800-53 AU-3 asks for. An event is durable, in the tree and under a signed checkpoint
//! before whoever did the work is told that it succeeded.
//!
//! Invariants:
//! - [`Journal::record`] has returned only after its event can neither be lost nor changed without a trace.
//! - An event is shown only after its proof against the signed checkpoint was checked.
//! - What the log's files can give again, the index, is never believed: it only tells where to look.
//!
//! - [`event`]: what an entry says; [`draft`]: an event that has not ended yet
//! - [`journal`]: writing; `key`: the log's key
//! - [`read`]: events and their proofs; [`index`] and [`search`]: finding them
//! - [`verify`]: proving a log from its files alone
//! - [`report`]: what events are evidence for; [`explain`]: what they tell of one digest
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

pub use draft::{Draft, Station};
pub use error::Error;
pub use event::{Actor, Component, Ending, Event, EventType, Object, Outcome, Part};
pub use index::Index;
pub use journal::Journal;
pub use read::{Belief, Reader};
pub use search::Filter;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;
