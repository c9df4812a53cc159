//! The errors of the store.

mod class;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Digest, RepositoryName, Tag};
use private::{Holders, Locked};

use crate::protect::Protection;

const READ_ONLY: &str = "use a writable store; only `serve --read-only`, `store list`, `store check` and `pack` work with a read-only one";

/// Every way in which a call to the store can fail.
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
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A query failed.
    #[error("the store's database failed")]
    Database(#[from] rusqlite::Error),
    /// The transaction that this call shared with others failed; nothing of it is visible.
    #[error("the store could not commit")]
    Commit(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The committing thread ended, which happens only after a panic.
    #[error("the store is closed")]
    Closed,
    /// The folder has files in it, but not those of a store.
    #[error("`{0}` is neither empty nor a store")]
    NotAStore(PathBuf),
    /// The store does not exist.
    #[error("no store exists at `{0}`")]
    Absent(PathBuf),
    /// The database is missing or only half rebuilt, while blobs and names exist.
    #[error("the store at `{0}` has no usable database")]
    NoDatabase(PathBuf),
    /// The journal lost lines that the database has.
    #[error("the journal has only {found} bytes, but {expected} bytes were committed")]
    JournalShort {
        /// Its length.
        found: u64,
        /// The length that the database committed.
        expected: u64,
    },
    /// Neither a database nor a journal exists, so no name can be restored.
    #[error(
        "the store at `{0}` has neither `airlock.db` nor `names.log`: repositories, manifests and tags cannot be restored"
    )]
    NamesGone(PathBuf),
    /// A newer version of airlock wrote the store.
    #[error("the store has format version {found}, but this version of airlock supports at most {known}")]
    Version {
        /// The version of the store.
        found: u32,
        /// The newest supported version.
        known: u32,
    },
    /// The part of the inbox for a repository has reached a limit.
    #[error("the inbox of `{repository}` is full: at most {most} {what} are allowed")]
    InboxFull {
        /// The repository.
        repository: RepositoryName,
        /// The limit.
        most: u64,
        /// What is counted.
        what: &'static str,
    },
    /// No manifest, or another one, waits in the inbox for a tag.
    #[error("the inbox has no such manifest for `{repository}:{tag}`")]
    NotWaiting {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// Another process has the store open.
    #[error("the store at `{root}` is in use by {holders}")]
    InUse {
        /// The store's folder.
        root: PathBuf,
        /// The processes that have it open.
        holders: Holders,
    },
    /// A lock was not released within the timeout.
    #[error(transparent)]
    Locked(Locked),
    /// The file system of the store is read-only.
    #[error("the store at `{0}` is on a read-only file system")]
    ReadOnly(PathBuf),
    /// The file system is read-only, and a program that ended abruptly left the database in need of recovery.
    #[error("the store at `{0}` was not closed cleanly, and its file system is read-only")]
    Unfinished(PathBuf),
    /// The content does not match the digest.
    #[error("the content hashes to `{found}`, not to `{expected}`")]
    DigestMismatch {
        /// The expected digest.
        expected: Digest,
        /// The digest of the content.
        found: Digest,
    },
    /// A change names a blob that is not on disk.
    #[error("blob `{digest}` of `{repository}` is not in the store")]
    BlobMissing {
        /// The repository to link it to.
        repository: RepositoryName,
        /// Its digest.
        digest: Digest,
    },
    /// A change points a tag at a manifest that the repository lacks.
    #[error("manifest `{digest}` is not in `{repository}`")]
    ManifestMissing {
        /// The repository.
        repository: RepositoryName,
        /// The manifest's digest.
        digest: Digest,
    },
    /// The size of content in a manifest differs from the content's size: both size and digest are binding.
    #[error("manifest `{manifest}` declares {said} bytes for `{digest}`, but it has {found}")]
    DescriptorSize {
        /// The manifest's digest.
        manifest: Digest,
        /// The content's digest.
        digest: Digest,
        /// The size in the manifest.
        said: u64,
        /// The content's size.
        found: u64,
    },
    /// A user reached the limit of manifests that name one manifest.
    #[error("no more than {most} {what} of one user may refer to `{named}`")]
    TooManyNaming {
        /// The manifest that they name.
        named: Digest,
        /// The limit.
        most: u64,
        /// The unit of the limit.
        what: &'static str,
    },
    /// A rule of the store forbids to move or remove a tag.
    #[error("tag `{repository}:{tag}` is immutable, so it cannot be moved or removed")]
    TagImmutable {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
    },
    /// A name that is still needed would be removed.
    #[error("`{0}` is protected by {source}: {reason}", source = .0.source, reason = .0.reason)]
    Protected(Box<Protection>),
    /// The content of the repositories of a quota would exceed its limit.
    #[error("the quota for `{quota}` is {most} {what}: {used} are used, and {added} more would be added")]
    QuotaExceeded {
        /// The repositories, as the rule names them.
        quota: String,
        /// What is used.
        used: u64,
        /// What would be added, at least.
        added: u64,
        /// The limit.
        most: u64,
        /// The unit of the limit.
        what: &'static str,
    },
    /// The rules in the database cannot be read.
    #[error("the rules of the store cannot be read")]
    Rules(#[source] serde_json::Error),
    /// Two requests write to one upload session.
    #[error("upload `{0}` is being written by another request")]
    UploadBusy(String),
    /// The upload session ended while a request was writing to it.
    #[error("upload `{0}` was completed or cancelled by another request")]
    UploadGone(String),
    /// Unfinished uploads reached their limit.
    #[error("no more than {most} {what} are allowed")]
    UploadQuota {
        /// The limit.
        most: u64,
        /// The unit of the limit.
        what: &'static str,
    },
    /// Two processes fetch one blob.
    #[error("blob `{digest}` is being fetched by {holders}")]
    PartialBusy {
        /// The blob.
        digest: Digest,
        /// The processes that fetch it.
        holders: Holders,
    },
    /// Another scrub of the same store runs.
    #[error("the store is being scrubbed by {0}")]
    Scrubbing(Holders),
    /// Many blobs in a row cannot be read.
    #[error("{0} blobs in a row cannot be read, so the scrub stopped")]
    DiskFails(usize),
    /// The folder contains something else than a backup, or is in the store.
    #[error("`{0}` is not a backup folder, and cannot be used as one")]
    NotABackup(PathBuf),
    /// The folder for a restored store contains files.
    #[error("`{0}` is not empty")]
    NotEmpty(PathBuf),
    /// Blobs were removed faster than they were copied.
    #[error("the store changed too quickly to be backed up")]
    ChangesTooQuickly,
    /// A value in the database cannot be parsed.
    #[error("the store holds a value that is not valid")]
    Invalid(#[from] oci::Error),
    /// The two halves of a split writer received different bytes: a bug in airlock.
    #[error("{written} bytes were written, but {hashed} were hashed")]
    HalvesDiffer {
        /// The number of written bytes.
        written: u64,
        /// The number of hashed bytes.
        hashed: u64,
    },
    /// The system provides no random bytes.
    #[error("cannot get random bytes from the system")]
    Random,
}

impl Error {
    /// What the user can do about it, if anything.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if self.is_out_of_space() {
            return Some(
                "free space on the store's file system, then run the same command again: nothing is lost",
            );
        }
        match self {
            Self::NotAStore(_) => Some("use an empty or a new folder"),
            Self::Absent(_) => Some(
                "check the path; `airlock mirror`, `airlock import` and `airlock serve --create` create a store",
            ),
            Self::Version { .. } => Some("use the airlock version that wrote the store, or a newer one"),
            Self::InUse { .. } => Some("stop `airlock serve` and other airlock commands on this store first"),
            Self::Locked(locked) => Some(locked.hint()),
            Self::DescriptorSize { .. } => {
                Some("the manifest is wrong, and no client can pull it: rebuild the image and push it again")
            }
            Self::Database(_) => Some(
                "run `airlock store check` to see what is wrong, and `airlock store rebuild` to repair it",
            ),
            Self::NoDatabase(_) => {
                Some("run `airlock store rebuild`, which recreates it from the blobs and `names.log`")
            }
            Self::JournalShort { .. } => {
                Some("run `airlock store rebuild`, which recreates it from the names in the database")
            }
            Self::NamesGone(_) => Some(
                "restore one of the two files from a backup, or run `airlock store rebuild --without-names` and mirror or \
                 import again: the blobs are kept, but until then `airlock store gc` would remove them all",
            ),
            Self::Commit(source) => source.downcast_ref::<Self>().and_then(Self::hint),
            Self::ReadOnly(_) => Some(READ_ONLY),
            Self::Unfinished(_) => Some(
                "run `airlock store check` once while the store is writable, then make it read-only again",
            ),
            Self::Io { .. } if self.is_read_only_file_system() => Some(READ_ONLY),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("run airlock as the user who owns the store")
            }
            Self::NotABackup(_) => {
                Some("name an empty folder, or a folder that `airlock store backup` wrote")
            }
            Self::NotEmpty(_) => {
                Some("restore into a new folder, and compare it before you replace anything")
            }
            Self::ChangesTooQuickly => Some("run the backup again when `airlock store gc` is not running"),
            Self::Scrubbing(_) => Some("wait for it to finish, or stop that process"),
            Self::DiskFails(_) => Some("check the disk, its file system, and the owner of the files"),
            Self::PartialBusy { .. } => Some("wait for the other airlock command to finish"),
            _ => self.hint_of_limit(),
        }
    }

    /// What the user can do about a rule or a limit.
    fn hint_of_limit(&self) -> Option<&'static str> {
        match self {
            Self::TagImmutable { .. } => Some(
                "use another tag; the rule is in `immutableTags` of the registry's configuration file (docs/space.md)",
            ),
            Self::Protected(_) => Some(
                "end the protection with `airlock store unprotect`; `airlock store protections` lists all of them",
            ),
            Self::QuotaExceeded { .. } => Some(
                "remove content that is no longer needed, then run `airlock store gc`; or raise the quota in `quotas` of the \
                 registry's configuration file (docs/space.md)",
            ),
            Self::Rules(_) => Some(
                "restart `airlock serve --file` with a version that is not older than the one that wrote them",
            ),
            Self::TooManyNaming { .. } => Some("delete referrers that are no longer needed"),
            Self::UploadQuota { .. } => Some("finish or cancel open uploads, or wait an hour"),
            Self::NotWaiting { .. } => Some("`airlock inbox list` shows the manifests in the inbox"),
            _ => None,
        }
    }

    /// Whether the file system is read-only.
    #[must_use]
    pub fn is_read_only_file_system(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::ReadOnlyFilesystem,
            Self::Commit(source) => source.downcast_ref::<Self>().is_some_and(Self::is_read_only_file_system),
            Self::ReadOnly(_) => true,
            _ => false,
        }
    }

    /// Whether another process held a lock until the timeout.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Locked(_) => true,
            Self::Commit(source) => source.downcast_ref::<Self>().is_some_and(Self::is_locked),
            _ => false,
        }
    }

    /// Whether SQLite would have to write the database in order to read it.
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

/// Whether the disk is full, which can also show when SQLite enlarges the index of its write-ahead log.
fn is_full(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    error.code == rusqlite::ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
}
