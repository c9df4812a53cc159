//! Errors of reading, verifying and writing a log.

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
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: io::Error,
    },
    /// Not 32 bytes in base64.
    #[error("`{0}` is not a hash")]
    Hash(String),
    /// The text is not a signed note.
    #[error("not a signed note: {0}")]
    Note(&'static str),
    /// A key's text is malformed.
    #[error("`{name}` is not a log or witness key: {defect}")]
    Key {
        /// The key's name or text, cut to 128 characters.
        name: String,
        /// The defect.
        defect: &'static str,
    },
    /// A known key's signature is wrong.
    #[error("the signature by `{0}` does not match the text")]
    WrongSignature(String),
    /// No expected key has signed.
    #[error("no signature by `{0}`")]
    NotSigned(String),
    /// The note's text is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Checkpoint(&'static str),
    /// The checkpoint is from another log.
    #[error("the checkpoint is from log `{found}`, expected `{expected}`")]
    Origin {
        /// The log in the checkpoint.
        found: String,
        /// The expected log.
        expected: String,
    },
    /// The proof is malformed or does not lead to the root.
    #[error("invalid proof: {0}")]
    Proof(&'static str),
    /// The policy's text is malformed.
    #[error("line {line} of the policy: {defect}")]
    Policy {
        /// Counted from 1.
        line: usize,
        /// The defect.
        defect: &'static str,
    },
    /// Too few witnesses have signed.
    #[error("the checkpoint lacks cosignatures: the policy's quorum `{0}` is not met")]
    Quorum(String),
    /// A tile or bundle is missing, too short, or differs from the tree.
    #[error("the log is damaged at `{path}`: {defect}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The defect.
        defect: &'static str,
    },
    /// An entry does not match its hash in the tree.
    #[error("entry {entry} differs from the entry that was logged")]
    EntryDiffers {
        /// The first such entry's index.
        entry: u64,
    },
    /// The files do not hash to the root that the checkpoint signs.
    #[error("the log's files do not match the root of its checkpoint of {size} entries")]
    RootDiffers {
        /// The checkpoint's size.
        size: u64,
    },
    /// The log has fewer entries than were seen before.
    #[error("the log `{origin}` has {found} entries, but had {known} before: it was rolled back")]
    RolledBack {
        /// The log.
        origin: String,
        /// The number of entries now.
        found: u64,
        /// The number of entries seen before.
        known: u64,
    },
    /// The log's earlier entries differ from those seen before.
    #[error("the first {known} entries of the log `{origin}` differ from those seen before: it was forked")]
    Forked {
        /// The log.
        origin: String,
        /// The size for which both roots are known.
        known: u64,
    },
    /// The entry is longer than 65,535 bytes.
    #[error("an entry of {0} bytes is too long for a log")]
    EntryTooLong(usize),
    /// The entry does not exist.
    #[error("the log has no entry {index}: it has {size} entries")]
    NoEntry {
        /// The requested index.
        index: u64,
        /// The number of entries.
        size: u64,
    },
    /// The folder holds no log.
    #[error("no log at `{0}`")]
    Absent(PathBuf),
    /// The folder already holds a log.
    #[error("a log already exists at `{0}`")]
    Exists(PathBuf),
    /// A log could not be brought up to date when it was opened.
    #[error("the log cannot be opened")]
    Open(#[source] std::sync::Arc<Error>),
    /// Another process held the lock for too long.
    #[error("the log is locked by another process")]
    Locked(#[source] private::Locked),
    /// The system provided no random bytes, or a key was rejected.
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
