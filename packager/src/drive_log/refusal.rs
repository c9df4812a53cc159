//! Why a drive's log, or what a site returned, is refused without being an alarm.

use error_class::{Class, Classified};
use oci::Digest;

/// Every such way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveLogError {
    /// The trust file asks for a log, and the drive was packed without.
    #[error("the drive has no log, but the trust file requires one")]
    NoLog,
    /// The manifest names a log that is not there.
    #[error("the drive's log `{0}` is not in a folder `log` beside the volumes")]
    Missing(String),
    /// Several folders have logs that differ.
    #[error("the folders of the volumes hold different logs")]
    Several,
    /// The log's key is not trusted.
    #[error("the log `{origin}` of the drive is refused")]
    Key {
        /// The log.
        origin: String,
        /// Why.
        #[source]
        source: bundle_signer::Error,
    },
    /// The log is another one's.
    #[error("the drive holds log `{}`, its manifest names `{expected}`", found.escape_debug())]
    OtherLog {
        /// What is there.
        found: String,
        /// What the manifest names.
        expected: String,
    },
    /// A file of the log is wrong.
    #[error("the log on the drive is refused")]
    Log(#[source] tlog::Error),
    /// This side's own log cannot be read.
    #[error("this site's own log or witness key cannot be used")]
    Own(#[source] tlog::Error),
    /// The log is longer than is read.
    #[error("the log has {found} {what}, more than the {limit} allowed")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// How many may be.
        limit: u64,
    },
    /// The drive has only what others lacked.
    #[error("the log on the drive begins with entry {begin}, but only {known} are known here")]
    BeginsLater {
        /// The first entry.
        begin: u64,
        /// How many are known.
        known: u64,
    },
    /// The drive's keys for stock verifiers are not those that are trusted.
    #[error(
        "`trusted_root.json` on the drive is not that of the trusted log: it would have stock tools trust other keys"
    )]
    TrustedRoot,
    /// The drive raised an alarm, and nobody has lifted it.
    #[error("set `{set}` is quarantined since {since}: {alarm}")]
    Quarantined {
        /// The set.
        set: Digest,
        /// When.
        since: String,
        /// Why.
        alarm: String,
    },
    /// There is nothing to lift.
    #[error("set `{0}` is not quarantined")]
    NotQuarantined(Digest),
    /// A record in the store's folder `witness` is not what was written.
    #[error("`{0}` is damaged")]
    Record(std::path::PathBuf),
    /// A newer trust file decided here.
    #[error("the trust file has sequence {found}, but {newest} was used here before")]
    StalePolicy {
        /// This file's number.
        found: u64,
        /// The greatest that was seen.
        newest: u64,
    },
    /// The folder of what was remembered is gone.
    #[error("`{0}` is missing: the records of senders, sites and quarantined drives are lost")]
    MemoryGone(std::path::PathBuf),
    /// Less of a sender's log is remembered than once was.
    #[error(
        "`{path}` records {found} entries of the log `{origin}`, but {known} were recorded before: it was lost, or restored from a backup"
    )]
    MemoryBack {
        /// The record.
        path: std::path::PathBuf,
        /// The log.
        origin: String,
        /// What it says now.
        found: u64,
        /// What it once said.
        known: u64,
    },
    /// The site's key is gone.
    #[error("the site's key `{0}` is missing; a new key would make the site a different witness")]
    KeyGone(std::path::PathBuf),
    /// Everything that was remembered is there.
    #[error("this store has lost none of its witness records")]
    NothingLost,
    /// There is no return medium.
    #[error("`{0}` is not a return medium")]
    NoReturn(std::path::PathBuf),
    /// The site returns word of other senders' logs.
    #[error("the return medium has no checkpoint of the log `{expected}`, only of {found}")]
    OtherReturn {
        /// This sender's log.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The trust file does not have the site.
    #[error("site `{}` is not a witness in the trust file", .0.escape_debug())]
    UnknownWitness(String),
    /// The cosignature is not that of the site whose name it goes under.
    #[error("the checkpoint attributed to site `{site}` does not have its cosignature")]
    OtherSite {
        /// The site.
        site: String,
        /// What is wrong.
        #[source]
        source: tlog::Error,
    },
    /// The site said more before.
    #[error(
        "site `{site}` returns {found} entries, but acknowledged {known} before: this is an old return medium"
    )]
    StaleReturn {
        /// The site.
        site: String,
        /// What it returns.
        found: u64,
        /// What it returned before.
        known: u64,
    },
}

impl DriveLogError {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::StalePolicy { .. } => Some(
                "use the newest trust file; to go back on purpose, give this one a greater sequence, or run `airlock trust accept FILE --store STORE --reason TEXT`",
            ),
            Self::MemoryGone(_) | Self::MemoryBack { .. } | Self::KeyGone(_) => Some(
                "restore the store's folder `witness` from its newest copy; without a copy, run `airlock quarantine begin-anew --reason TEXT`: then old drives can no longer be detected",
            ),
            Self::Record(_) => Some(
                "put the file back from a copy of the store's folder `witness`; nothing is believed until then",
            ),
            Self::NotQuarantined(_) => Some("run `airlock quarantine list` to see the quarantined sets"),
            Self::TooLarge { .. } => Some("the sender can start a new log: see docs/drive.md"),
            Self::StaleReturn { .. } => Some("ask the site for a newer return medium"),
            Self::OtherSite { .. } => Some(
                "the site's file was changed or mixed up after it was written: ask for a new one, and compare the site's key by another way",
            ),
            Self::Own(_) => Some("run `airlock audit verify` to see what is wrong with this site's log"),
            Self::NoLog => Some(
                "an older version of airlock packed it: ask for a new one, or import it with --without-log if you know that it is the newest",
            ),
            Self::Missing(_) => Some("copy the folder `log` that `airlock pack` wrote next to the volumes"),
            Self::Several => Some("name only the folders that belong to this drive"),
            Self::Key { source, .. } => source.hint(),
            Self::Quarantined { .. } => Some(
                "run `airlock quarantine list` to see why; after an inquiry, run `airlock quarantine release SET --reason TEXT`",
            ),
            Self::BeginsLater { .. } => Some(
                "ask for a drive with the whole log, or name the store that took earlier drives with --store",
            ),
            Self::UnknownWitness(_) => Some(
                "if you know the site, get its witness key by another way and add it to `witnesses` of the trust file",
            ),
            Self::OtherReturn { .. } | Self::NoReturn(_) => {
                Some("name the folder that `airlock return` wrote, and the store that packed the drive")
            }
            Self::TrustedRoot | Self::OtherLog { .. } | Self::Log(_) => Some(
                "the log was changed after it was written, or is damaged: do not use the drive, ask for a new one",
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
            | Self::MemoryGone(_)
            | Self::MemoryBack { .. }
            | Self::KeyGone(_) => Class::Alarm,
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
