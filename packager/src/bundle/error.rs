//! One error for each way in which a drive can be wrong.

mod class;
mod hint;

use std::path::PathBuf;

use oci::Digest;

use crate::drive_log::{Alarm, DriveLogError};

/// Why volumes cannot be written, read or trusted.
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
        source: std::io::Error,
    },
    /// Another process kept a file locked for too long.
    #[error("the witness records are in use")]
    Locked(#[source] private::Locked),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The signature is not there, not trusted or not good.
    #[error("the drive's signature is refused")]
    Signature(#[source] bundle_signer::Error),
    /// Nobody said which keys to trust.
    #[error("no trust file was given, so no signature can be accepted")]
    NoTrust,
    /// The drive carries an empty signature.
    #[error("the drive is not signed")]
    Unsigned,
    /// There is no volume among the paths.
    #[error("no airlock volume was found in {0}")]
    NoVolume(String),
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
        /// How many there should be.
        total: u32,
        /// How many are missing, with its verb.
        missing: String,
        /// Their file names.
        names: String,
    },
    /// The beginning of a volume is not a volume's.
    #[error("the head of `{path}` is malformed at its {part}")]
    Head {
        /// The volume.
        path: PathBuf,
        /// Which part of the head.
        part: &'static str,
    },
    /// A volume ends within its head.
    #[error("`{0}` is truncated: it ends within its head")]
    HeadTruncated(PathBuf),
    /// A volume's format version is unknown.
    #[error("`{path}` has format version {found}, this program knows {known}")]
    Version {
        /// The volume.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// What is known.
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
    /// The manifest does not hash to the set's digest.
    #[error("the manifest in `{path}` hashes to `{found}`, its header says `{expected}`")]
    ManifestDigest {
        /// The volume.
        path: PathBuf,
        /// What it hashes to.
        found: Digest,
        /// What the header says.
        expected: Digest,
    },
    /// The signature in a volume differs from the first volume's.
    #[error("the signature in `{0}` differs from that of the first volume")]
    OtherSignature(PathBuf),
    /// The manifest is not JSON of the expected shape.
    #[error("the manifest is malformed")]
    ManifestJson(#[source] serde_json::Error),
    /// The manifest names an entry twice.
    #[error("the manifest names `{0}` twice")]
    DuplicateInManifest(String),
    /// The manifest contradicts itself.
    #[error("the manifest is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// The set lacks something that one of its manifests names, or has it with another size.
    #[error("the set is not complete: {}", mirror::complete::list(.0))]
    Incomplete(Vec<mirror::complete::Gap>),
    /// The manifest has more entries or volumes than allowed.
    #[error("the manifest has {found} {what}, more than the {limit} allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A volume's header counts other volumes than the manifest.
    #[error("`{path}` says that there are {found} volumes, the manifest says {expected}")]
    VolumeCount {
        /// The volume.
        path: PathBuf,
        /// What its header says.
        found: u32,
        /// What the manifest says.
        expected: u32,
    },
    /// The volume file has another size than the manifest implies: more.
    #[error("`{path}` has {excess} bytes after its end")]
    TrailingBytes {
        /// The volume.
        path: PathBuf,
        /// How many too many.
        excess: u64,
    },
    /// The volume file ends early.
    #[error("`{path}` is truncated: {missing} bytes are missing")]
    Truncated {
        /// The volume.
        path: PathBuf,
        /// How many.
        missing: u64,
    },
    /// A tar header differs from the one that the manifest implies.
    #[error("`{path}` at byte {offset}: {defect}")]
    Header {
        /// The volume.
        path: PathBuf,
        /// Where the header is.
        offset: u64,
        /// What is wrong with it.
        #[source]
        defect: HeaderDefect,
    },
    /// Padding is not zero.
    #[error("`{path}` at byte {offset}: the padding is not zero")]
    Padding {
        /// The volume.
        path: PathBuf,
        /// Where it begins.
        offset: u64,
    },
    /// An entry's bytes are others.
    #[error("entry `{name}` hashes to `{found}`, not to `{expected}`")]
    Content {
        /// The entry.
        name: String,
        /// What it hashes to.
        found: Digest,
        /// What it should.
        expected: Digest,
    },
    /// An entry decompresses to more than it should.
    #[error("entry `{name}` decompresses to more than its {size} bytes")]
    DecompressionBomb {
        /// The entry.
        name: String,
        /// Its declared size.
        size: u64,
    },
    /// An entry decompresses to less than it should.
    #[error("entry `{name}` has {found} bytes, not {expected}")]
    WrongSize {
        /// The entry.
        name: String,
        /// How many it has.
        found: u64,
        /// How many it should have.
        expected: u64,
    },
    /// zstd refuses an entry's bytes.
    #[error("entry `{name}` does not decompress")]
    Compression {
        /// The entry.
        name: String,
        /// What zstd says.
        #[source]
        source: std::io::Error,
    },
    /// The lock names something that the store lacks.
    #[error("the store has no `{0}`, which the lock names")]
    NotInStore(Digest),
    /// The package bundles of the store cannot be read.
    #[error("the package bundles of the store cannot be read")]
    Bundles(#[source] Box<package_bundle::Error>),
    /// A blob in the store is damaged.
    #[error("blob `{expected}` in the store is damaged: it hashes to `{found}`")]
    StoreDamaged {
        /// Its name.
        expected: Digest,
        /// What it hashes to.
        found: Digest,
    },
    /// The volume size is too small for the head.
    #[error("a volume of {size} bytes is too small: its head needs {head}, and a volume at least {least}")]
    VolumeTooSmall {
        /// What was asked for.
        size: u64,
        /// The head.
        head: u64,
        /// The least.
        least: u64,
    },
    /// The medium has too little room.
    #[error("`{path}` has {free} bytes free, {needed} are needed")]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needed: u64,
    },
    /// The medium's file system cannot hold so large a file.
    #[error("the file system of `{path}` holds files of at most {limit} bytes, a volume has {size}")]
    FileTooLarge {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: u64,
        /// The largest volume.
        size: u64,
    },
    /// Another pack writes into the folder.
    #[error("another `airlock pack` is writing to `{}`: {holders}", target.display())]
    TargetBusy {
        /// The folder.
        target: PathBuf,
        /// The processes that write there.
        holders: private::Holders,
    },
    /// Another volume of the set was inserted.
    #[error("the medium has volume {}, and volume {expected} is needed", found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    OtherVolume {
        /// The volumes that are there.
        found: Vec<u32>,
        /// The volume that is needed.
        expected: u32,
    },
    /// A medium is needed, and nobody is there to insert it.
    #[error("volume {number} of {total}, `{name}`, is needed next, but nobody answered")]
    NotInserted {
        /// The volume.
        number: u32,
        /// How many there are.
        total: u32,
        /// Its file.
        name: String,
    },
    /// A medium does not give what was written to it.
    #[error("`{0}` does not contain what was written to it")]
    ReadBack(PathBuf),
    /// Volumes of another set have the same names.
    #[error("`{0}` already exists and belongs to another set")]
    WouldOverwrite(PathBuf),
    /// A manifest in the drive does not parse.
    #[error("a manifest in the drive is not valid")]
    Oci(#[from] oci::Error),
    /// Signing failed.
    #[error("the manifest could not be signed")]
    Sign(#[source] bundle_signer::Error),
    /// The drive's log, or what a site returned, is refused.
    #[error(transparent)]
    Log(#[from] DriveLogError),
    /// A log was rolled back or forked, or a drive replayed.
    #[error("alarm")]
    Alarm(#[source] Box<Alarm>),
    /// The pack could not be logged.
    #[error("the volumes were written, but the event could not be logged")]
    Unlogged(#[source] crate::drive_log::write::LogFailure),
}

/// What is wrong with a tar header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderDefect {
    /// The checksum is not the header's.
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
    /// The name climbs out.
    #[error("the path `{0}` leaves the folder")]
    PathTraversal(String),
    /// The entry came before.
    #[error("entry `{0}` for a second time")]
    Duplicate(String),
    /// Another entry's turn.
    #[error("entry `{found}` where `{expected}` should be")]
    Unexpected {
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The entry is larger than the manifest says.
    #[error("entry `{name}` claims {found} bytes, more than its {expected}")]
    TooLarge {
        /// The entry.
        name: String,
        /// What it claims.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// The entry is smaller than the manifest says.
    #[error("entry `{name}` claims {found} bytes, fewer than its {expected}")]
    TooSmall {
        /// The entry.
        name: String,
        /// What it claims.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// The archive ends here.
    #[error("the archive ends where `{0}` should be")]
    End(String),
    /// Something that carries no meaning differs, but differs.
    #[error("the tar header of `{0}` differs in its mode, owner or time")]
    Details(String),
}

/// The error of a store in which evidence cannot be read.
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
