//! Progress reports of a stage. Other crates make progress bars and audit records of them.

/// How an item got into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was in the store before.
    Present,
    /// Its bytes were in the store, from another item or an earlier, interrupted run.
    Reused,
    /// Its bytes came over the network or from a file.
    Fetched,
    /// Its bytes were hashed and match its digest.
    Verified,
}

/// Receives the reports of a stage. By default, every method does nothing.
pub trait Reporter: Send + Sync {
    /// A phase begins that moves `total` bytes.
    fn begin(&self, phase: &str, total: u64) {
        let _ = (phase, total);
    }

    /// This number of additional bytes is done: hashed and, if written, durable.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// An item changed its state.
    fn item(&self, name: &str, state: State) {
        let _ = (name, state);
    }

    /// A warning for the user; the work continues.
    fn warn(&self, message: &str) {
        let _ = message;
    }

    /// The phase ends.
    fn end(&self) {}
}

/// Ignores all reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {}
