//! Volume files: finding them in folders, and reading the payload of one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Beneath;
use crate::bundle::Error;

/// A volume file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The number of volumes that its header states; the signature does not cover the header.
    pub total: u32,
}

/// A volume being read after its head.
pub(crate) struct Payload {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    read: Arc<AtomicU64>,
}

impl Payload {
    /// Opens a volume behind its head, which ends at `offset`. The bytes that are read add to `read`.
    pub(super) fn open(
        path: PathBuf,
        named: &BTreeSet<PathBuf>,
        offset: u64,
        read: Arc<AtomicU64>,
    ) -> Result<Self, Error> {
        let mut file = open(&path, named).map_err(Error::io("open", &path))?;
        file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &path))?;
        // This is only a hint to the kernel.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        Ok(Self { file, path, offset, read })
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact(bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                Error::Truncated { path: self.path.clone(), missing: bytes.len() as u64 }
            } else {
                Error::io("read", &self.path)(error)
            }
        })?;
        self.offset += bytes.len() as u64;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Opens a volume. A volume that was found in a folder must not be a link.
pub(super) fn open(path: &Path, named: &BTreeSet<PathBuf>) -> std::io::Result<File> {
    if named.contains(path) {
        return input::open(path);
    }
    let folder = Beneath::open(&beside(path)).map_err(|error| match error {
        Error::Io { source, .. } => source,
        other => std::io::Error::other(other),
    })?;
    folder.file(Path::new(path.file_name().unwrap_or_default()))
}

/// The folder of a file.
pub(super) fn beside(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file that is named like a volume, or that the user named, and that is not a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherFile {
    /// The file.
    pub path: PathBuf,
    /// Its kind.
    pub kind: &'static str,
    /// Whether the user named the file itself, not its folder.
    pub is_named: bool,
}

impl OtherFile {
    /// Whether this file is in the place of a volume.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.path.file_name().is_some_and(|own| own == name)
    }
}

/// The named files, and the `*.tar` files in the named folders, sorted by name; and what in these folders is only named so.
pub(super) fn candidates(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<OtherFile>), Error> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let listing = fs::read_dir(path).map_err(Error::io("read", path))?;
        let mut files: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar")));
        files.sort();
        for path in files {
            match other_kind(&path) {
                None => found.push(path),
                Some(kind) => others.push(OtherFile { path, kind, is_named: false }),
            }
        }
    }
    Ok((found, others))
}

/// What a path is, if it is not a regular file with content.
fn other_kind(path: &Path) -> Option<&'static str> {
    let found = fs::symlink_metadata(path).ok()?;
    let kind = found.file_type();
    if kind.is_file() {
        (found.len() == 0).then_some(EMPTY)
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else {
        Some("a socket or a device")
    }
}

const EMPTY: &str = "an empty file";

/// What a file of this size is, if it does not begin like a volume.
pub(super) fn content_kind(size: u64) -> &'static str {
    if size == 0 { EMPTY } else { "another kind of file" }
}
