//! How long an installation may take, and what becomes of what is in its way.

use std::time::Duration;

/// How long an installation may take, and what becomes of one that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Until all is ready, hooks included.
    pub timeout: Duration,
    /// What becomes of a release that fails.
    pub on_failure: OnFailure,
    /// What becomes of fields that another manager owns.
    pub conflicts: Conflicts,
    /// What becomes of objects that are there and not the release's.
    pub ownership: Ownership,
    /// How many revisions are kept.
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

/// What becomes of a release that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Back to the last good revision; without one, what was installed goes away.
    RollBack,
    /// It stays as it is, to be looked at.
    Leave,
}

/// What becomes of fields that another manager owns and that should be other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// An error that names the manager.
    Refuse,
    /// They are taken over.
    Take,
}

/// What becomes of objects that are there and do not carry the release's marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// An error that names the object, before anything is changed.
    Refuse,
    /// They become the release's.
    Take,
}
