//! What a stage tells while it works. Progress for people and records for the audit are made of it elsewhere.

/// How an item came to be in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was there before.
    Present,
    /// Its bytes were there, by another item or an earlier, interrupted run.
    Reused,
    /// Its bytes came over the network or from a file.
    Fetched,
    /// Its bytes were hashed and are what its digest says.
    Verified,
}

/// Takes what a stage tells; every method does nothing unless overridden.
pub trait Reporter: Send + Sync {
    /// A phase begins that will move `total` bytes.
    fn begin(&self, phase: &str, total: u64) {
        let _ = (phase, total);
    }

    /// So many more bytes are done: hashed, and durable where they were written.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// An item changed its state.
    fn item(&self, name: &str, state: State) {
        let _ = (name, state);
    }

    /// Something a person should know that does not stop the work.
    fn warn(&self, message: &str) {
        let _ = message;
    }

    /// The phase is over.
    fn end(&self) {}
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Reporter for Silent {}
