//! The timeout of an installation, and how failures and conflicts are handled.

use std::time::Duration;

/// The timeout of an installation, and how failures and conflicts are handled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The timeout until all objects are ready, including hooks.
    pub timeout: Duration,
    /// How a failed release is handled.
    pub on_failure: OnFailure,
    /// How fields of other managers are handled.
    pub conflicts: Conflicts,
    /// How existing objects that do not belong to the release are handled.
    pub ownership: Ownership,
    /// The number of revisions to keep.
    pub history: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(5),
            on_failure: OnFailure::RollBack,
            conflicts: Conflicts::Refuse,
            ownership: Ownership::Refuse,
            history: 10,
        }
    }
}

/// How a failed release is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Roll back to the last successful revision. If there is none, remove what was installed.
    RollBack,
    /// Leave it as it is, for inspection.
    Leave,
}

/// How fields that should change, but belong to another manager, are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// Return an error with the name of the manager.
    Refuse,
    /// Take them over.
    Take,
}

/// How existing objects without the release's labels and annotations are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Return an error with the name of the object, before anything is changed.
    Refuse,
    /// Take them over into the release.
    Take,
}
