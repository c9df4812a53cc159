//! The errors in drives, one for each defect.

mod class;
mod hint;

use std::path::PathBuf;

use oci::Digest;

use crate::drive_log::{Alarm, DriveLogError};
use crate::media::OtherFile;

/// An error in writing, reading or verifying volumes.
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
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Another process kept a file locked for too long.
    #[error("the witness records are in use")]
    Locked(#[source] private::Locked),
    /// The store failed.
    #[error("an operation on the store failed")]
    Store(#[from] store::Error),
    /// The signature is missing, not trusted, or invalid.
    #[error("the drive's signature is refused")]
    Signature(#[source] bundle_signer::Error),
    /// No trust file was given.
    #[error("no trust file was given, so no signature can be accepted")]
    NoTrust,
    /// The signature on the drive is empty.
    #[error("the drive is not signed")]
    Unsigned,
    /// The paths contain no volume.
    #[error("no airlock volume was found in {0}")]
    NoVolume(String),
    /// A file that is named like a volume, or that the user named, is not a volume.
    #[error("`{}` is {}, not a volume", .0.path.display(), .0.kind)]
    NotVolume(OtherFile),
    /// Volumes of several sets were found.
    #[error("`{path}` belongs to set `{found}`, not to `{expected}`")]
    OtherSet {
        /// The volume.
        path: PathBuf,
        /// Its set.
        found: Digest,
        /// The set being read.
        expected: Digest,
    },
    /// Volumes are missing.
    #[error("of {total} volumes, {missing} missing: {names}")]
    MissingVolumes {
        /// The number of volumes in the set.
        total: u32,
        /// The number of missing volumes, with its verb.
        missing: String,
        /// Their file names.
        names: String,
    },
    /// The head of a volume is malformed.
    #[error("the head of `{path}` is malformed at the {part}")]
    Head {
        /// The volume.
        path: PathBuf,
        /// The malformed part of the head.
        part: &'static str,
    },
    /// A volume ends within its head.
    #[error("`{0}` is truncated: it ends within its head")]
    HeadTruncated(PathBuf),
    /// A volume's format version is unknown.
    #[error("`{path}` has format version {found}, this program supports {known}")]
    Version {
        /// The volume.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest supported version.
        known: u32,
    },
    /// The manifest is larger than allowed.
    #[error("the manifest has {found} bytes, more than the {limit} allowed")]
    ManifestTooLarge {
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The manifest does not match the set's digest.
    #[error("the manifest in `{path}` has the digest `{found}`, but the volume header states `{expected}`")]
    ManifestDigest {
        /// The volume.
        path: PathBuf,
        /// The manifest's digest.
        found: Digest,
        /// The digest in the header.
        expected: Digest,
    },
    /// The signature in a volume differs from the first volume's.
    #[error("the signature in `{0}` differs from that of the first volume")]
    OtherSignature(PathBuf),
    /// The manifest is not JSON of the expected shape.
    #[error("the manifest is malformed")]
    ManifestJson(#[source] serde_json::Error),
    /// The manifest lists an entry twice.
    #[error("the manifest lists `{0}` twice")]
    DuplicateInManifest(String),
    /// The manifest is inconsistent.
    #[error("the manifest is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// Content that a manifest of the set lists is missing or has another size.
    #[error("the set is not complete: {}", mirror::complete::list(.0))]
    Incomplete(Vec<mirror::complete::Gap>),
    /// The manifest has more entries or volumes than allowed.
    #[error("the manifest has {found} {what}, more than the {limit} allowed")]
    TooMany {
        /// The counted unit.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A volume's header states another number of volumes than the manifest.
    #[error("the header of `{path}` states {found} volumes, but the manifest states {expected}")]
    VolumeCount {
        /// The volume.
        path: PathBuf,
        /// The number in the header.
        found: u32,
        /// The number in the manifest.
        expected: u32,
    },
    /// The volume file is longer than the manifest implies.
    #[error("`{path}` has {excess} bytes after its end")]
    TrailingBytes {
        /// The volume.
        path: PathBuf,
        /// The number of excess bytes.
        excess: u64,
    },
    /// The volume file is shorter than the manifest implies.
    #[error("`{path}` is truncated: {missing} bytes are missing")]
    Truncated {
        /// The volume.
        path: PathBuf,
        /// The number of missing bytes.
        missing: u64,
    },
    /// A tar header differs from the one that the manifest implies.
    #[error("`{path}` at byte {offset}: {defect}")]
    Header {
        /// The volume.
        path: PathBuf,
        /// The offset of the header.
        offset: u64,
        /// The defect.
        #[source]
        defect: HeaderDefect,
    },
    /// Padding is not zero.
    #[error("`{path}` at byte {offset}: the padding is not zero")]
    Padding {
        /// The volume.
        path: PathBuf,
        /// The offset of the padding.
        offset: u64,
    },
    /// An entry's content does not match its digest.
    #[error("entry `{name}` has the digest `{found}`, expected `{expected}`")]
    Content {
        /// The entry.
        name: String,
        /// The actual digest.
        found: Digest,
        /// The expected digest.
        expected: Digest,
    },
    /// An entry decompresses to more bytes than declared.
    #[error("entry `{name}` decompresses to more than its {size} bytes")]
    DecompressionBomb {
        /// The entry.
        name: String,
        /// Its declared size.
        size: u64,
    },
    /// An entry decompresses to fewer bytes than declared.
    #[error("entry `{name}` has {found} bytes, expected {expected}")]
    WrongSize {
        /// The entry.
        name: String,
        /// The actual size.
        found: u64,
        /// The declared size.
        expected: u64,
    },
    /// An entry cannot be decompressed.
    #[error("entry `{name}` cannot be decompressed")]
    Compression {
        /// The entry.
        name: String,
        /// The error from zstd.
        #[source]
        source: std::io::Error,
    },
    /// The store lacks content that the lock lists.
    #[error("the store does not have `{0}`, which the lock lists")]
    NotInStore(Digest),
    /// The package bundles of the store cannot be read.
    #[error("the package bundles of the store cannot be read")]
    Bundles(#[source] Box<package_bundle::Error>),
    /// A blob in the store is damaged.
    #[error("blob `{expected}` in the store is damaged: its content has the digest `{found}`")]
    StoreDamaged {
        /// The blob.
        expected: Digest,
        /// The digest of its content.
        found: Digest,
    },
    /// The volume size is too small for the head.
    #[error("a volume of {size} bytes is too small: its head needs {head}, and a volume at least {least}")]
    VolumeTooSmall {
        /// The requested size.
        size: u64,
        /// The size of the head.
        head: u64,
        /// The minimum size.
        least: u64,
    },
    /// The medium has too little space.
    #[error("`{path}` has {free} bytes of free space, but {needed} are needed")]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needed: u64,
    },
    /// The medium's file system does not support files of this size.
    #[error("the file system of `{path}` supports files of at most {limit} bytes, but a volume has {size}")]
    FileTooLarge {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: u64,
        /// The largest volume.
        size: u64,
    },
    /// Another pack is writing to the folder.
    #[error("another `airlock pack` is writing to `{}`: {holders}", target.display())]
    TargetBusy {
        /// The folder.
        target: PathBuf,
        /// The processes that write there.
        holders: private::Holders,
    },
    /// Another volume of the set was inserted.
    #[error("the medium has volume {}, but volume {expected} is needed", found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    OtherVolume {
        /// The volumes on the medium.
        found: Vec<u32>,
        /// The volume that is needed.
        expected: u32,
    },
    /// A medium is needed, but no one inserts it.
    #[error("volume {number} of {total}, `{name}`, is needed next, but was not inserted")]
    NotInserted {
        /// The volume.
        number: u32,
        /// The number of volumes.
        total: u32,
        /// Its file name.
        name: String,
    },
    /// Reading back a medium gives other content than was written.
    #[error("`{0}` does not contain what was written to it")]
    ReadBack(PathBuf),
    /// Volumes of another set have the same names.
    #[error("`{0}` already exists and is not a volume of this set")]
    WouldOverwrite(PathBuf),
    /// A manifest on the drive cannot be parsed.
    #[error("a manifest on the drive is not valid")]
    Oci(#[from] oci::Error),
    /// Signing failed.
    #[error("cannot sign the manifest")]
    Sign(#[source] bundle_signer::Error),
    /// The drive's log or a return medium is refused.
    #[error(transparent)]
    Log(#[from] DriveLogError),
    /// A log was rolled back or forked, or a drive was replayed.
    #[error("alarm")]
    Alarm(#[source] Box<Alarm>),
    /// The pack could not be logged.
    #[error("the volumes were written, but the event could not be logged")]
    Unlogged(#[source] crate::drive_log::write::LogFailure),
}

/// A defect of a tar header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderDefect {
    /// The checksum is wrong.
    #[error("the tar header's checksum is wrong")]
    Checksum,
    /// A symbolic link.
    #[error("a symbolic link `{0}` where a file should be")]
    SymbolicLink(String),
    /// A hard link.
    #[error("a hard link `{0}` where a file should be")]
    HardLink(String),
    /// A device, FIFO or other special file.
    #[error("a device or special file `{0}` where a file should be")]
    Device(String),
    /// Another kind of entry.
    #[error("an entry of kind `{kind}` named `{name}` where a file should be")]
    Kind {
        /// The type flag.
        kind: char,
        /// The name.
        name: String,
    },
    /// The name begins with a slash.
    #[error("the absolute path `{0}`")]
    AbsolutePath(String),
    /// The name contains `..`.
    #[error("the path `{0}` leads out of the folder")]
    PathTraversal(String),
    /// The entry appears a second time.
    #[error("a duplicate of entry `{0}`")]
    Duplicate(String),
    /// Another entry is expected here.
    #[error("entry `{found}` where `{expected}` should be")]
    Unexpected {
        /// The entry found.
        found: String,
        /// The expected entry.
        expected: String,
    },
    /// The header states a larger size than the manifest.
    #[error("the header of entry `{name}` states {found} bytes, more than the expected {expected}")]
    TooLarge {
        /// The entry.
        name: String,
        /// The size in the header.
        found: u64,
        /// The size in the manifest.
        expected: u64,
    },
    /// The header states a smaller size than the manifest.
    #[error("the header of entry `{name}` states {found} bytes, fewer than the expected {expected}")]
    TooSmall {
        /// The entry.
        name: String,
        /// The size in the header.
        found: u64,
        /// The size in the manifest.
        expected: u64,
    },
    /// The archive ends here.
    #[error("the archive ends where `{0}` should be")]
    End(String),
    /// Another field of the header differs.
    #[error("the tar header of `{0}` differs in its mode, owner or time")]
    Details(String),
}

/// The error when evidence in a store cannot be read.
pub(crate) fn of_store(error: evidence::Error, store: &store::Store) -> Error {
    match error {
        evidence::Error::Store(error) => Error::Store(error),
        evidence::Error::Read { source, .. } => Error::io("read", store.root())(source),
        _ => Error::Inconsistent("a manifest in the store cannot be read"),
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

impl Error {
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
