//! Why an event cannot be logged, or a log not be read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// An event could not be logged, so that its work must not be reported as done.
    #[error("the audit log `{log}` cannot be written, so nothing is reported as done")]
    Unlogged {
        /// The log.
        log: PathBuf,
        /// Why.
        #[source]
        source: Arc<tlog::Error>,
    },
    /// A log or a key of one is not as it should be.
    #[error(transparent)]
    Log(#[from] tlog::Error),
    /// The file does not hold a key of a log.
    #[error("`{0}` is not a log's key")]
    Key(PathBuf),
    /// A key or policy that was given cannot be used.
    #[error("`{path}` cannot be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: tlog::Error,
    },
    /// An entry is not JSON of an event's form.
    #[error("it is not an event that this version knows")]
    Form(#[source] serde_json::Error),
    /// An entry of a newer program.
    #[error("it has version {0}, and this program knows version 1")]
    Version(u32),
    /// An entry with white space, or with members in another order.
    #[error("it is not in canonical form")]
    NotCanonical,
    /// An entry that is in the log as it was logged, but is no event.
    #[error("entry {index} is not an event")]
    NoEvent {
        /// Its index.
        index: u64,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The index beside the log failed; it can be removed.
    #[error("the index `{path}` cannot be used")]
    Index {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process worked with the index for too long.
    #[error("the index of the log is in use")]
    Locked(#[source] private::Locked),
    /// Whoever was given events wanted no more of them.
    #[error("the events were not read to their end")]
    Stopped,
    /// There is no such kind of event.
    #[error("`{0}` is not a kind of event")]
    EventType(String),
    /// There is no such framework.
    #[error("`{0}` is not a framework")]
    Framework(String),
    /// It is not written as a digest is, and not a name in the log.
    #[error("`{0}` is neither a digest, nor the beginning of one, nor a name in this log")]
    Digest(String),
    /// Several digests begin so.
    #[error("`{start}` is the beginning of several digests: {}", found.join(", "))]
    Ambiguous {
        /// What was given.
        start: String,
        /// The first of them.
        found: Vec<String>,
    },
    /// What is beside the log cannot be read.
    #[error("the store beside the log cannot be read")]
    Beside(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No event names the digest.
    #[error("none of the {size} entries of this log is about `{digest}`")]
    Unknown {
        /// The digest.
        digest: String,
        /// How many entries were looked at.
        size: u64,
    },
    /// What was seen of a long log did not fit into memory, and could not be put elsewhere.
    #[error("cannot use a temporary file to read the log")]
    Scratch(#[source] rusqlite::Error),
    /// A report was to be made of a part of a log only.
    #[error("{found} of the log's {size} entries were read, but a report needs all")]
    Missing {
        /// How many were read.
        found: u64,
        /// How many there are.
        size: u64,
    },
}

impl Error {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Digest(_) => Some(
                "a digest is `sha256:` and 64 digits from 0 to 9 and a to f, or at least the first 4 of them; names are \
                 those that `airlock audit log` prints",
            ),
            Self::Ambiguous { .. } => Some("give more of its digits"),
            Self::Unknown { .. } => Some(
                "`airlock audit log` lists what there is; content that came in is logged under its manifest's digest, \
                 and what another side did is in that side's log",
            ),
            Self::Scratch(_) => Some("name a folder with free space by TMPDIR"),
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// Whether the log lies where nothing can be written.
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
            Self::Unlogged { .. }
            | Self::Index { .. }
            | Self::Locked(_)
            | Self::Stopped
            | Self::Beside(_)
            | Self::Scratch(_) => Class::Other,
        }
    }
}
