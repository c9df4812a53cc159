//! The errors of writing and reading a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use error_class::{Class, Classified};

/// The errors of this crate.
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
    /// An event could not be logged, so its operation must not be reported as successful.
    #[error("the audit log `{log}` cannot be written, so the operation is not reported as successful")]
    Unlogged {
        /// The log.
        log: PathBuf,
        /// The cause.
        #[source]
        source: Arc<tlog::Error>,
    },
    /// A log or its key is invalid.
    #[error(transparent)]
    Log(#[from] tlog::Error),
    /// The file does not contain a log's private key.
    #[error("`{0}` is not the private key of a log")]
    Key(PathBuf),
    /// A given key, policy or checkpoint cannot be used.
    #[error("cannot use `{path}`")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: tlog::Error,
    },
    /// An entry is not JSON in the format of an event.
    #[error("this version does not know the format of the event")]
    Form(#[source] serde_json::Error),
    /// An entry of a newer version of the program.
    #[error("the event has version {0}, but this program supports only version 1")]
    Version(u32),
    /// An entry with white space, or with members in another order.
    #[error("the event is not in canonical form")]
    NotCanonical,
    /// An entry that is unchanged since it was logged, but is not an event.
    #[error("entry {index} is not an event")]
    NoEvent {
        /// Its index.
        index: u64,
        /// The cause.
        #[source]
        source: Box<Error>,
    },
    /// The index beside the log failed; it can be removed.
    #[error("cannot use the index `{path}`")]
    Index {
        /// The file.
        path: PathBuf,
        /// The error of the database.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process used the index for too long.
    #[error("the index of the log is in use")]
    Locked(#[source] private::Locked),
    /// The caller stopped reading events.
    #[error("reading the events was stopped")]
    Stopped,
    /// The event type is unknown.
    #[error("unknown event type `{0}`")]
    EventType(String),
    /// The framework is unknown.
    #[error("unknown framework `{0}`")]
    Framework(String),
    /// The argument is neither a digest or a prefix of one, nor a name in the log.
    #[error("`{0}` is not a digest, the prefix of a digest or a name in this log")]
    Digest(String),
    /// Several digests have the prefix.
    #[error("`{prefix}` is the prefix of several digests: {}", found.join(", "))]
    Ambiguous {
        /// The prefix.
        prefix: String,
        /// The first of the digests.
        found: Vec<String>,
    },
    /// The store of the log cannot be read.
    #[error("cannot read the store that contains the log")]
    Lookup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No event names the digest.
    #[error("none of the {size} entries of this log is about `{digest}`")]
    Unknown {
        /// The digest.
        digest: String,
        /// The number of entries in the log.
        size: u64,
    },
    /// The state that a report keeps of a long log does not fit into memory, and its temporary file cannot be used.
    #[error("cannot use a temporary file to read the log")]
    Scratch(#[source] rusqlite::Error),
    /// A report was requested for a part of a log.
    #[error("only {found} of the log's {size} entries were read, but a report needs all")]
    Missing {
        /// The number of entries that were read.
        found: u64,
        /// The number of entries in the log.
        size: u64,
    },
}

impl Error {
    /// The remedy, if one is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Digest(_) => Some(
                "give `sha256:` and 64 lower-case hexadecimal digits, at least the first 4 of them, or a name that \
                 `airlock audit log` prints",
            ),
            Self::Ambiguous { .. } => Some("give more digits"),
            Self::Unknown { .. } => Some(
                "list the events with `airlock audit log`; imported content is logged under the digest of its manifest, \
                 and operations on the other side of the air gap are in that side's log",
            ),
            Self::Scratch(_) => Some("set TMPDIR to a folder with free space"),
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the log is on a read-only file system.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::ReadOnlyFilesystem)
            {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => source.class(),
            Self::Log(error) => error.class(),
            Self::Key(_)
            | Self::Unusable { .. }
            | Self::EventType(_)
            | Self::Framework(_)
            | Self::Digest(_)
            | Self::Ambiguous { .. } => Class::Usage,
            Self::Form(_)
            | Self::Version(_)
            | Self::NotCanonical
            | Self::NoEvent { .. }
            | Self::Missing { .. } => Class::Refused,
            Self::Unknown { .. } => Class::Missing,
            // A full disk is reported as such; everything else about a log is a failure of airlock.
            Self::Unlogged { source, .. } if source.class() == Class::NoRoom => Class::NoRoom,
            Self::Unlogged { .. }
            | Self::Index { .. }
            | Self::Locked(_)
            | Self::Stopped
            | Self::Lookup(_)
            | Self::Scratch(_) => Class::Other,
        }
    }
}
