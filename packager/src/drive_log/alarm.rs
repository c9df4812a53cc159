//! Alarms: a log differs from the one that was seen before, or a drive is older than one that was already accepted.

use error_class::{Class, Classified};
use oci::Digest;
use serde::Serialize;

use crate::bundle::Error;

/// An alarm: a log was rolled back or forked, or an old drive was sent. Contains the checkpoints that prove it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Alarm {
    /// The kind of alarm.
    pub kind: AlarmKind,
    /// The owner of the log.
    pub owner: LogOwner,
    /// The log.
    pub origin: String,
    /// The signed checkpoint on the drive.
    pub found: String,
    /// The signed checkpoint that was known before, if any.
    pub known: Option<String>,
}

/// The owner of a log that raised an alarm, with the evidence against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOwner {
    /// The sender of a drive.
    Sender,
    /// This store, contradicted by a checkpoint that a site saw.
    Own {
        /// The site, by the name of its witness key.
        site: String,
    },
    /// This store, contradicted by a checkpoint that its own key signed before.
    Past {
        /// The location of that checkpoint.
        place: String,
    },
    /// The site that returned the log.
    Site {
        /// The site, by the name of its witness key.
        site: String,
    },
}

impl Alarm {
    fn text(&self) -> String {
        match (&self.owner, &self.kind) {
            (LogOwner::Own { site }, AlarmKind::RolledBack { found, known }) => {
                format!("rollback: this store's own log has {found} entries, but site `{site}` saw {known}")
            }
            (LogOwner::Own { site }, AlarmKind::Forked { known }) => {
                format!(
                    "split view: site `{site}` saw a log with {known} entries, which this store's own log does not continue"
                )
            }
            (LogOwner::Past { place }, AlarmKind::RolledBack { found, known }) => {
                format!(
                    "rollback: this store's own log has {found} entries, but it signed {known} before, as `{place}` shows: the store was restored from a backup"
                )
            }
            (LogOwner::Past { place }, AlarmKind::Forked { known }) => {
                format!(
                    "split view: this store's own log does not continue the log that signed {known} entries before, as `{place}` shows: the store was restored from a backup, or copied"
                )
            }
            (LogOwner::Site { site }, AlarmKind::RolledBack { found, known }) => {
                format!("rollback: site `{site}`'s own log has {found} entries, but had {known} before")
            }
            (LogOwner::Site { site }, AlarmKind::Forked { known }) => {
                format!(
                    "split view: site `{site}`'s own log does not continue the log that had {known} entries before"
                )
            }
            (_, kind) => kind.to_string(),
        }
    }

    /// What to do about the alarm.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match (&self.owner, &self.kind) {
            (LogOwner::Own { .. }, _) => {
                "this site's log was changed or restored from a backup: run `airlock audit verify`, restore the folder `log` from its newest copy, or start a new log (docs/backup.md); `airlock quarantine list` keeps the proof"
            }
            (LogOwner::Past { .. }, _) => {
                "sites would reject this drive as forged: restore the folder `log` from its newest copy, or move it away, pack, and give sites the new log's key (docs/backup.md)"
            }
            (LogOwner::Site { .. }, AlarmKind::SiteWentBack { .. }) => {
                "ask the site whether its store was restored from a backup; it must import the drives since then again, in order, and return a new medium"
            }
            (LogOwner::Site { .. }, _) => {
                "ask the site whether its log was restored from a backup or changed; `airlock quarantine list` keeps both signed checkpoints as proof"
            }
            (LogOwner::Sender, kind) => kind.hint(),
        }
    }
}

/// The kinds of alarms. An honest sender and a damaged medium never cause them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "alarm", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum AlarmKind {
    /// The log has fewer entries than were seen before.
    #[error("rollback: the sender's log has {found} entries, but had {known} before")]
    RolledBack {
        /// The number of entries on the drive.
        found: u64,
        /// The number of entries before.
        known: u64,
    },
    /// The log has another history than was seen before.
    #[error("split view: the sender's log does not continue the log that had {known} entries before")]
    Forked {
        /// The size for which both roots are known.
        known: u64,
    },
    /// The log has another history than another site saw.
    #[error("split view: site `{site}` saw a log with {known} entries, which this log does not continue")]
    WitnessedOther {
        /// The site, by its name in the trust file.
        site: String,
        /// The number of entries that it saw.
        known: u64,
    },
    /// Entries are missing below the signed size.
    #[error("truncated log: its checkpoint signs {size} entries, but `{missing}` is not on the drive")]
    Truncated {
        /// The signed size.
        size: u64,
        /// The first missing file.
        missing: String,
    },
    /// The drive is older than one that was already accepted.
    #[error(
        "replayed drive: set `{set}` of `{name}` is number {found} in the sender's log, but number {known} was accepted before"
    )]
    Replayed {
        /// The set.
        set: Digest,
        /// Its name.
        name: String,
        /// The index of the set's log entry.
        found: u64,
        /// The index of the newest accepted drive of this name.
        known: u64,
    },
    /// The drive is older than the one that set a tag, whatever the names of the sets.
    #[error(
        "replayed drive: set `{set}` is number {found} in the sender's log and would move tag `{tag}` back, which drive number {known} set"
    )]
    MovedBack {
        /// The set.
        set: Digest,
        /// The first such tag, with its repository.
        tag: String,
        /// The index of the set's log entry.
        found: u64,
        /// The index of the drive that set the tag.
        known: u64,
    },
    /// A site reports fewer entries than it reported before, at a later time.
    #[error(
        "rollback: site `{site}` reports {found} entries, but reported {known} before: its store was restored from a backup"
    )]
    SiteWentBack {
        /// The site, by its name in the trust file.
        site: String,
        /// The number of entries that it reports now.
        found: u64,
        /// The number of entries that it reported before.
        known: u64,
    },
    /// The drive was signed, but not logged.
    #[error("the sender's log has no entry for set `{set}`: its key signed a drive that was not logged")]
    Unlogged {
        /// The set.
        set: Digest,
    },
}

impl AlarmKind {
    /// A code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } => "rolled-back",
            Self::Forked { .. } => "forked",
            Self::WitnessedOther { .. } => "witnessed-other",
            Self::Truncated { .. } => "truncated",
            Self::Replayed { .. } => "replayed",
            Self::MovedBack { .. } => "moved-back",
            Self::SiteWentBack { .. } => "site-went-back",
            Self::Unlogged { .. } => "unlogged",
        }
    }

    /// What to do about an alarm about a sender's log.
    fn hint(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } => {
                "ask the sender whether this drive was packed before one that you already imported. If so, run `airlock quarantine release SET --reason TEXT`; if not, the sender's log was rolled back: do not import the drive"
            }
            Self::Forked { .. } => {
                "the sender's key signed two histories: import nothing from this sender until the cause is known; `airlock quarantine show SET` prints both signed checkpoints, which prove it"
            }
            Self::WitnessedOther { .. } => {
                "compare the checkpoints with that site: `airlock quarantine show SET` prints them; import nothing from this sender until the cause is known"
            }
            Self::Truncated { .. } => {
                "copy the whole folder `log` next to the volumes again, or ask for the drive again: a complete copy is accepted"
            }
            Self::Replayed { .. } => {
                "import the newest drive of this name; to import the older one on purpose, ask its sender and run `airlock quarantine release SET --reason TEXT`"
            }
            Self::MovedBack { .. } => {
                "import the newest drive that sets this tag; to move the tag back on purpose, ask the sender and run `airlock quarantine release SET --reason TEXT`"
            }
            Self::SiteWentBack { .. } => "ask the site whether its store was restored from a backup",
            Self::Unlogged { .. } => {
                "ask the sender who packed this drive: the sender's key signed it, but the sender's log has no entry for it; if others have the key, revoke it"
            }
        }
    }
}

impl Classified for Alarm {
    fn class(&self) -> Class {
        Class::Alarm
    }
}

impl Classified for AlarmKind {
    fn class(&self) -> Class {
        Class::Alarm
    }
}

impl From<Alarm> for Error {
    fn from(alarm: Alarm) -> Self {
        Self::Alarm(Box::new(alarm))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_alarm_has_its_own_hint() {
        let set = Digest::sha256(b"set");
        let name = || "name".to_owned();
        let kinds = [
            AlarmKind::RolledBack { found: 1, known: 2 },
            AlarmKind::Forked { known: 2 },
            AlarmKind::WitnessedOther { site: name(), known: 2 },
            AlarmKind::Truncated { size: 2, missing: name() },
            AlarmKind::Replayed { set: set.clone(), name: name(), found: 1, known: 2 },
            AlarmKind::MovedBack { set: set.clone(), tag: name(), found: 1, known: 2 },
            AlarmKind::SiteWentBack { site: name(), found: 1, known: 2 },
            AlarmKind::Unlogged { set },
        ];
        let hint = |owner: LogOwner, kind: AlarmKind| {
            Alarm { kind, owner, origin: name(), found: name(), known: None }.hint()
        };
        let hints: BTreeSet<_> = kinds.clone().map(|kind| hint(LogOwner::Sender, kind)).into();
        assert_eq!(hints.len(), kinds.len());
        let rolled = || AlarmKind::RolledBack { found: 1, known: 2 };
        let others = [
            hint(LogOwner::Own { site: name() }, rolled()),
            hint(LogOwner::Site { site: name() }, rolled()),
            hint(
                LogOwner::Site { site: name() },
                AlarmKind::SiteWentBack { site: name(), found: 1, known: 2 },
            ),
        ];
        assert!(others.iter().all(|other| !hints.contains(other)) && others[0] != others[1]);
    }
}
