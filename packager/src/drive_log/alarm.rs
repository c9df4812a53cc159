//! What must never be: a log that is not the one that was seen before, or a drive that is older than one that came.

use error_class::{Class, Classified};
use oci::Digest;
use serde::Serialize;

use crate::bundle::Error;

/// Proof that somebody rolled a log back, showed two histories, or sent an old drive; with what proves it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct Alarm {
    /// What it is.
    pub kind: AlarmKind,
    /// Whose log it is about.
    pub whose: Whose,
    /// The log.
    pub origin: String,
    /// The signed checkpoint on the drive.
    pub found: String,
    /// The signed checkpoint that was known, where there was one.
    pub known: Option<String>,
}

/// Whose log raised an alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of a drive's sender.
    Sender,
    /// This store's own, by the word of a site that saw it.
    Own {
        /// The site, by the name of its witness key.
        site: String,
    },
    /// This store's own, by what its key signed before.
    Past {
        /// Where that is kept.
        place: String,
    },
    /// That of a site which returned it.
    Site {
        /// The site, by the name of its witness key.
        site: String,
    },
}

impl Alarm {
    fn text(&self) -> String {
        match (&self.whose, &self.kind) {
            (Whose::Own { site }, AlarmKind::RolledBack { found, known }) => {
                format!("rollback: this store's own log has {found} entries, but site `{site}` saw {known}")
            }
            (Whose::Own { site }, AlarmKind::Forked { known }) => {
                format!(
                    "split view: this store's own log is not the one of which site `{site}` saw {known} entries"
                )
            }
            (Whose::Past { place }, AlarmKind::RolledBack { found, known }) => {
                format!(
                    "rollback: this store's own log has {found} entries, but it signed {known} before, as `{place}` shows: the store was restored from a backup"
                )
            }
            (Whose::Past { place }, AlarmKind::Forked { known }) => {
                format!(
                    "split view: this store's own log is not the one that signed {known} entries before, as `{place}` shows: the store was restored from a backup, or copied"
                )
            }
            (Whose::Site { site }, AlarmKind::RolledBack { found, known }) => {
                format!("rollback: the own log of site `{site}` has {found} entries, but had {known} before")
            }
            (Whose::Site { site }, AlarmKind::Forked { known }) => {
                format!(
                    "split view: the own log of site `{site}` is not the one that had {known} entries before"
                )
            }
            (_, kind) => kind.to_string(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match (&self.whose, &self.kind) {
            (Whose::Own { .. }, _) => {
                "this site's log was changed or restored from a backup: run `airlock audit verify`, restore the folder `log` from its newest copy, or start a new log (docs/backup.md); `airlock quarantine list` keeps the proof"
            }
            (Whose::Past { .. }, _) => {
                "sites would reject this drive as forged: restore the folder `log` from its newest copy, or move it away, pack, and give sites the new log's key (docs/backup.md)"
            }
            (Whose::Site { .. }, AlarmKind::SiteWentBack { .. }) => {
                "ask the site whether its store was restored from a backup; it must import the drives since then again, in order, and return a new medium"
            }
            (Whose::Site { .. }, _) => {
                "ask the site whether its log was restored from a backup or changed; `airlock quarantine list` keeps both signed checkpoints as proof"
            }
            (Whose::Sender, kind) => kind.hint(),
        }
    }
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
    /// An older drive than the one that set a tag, whatever its set is called.
    #[error(
        "replayed drive: set `{set}` is number {found} in the sender's log and would move tag `{tag}` back, which drive number {known} set"
    )]
    MovedBack {
        /// The set.
        set: Digest,
        /// The first such tag, with its repository.
        tag: String,
        /// The index of the entry that tells of the set.
        found: u64,
        /// That of the drive that set the tag.
        known: u64,
    },
    /// A site that says less than it said before, and says so later.
    #[error(
        "rollback: site `{site}` reports {found} entries, but reported {known} before: its store was restored from a backup"
    )]
    SiteWentBack {
        /// The site, by its name in the trust file.
        site: String,
        /// What it says now.
        found: u64,
        /// What it said before.
        known: u64,
    },
    /// A drive that was signed, but not logged.
    #[error("the sender's log has no entry for set `{set}`: its key signed a drive that was not logged")]
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
            Self::MovedBack { .. } => "moved-back",
            Self::SiteWentBack { .. } => "site-went-back",
            Self::Unlogged { .. } => "unlogged",
        }
    }

    /// What to do about it, where it is about a sender's log.
    fn hint(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } => {
                "ask the sender whether this drive was packed before one that you already imported. If so, run `airlock quarantine release SET --reason TEXT`; if not, the sender's log was rolled back: do not import the drive"
            }
            Self::Forked { .. } => {
                "the sender's key signed two histories: import nothing of this sender until you know why; `airlock quarantine show SET` prints both signed checkpoints, which prove it"
            }
            Self::WitnessedOther { .. } => {
                "compare with that site what each of you was shown: `airlock quarantine show SET` prints the checkpoints; import nothing of this sender until you know why"
            }
            Self::Truncated { .. } => {
                "copy the whole folder `log` next to the volumes again, or ask for the drive again: a complete copy is accepted"
            }
            Self::Replayed { .. } => {
                "import the newest drive of this name; to take the older one on purpose, ask its sender and run `airlock quarantine release SET --reason TEXT`"
            }
            Self::MovedBack { .. } => {
                "import the newest drive that sets this tag; to move the tag back on purpose, ask the sender and run `airlock quarantine release SET --reason TEXT`"
            }
            Self::SiteWentBack { .. } => "ask the site whether its store was restored from a backup",
            Self::Unlogged { .. } => {
                "ask the sender who packed this drive: its key signed it, and its log does not know; a key that others have must be revoked"
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
    fn each_alarm_has_a_hint_of_its_own() {
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
        let hint = |whose: Whose, kind: AlarmKind| {
            Alarm { kind, whose, origin: name(), found: name(), known: None }.hint()
        };
        let hints: BTreeSet<_> = kinds.clone().map(|kind| hint(Whose::Sender, kind)).into();
        assert_eq!(hints.len(), kinds.len());
        let rolled = || AlarmKind::RolledBack { found: 1, known: 2 };
        let others = [
            hint(Whose::Own { site: name() }, rolled()),
            hint(Whose::Site { site: name() }, rolled()),
            hint(Whose::Site { site: name() }, AlarmKind::SiteWentBack { site: name(), found: 1, known: 2 }),
        ];
        assert!(others.iter().all(|other| !hints.contains(other)) && others[0] != others[1]);
    }
}
