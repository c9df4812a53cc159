//! Why the store refuses or fails.

mod class;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Digest, RepositoryName};
use private::{Holders, Locked};

const READ_ONLY: &str = "use a store that can be written; `serve --read-only`, `store list`, `store check` and `pack` need no more than this";

/// Every way in which a call to the store can fail.
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
    /// A query failed.
    #[error("the store's database failed")]
    Database(#[from] rusqlite::Error),
    /// The transaction that this call shared with others failed; nothing of it is visible.
    #[error("the store could not commit")]
    Commit(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The committing thread is gone, which happens only after it panicked.
    #[error("the store is closed")]
    Closed,
    /// The folder has files in it, but not a store's.
    #[error("`{0}` is neither empty nor a store")]
    NotAStore(PathBuf),
    /// There is no store there.
    #[error("there is no store at `{0}`")]
    Absent(PathBuf),
    /// The database is gone or half rebuilt, while blobs and names are there.
    #[error("the store at `{0}` has no usable database")]
    NoDatabase(PathBuf),
    /// The journal lost lines that the database has.
    #[error("the journal has {found} bytes, of which {expected} should be there")]
    JournalShort {
        /// Its length.
        found: u64,
        /// What the database committed.
        expected: u64,
    },
    /// Neither database nor journal is there, so no name can be given back.
    #[error(
        "the store at `{0}` has neither `airlock.db` nor `names.log`: no repository, manifest or tag can be given back"
    )]
    NamesGone(PathBuf),
    /// A newer program wrote the store.
    #[error("the store has format version {found}, this program knows {known}")]
    Version {
        /// What the store says.
        found: u32,
        /// What is understood here.
        known: u32,
    },
    /// Another process works with the store.
    #[error("the store at `{root}` is in use by {holders}")]
    InUse {
        /// The store's folder.
        root: PathBuf,
        /// Who has it open.
        holders: Holders,
    },
    /// A lock was not free within the time that is waited for it.
    #[error(transparent)]
    Locked(Locked),
    /// The file system of the store is read-only.
    #[error("the store at `{0}` is on a read-only file system")]
    ReadOnly(PathBuf),
    /// The file system is read-only, and a program that ended suddenly left the database to be tidied.
    #[error("the store at `{0}` was not closed in order, and its file system is read-only")]
    Unfinished(PathBuf),
    /// The bytes are not what the digest promises.
    #[error("the content hashes to `{found}`, not to `{expected}`")]
    DigestMismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A change names a blob that is not on disk.
    #[error("blob `{digest}` of `{repository}` is not in the store")]
    BlobMissing {
        /// Where it was to be linked.
        repository: RepositoryName,
        /// Its digest.
        digest: Digest,
    },
    /// A tag was to point at a manifest that the repository lacks.
    #[error("manifest `{digest}` is not in `{repository}`")]
    ManifestMissing {
        /// The repository.
        repository: RepositoryName,
        /// The manifest's digest.
        digest: Digest,
    },
    /// A manifest gives another size for content than the content has: both bind.
    #[error("manifest `{manifest}` says that `{digest}` has {said} bytes, but it has {found}")]
    DescriptorSize {
        /// The manifest's digest.
        manifest: Digest,
        /// What it describes.
        digest: Digest,
        /// The size in the manifest.
        said: u64,
        /// The content's size.
        found: u64,
    },
    /// Somebody pushed as many manifests beside one as they may.
    #[error("no more than {most} {what} of one user may refer to `{named}`")]
    TooManyNaming {
        /// What is referred to.
        named: Digest,
        /// The limit.
        most: u64,
        /// What is limited.
        what: &'static str,
    },
    /// Two requests write to one upload session.
    #[error("upload `{0}` is being written by another request")]
    UploadBusy(String),
    /// The upload session ended while a request was writing to it.
    #[error("upload `{0}` was ended by another request")]
    UploadGone(String),
    /// Unfinished uploads hold as much as they may.
    #[error("no more than {most} {what} are allowed")]
    UploadQuota {
        /// The limit.
        most: u64,
        /// What is limited.
        what: &'static str,
    },
    /// Two processes fetch one blob.
    #[error("blob `{digest}` is being fetched by {holders}")]
    PartialBusy {
        /// The blob.
        digest: Digest,
        /// Who fetches it.
        holders: Holders,
    },
    /// What stands in the database cannot be read back.
    #[error("the store holds a value that is not valid")]
    Invalid(#[from] oci::Error),
    /// The two halves of a parted writer took different bytes: a defect of the program.
    #[error("{written} bytes were written, {hashed} were hashed")]
    HalvesDiffer {
        /// By the half that writes.
        written: u64,
        /// By the half that hashes.
        hashed: u64,
    },
    /// The system gave no random bytes.
    #[error("no random bytes to be had")]
    Random,
}

impl Error {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if self.is_out_of_space() {
            return Some(
                "free space on the store's file system, then run the same command again: nothing is lost",
            );
        }
        match self {
            Self::NotAStore(_) => Some("name an empty or a new folder"),
            Self::Absent(_) => Some(
                "check the path; `airlock mirror` and `airlock import` make a store where there is none, and so does \
                 `airlock serve --create`",
            ),
            Self::Version { .. } => Some("use the airlock version that wrote the store, or a newer one"),
            Self::InUse { .. } => Some("stop `airlock serve` and other airlock commands on this store first"),
            Self::Locked(locked) => Some(locked.hint()),
            Self::DescriptorSize { .. } => {
                Some("the manifest is wrong, and no client can pull it: have it built and pushed anew")
            }
            Self::TooManyNaming { .. } => Some("delete referrers that are no longer needed"),
            Self::UploadQuota { .. } => Some("finish or cancel uploads that are open, or wait an hour"),
            Self::Database(_) => {
                Some("`airlock store check` tells what is wrong, `airlock store rebuild` mends it")
            }
            Self::NoDatabase(_) => {
                Some("run `airlock store rebuild`, which makes it anew from the blobs and `names.log`")
            }
            Self::JournalShort { .. } => {
                Some("run `airlock store rebuild`, which writes it anew from the database's names")
            }
            Self::NamesGone(_) => Some(
                "put back one of the two, or mirror or import again after `airlock store rebuild --without-names`: the \
                 blobs are kept, but until then `airlock store gc` would remove them all",
            ),
            Self::Commit(source) => source.downcast_ref::<Self>().and_then(Self::hint),
            Self::ReadOnly(_) => Some(READ_ONLY),
            Self::Unfinished(_) => Some(
                "let `airlock store check` run on it once where it can be written, then make it read-only",
            ),
            Self::Io { .. } if self.is_read_only_file_system() => Some(READ_ONLY),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run airlock as the user that the store belongs to")
            }
            Self::PartialBusy { .. } => Some("wait for the other airlock command to end"),
            _ => None,
        }
    }

    /// Whether the file system allows no writing.
    #[must_use]
    pub fn is_read_only_file_system(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
            Self::Commit(source) => source.downcast_ref::<Self>().is_some_and(Self::is_read_only_file_system),
            Self::ReadOnly(_) => true,
            _ => false,
        }
    }

    /// Whether another process held a lock for too long.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Locked(_) => true,
            Self::Commit(source) => source.downcast_ref::<Self>().is_some_and(Self::is_locked),
            _ => false,
        }
    }

    /// Whether the database would have to be written to be read.
    pub(crate) fn is_unwritable_database(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
        let Self::Database(source) = self else { return false };
        matches!(source.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
    }

    /// Whether the file system is full.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Database(source) => is_full(source),
            Self::Commit(source) => source.downcast_ref::<Self>().is_some_and(Self::is_out_of_space),
            _ => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

impl From<private::Error> for Error {
    fn from(error: private::Error) -> Self {
        match error {
            private::Error::Io { path, source } => Self::Io { action: "lock", path, source },
            private::Error::Locked(locked) => Self::Locked(locked),
        }
    }
}

/// A full disk also shows when SQLite enlarges the index of its write-ahead log.
fn is_full(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    error.code == rusqlite::ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
}
