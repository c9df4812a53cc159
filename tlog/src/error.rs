//! Why a log cannot be read, believed or written.

use std::io;
use std::path::{Path, PathBuf};

use error_class::{Class, Classified};

/// Every way in which a call to this crate can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not 32 bytes in base64.
    #[error("`{0}` is not a hash")]
    Hash(String),
    /// The text is not a signed note.
    #[error("this is not a signed note: {0}")]
    Note(&'static str),
    /// A key's text is malformed.
    #[error("`{name}` is not a key of a log or witness: {defect}")]
    Key {
        /// As far as its name can be told.
        name: String,
        /// What is wrong.
        defect: &'static str,
    },
    /// A known key's signature is wrong.
    #[error("the signature by `{0}` does not match the text")]
    WrongSignature(String),
    /// None of the keys that would do has signed.
    #[error("`{0}` has not signed")]
    NotSigned(String),
    /// The note's text is not a checkpoint.
    #[error("this is not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// The checkpoint is another log's.
    #[error("the checkpoint is of log `{found}`, not of `{expected}`")]
    Origin {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The proof is malformed or does not lead to the root.
    #[error("the proof does not hold: {0}")]
    Proof(&'static str),
    /// The policy's text is malformed.
    #[error("line {line} of the policy: {defect}")]
    Policy {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        defect: &'static str,
    },
    /// Too few witnesses have signed.
    #[error("the checkpoint lacks cosignatures: the policy's quorum `{0}` is not met")]
    Quorum(String),
    /// A tile or bundle is absent, too short, or differs from the tree.
    #[error("the log is damaged at `{path}`: {defect}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        defect: &'static str,
    },
    /// An entry is not the one whose hash is in the tree.
    #[error("entry {entry} is not what was logged")]
    EntryDiffers {
        /// The first such entry's index.
        entry: u64,
    },
    /// The files do not come to the root that the checkpoint signs.
    #[error("the log's files do not match the root of its checkpoint of {size} entries")]
    RootDiffers {
        /// The checkpoint's size.
        size: u64,
    },
    /// A log with fewer entries than are known to have been there.
    #[error("the log `{origin}` has {found} entries, but had {known} before: it was rolled back")]
    RolledBack {
        /// The log.
        origin: String,
        /// As it is.
        found: u64,
        /// As it was.
        known: u64,
    },
    /// A log whose earlier part is not what it was.
    #[error("the log `{origin}` does not contain what it contained at {known} entries: it was forked")]
    Forked {
        /// The log.
        origin: String,
        /// The size for which both roots are known.
        known: u64,
    },
    /// More than 65,535 bytes.
    #[error("an entry of {0} bytes is too long for a log")]
    EntryTooLong(usize),
    /// There is no such entry.
    #[error("the log has no entry {index}: it has {size}")]
    NoEntry {
        /// What was asked for.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// There is no log there.
    #[error("there is no log at `{0}`")]
    Absent(PathBuf),
    /// A log is there already.
    #[error("there is a log at `{0}` already")]
    Exists(PathBuf),
    /// A log could not be brought up to date when it was opened.
    #[error("the log cannot be opened")]
    Open(#[source] std::sync::Arc<Error>),
    /// Another process had its turn for too long.
    #[error("the log is being written to")]
    Locked(#[source] private::Locked),
    /// The system gave no random bytes, or a key was refused.
    #[error("cannot generate a key")]
    Random,
}

impl From<private::Error> for Error {
    fn from(error: private::Error) -> Self {
        match error {
            private::Error::Io { path, source } => Self::Io { action: "lock", path, source },
            private::Error::Locked(locked) => Self::Locked(locked),
        }
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, defect: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), defect }
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => source.class(),
            Self::Open(error) => error.class(),
            Self::Key { .. } | Self::Policy { .. } | Self::Exists(_) => Class::Usage,
            Self::Absent(_) | Self::NoEntry { .. } => Class::Missing,
            Self::Hash(_)
            | Self::Note(_)
            | Self::WrongSignature(_)
            | Self::NotSigned(_)
            | Self::Checkpoint(_)
            | Self::Origin { .. }
            | Self::Proof(_)
            | Self::Quorum(_)
            | Self::Damaged { .. }
            | Self::EntryDiffers { .. }
            | Self::RootDiffers { .. }
            | Self::RolledBack { .. }
            | Self::Forked { .. }
            | Self::EntryTooLong(_) => Class::Refused,
            Self::Locked(_) | Self::Random => Class::Other,
        }
    }
}
