//! The errors in a drive's log or a return medium that are not alarms.

use error_class::{Class, Classified};
use oci::Digest;

/// An error in a drive's log or a return medium.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveLogError {
    /// The trust file requires a log, but the drive was packed without one.
    #[error("the drive has no log, but the trust file requires one")]
    NoLog,
    /// The log that the manifest names is missing.
    #[error("the drive's log `{0}` is not in a folder `log` next to the volumes")]
    Missing(String),
    /// Several folders have different logs.
    #[error("the folders of the volumes contain different logs")]
    Several,
    /// The log's key is not trusted.
    #[error("the log `{origin}` of the drive is refused")]
    Key {
        /// The log.
        origin: String,
        /// The cause.
        #[source]
        source: bundle_signer::Error,
    },
    /// The drive has another log.
    #[error("the drive contains log `{}`, but its manifest names `{expected}`", found.escape_debug())]
    OtherLog {
        /// The log on the drive.
        found: String,
        /// The log in the manifest.
        expected: String,
    },
    /// A file of the log is invalid.
    #[error("the log on the drive is refused")]
    Log(#[source] tlog::Error),
    /// This site's own log cannot be read.
    #[error("this site's own log or witness key cannot be used")]
    Own(#[source] tlog::Error),
    /// The log exceeds a limit.
    #[error("the log has {found} {what}, more than the {limit} allowed")]
    TooLarge {
        /// The counted unit.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The drive lacks earlier entries that this site needs.
    #[error("the log on the drive begins with entry {begin}, but only {known} entries are known here")]
    BeginsLater {
        /// The first entry.
        begin: u64,
        /// The number of known entries.
        known: u64,
    },
    /// The keys for standard verifiers on the drive are not the trusted ones.
    #[error(
        "`trusted_root.json` on the drive does not match the trusted log: it would make standard tools trust other keys"
    )]
    TrustedRoot,
    /// The drive raised an alarm and was not released.
    #[error("set `{set}` has been quarantined since {since}: {alarm}")]
    Quarantined {
        /// The set.
        set: Digest,
        /// The time of the alarm.
        since: String,
        /// The alarm.
        alarm: String,
    },
    /// The set is not quarantined.
    #[error("set `{0}` is not quarantined")]
    NotQuarantined(Digest),
    /// A record in the store's folder `witness` is damaged.
    #[error("`{0}` is damaged")]
    Record(std::path::PathBuf),
    /// A newer trust file was used before.
    #[error("the trust file has sequence {found}, but {newest} was used here before")]
    StalePolicy {
        /// The sequence of this file.
        found: u64,
        /// The greatest sequence that was used.
        newest: u64,
    },
    /// The folder of witness records is missing.
    #[error("`{0}` is missing: the records of senders, sites and quarantined drives are lost")]
    RecordsMissing(std::path::PathBuf),
    /// The record of a sender's log is older than the database.
    #[error(
        "`{path}` records {found} entries of the log `{origin}`, but {known} were recorded before: the record was lost, or restored from a backup"
    )]
    RecordOutdated {
        /// The record.
        path: std::path::PathBuf,
        /// The log.
        origin: String,
        /// The number of entries in the record.
        found: u64,
        /// The number of entries recorded before.
        known: u64,
    },
    /// The site's key is missing.
    #[error("the site's key `{0}` is missing; a new key would make the site a different witness")]
    KeyMissing(std::path::PathBuf),
    /// No witness records are lost.
    #[error("this store has lost none of its witness records")]
    NothingLost,
    /// The path is not a return medium.
    #[error("`{0}` is not a return medium")]
    NoReturn(std::path::PathBuf),
    /// The return medium is for other senders.
    #[error("the return medium has no checkpoint of the log `{expected}`, only of {found}")]
    OtherReturn {
        /// This sender's log.
        expected: String,
        /// The logs on the medium.
        found: String,
    },
    /// The site is not in the trust file.
    #[error("site `{}` is not a witness in the trust file", .0.escape_debug())]
    UnknownWitness(String),
    /// The cosignature is not from the site of that name.
    #[error("the checkpoint attributed to site `{site}` does not have that site's cosignature")]
    OtherSite {
        /// The site.
        site: String,
        /// The cause.
        #[source]
        source: tlog::Error,
    },
    /// The site acknowledged more entries before.
    #[error(
        "site `{site}` returns {found} entries, but acknowledged {known} before: this is an old return medium"
    )]
    StaleReturn {
        /// The site.
        site: String,
        /// The number of entries that it returns now.
        found: u64,
        /// The number of entries that it returned before.
        known: u64,
    },
}

impl DriveLogError {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::StalePolicy { .. } => Some(
                "use the newest trust file; to go back on purpose, give this one a greater sequence, or run `airlock trust accept FILE --store STORE --reason TEXT`",
            ),
            Self::RecordsMissing(_) | Self::RecordOutdated { .. } | Self::KeyMissing(_) => Some(
                "restore the store's folder `witness` from its newest copy; without a copy, run `airlock quarantine begin-anew --reason TEXT`: old drives can then no longer be detected",
            ),
            Self::Record(_) => Some(
                "restore the file from a copy of the store's folder `witness`; its sender or site is refused until then",
            ),
            Self::NotQuarantined(_) => Some("run `airlock quarantine list` to see the quarantined sets"),
            Self::TooLarge { .. } => Some("the sender can start a new log: see docs/drive.md"),
            Self::StaleReturn { .. } => Some("ask the site for a newer return medium"),
            Self::OtherSite { .. } => Some(
                "the site's file was changed or mixed up after it was written: ask for a new one, and compare the site's key over another channel",
            ),
            Self::Own(_) => Some("run `airlock audit verify` to see what is wrong with this site's log"),
            Self::NoLog => Some(
                "an older version of airlock packed it: ask for a new one, or import it with --without-log if you know that it is the newest",
            ),
            Self::Missing(_) => Some("copy the folder `log` that `airlock pack` wrote next to the volumes"),
            Self::Several => Some("give only the folders that belong to this drive"),
            Self::Key { source, .. } => source.hint(),
            Self::Quarantined { .. } => Some(
                "run `airlock quarantine list` to see why; after an investigation, run `airlock quarantine release SET --reason TEXT`",
            ),
            Self::BeginsLater { .. } => Some(
                "ask for a drive with the whole log, or give the store that imported earlier drives with --store",
            ),
            Self::UnknownWitness(_) => Some(
                "if you know the site, get its witness key over another channel and add it to `witnesses` in the trust file",
            ),
            Self::OtherReturn { .. } | Self::NoReturn(_) => {
                Some("give the folder that `airlock return` wrote, and the store that packed the drive")
            }
            Self::TrustedRoot | Self::OtherLog { .. } | Self::Log(_) => Some(
                "the log was changed after it was written, or is damaged: do not use the drive, and ask for a new one",
            ),
            _ => None,
        }
    }
}

impl Classified for DriveLogError {
    fn class(&self) -> Class {
        match self {
            Self::Missing(_) | Self::NoReturn(_) | Self::NotQuarantined(_) | Self::NothingLost => {
                Class::Missing
            }
            Self::Quarantined { .. }
            | Self::StalePolicy { .. }
            | Self::RecordsMissing(_)
            | Self::RecordOutdated { .. }
            | Self::KeyMissing(_) => Class::Alarm,
            Self::NoLog
            | Self::Several
            | Self::Key { .. }
            | Self::OtherLog { .. }
            | Self::Log(_)
            | Self::Own(_)
            | Self::TooLarge { .. }
            | Self::BeginsLater { .. }
            | Self::TrustedRoot
            | Self::OtherReturn { .. }
            | Self::UnknownWitness(_)
            | Self::OtherSite { .. }
            | Self::StaleReturn { .. } => Class::Refused,
            Self::Record(_) => Class::Other,
        }
    }
}
