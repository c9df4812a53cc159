//! What must never be: a log that is not the one that was seen before, or a drive that is older than one that came.

use oci::Digest;
use serde::Serialize;

use crate::bundle::Error;

/// Proof that somebody rolled a log back, showed two histories, or sent an old drive; with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Alarm {
    /// What it is.
    pub kind: AlarmKind,
    /// The log.
    pub origin: String,
    /// The signed checkpoint on the drive.
    pub found: String,
    /// The signed checkpoint that was known, where there was one.
    pub known: Option<String>,
}

/// The ways in which a log can be wrong that no honest sender and no broken medium bring about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "alarm", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum AlarmKind {
    /// Fewer entries than were seen.
    #[error("rollback: the sender's log has {found} entries, but had {known} before")]
    RolledBack {
        /// On the drive.
        found: u64,
        /// Before.
        known: u64,
    },
    /// Another history than was seen.
    #[error("split view: the sender's log is not the one that had {known} entries before")]
    Forked {
        /// The size for which both roots are known.
        known: u64,
    },
    /// Another history than another site saw.
    #[error(
        "split view: site `{site}` saw a log with {known} entries, of which this one is not the continuation"
    )]
    WitnessedOther {
        /// The site, by its name in the trust file.
        site: String,
        /// How many entries it saw.
        known: u64,
    },
    /// Entries are missing below the signed size.
    #[error("truncated log: its checkpoint signs {size} entries, but `{missing}` is not on the drive")]
    Truncated {
        /// The signed size.
        size: u64,
        /// The first file that is missing.
        missing: String,
    },
    /// An older drive than one that came.
    #[error(
        "replayed drive: set `{set}` of `{name}` is number {found} in the sender's log, but number {known} came before"
    )]
    Replayed {
        /// The set.
        set: Digest,
        /// Its name.
        name: String,
        /// The index of the entry that tells of it.
        found: u64,
        /// That of the newest drive of this name that came.
        known: u64,
    },
    /// A drive that was signed, but not logged.
    #[error("the sender's log does not tell of set `{set}`: its key signed a drive off the record")]
    Unlogged {
        /// The set.
        set: Digest,
    },
}

impl AlarmKind {
    /// A word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } => "rolled-back",
            Self::Forked { .. } => "forked",
            Self::WitnessedOther { .. } => "witnessed-other",
            Self::Truncated { .. } => "truncated",
            Self::Replayed { .. } => "replayed",
            Self::Unlogged { .. } => "unlogged",
        }
    }
}

impl From<Alarm> for Error {
    fn from(alarm: Alarm) -> Self {
        Self::Alarm(Box::new(alarm))
    }
}
