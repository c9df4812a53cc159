//! The entries since the last full bundle and the newest checkpoint over them, made durable before they are used anywhere
//! else.
//!
//! A record is a kind, a `u16` length, the bytes, and the first four bytes of their leaf hash, which distinguishes a whole
//! record from a torn write. Version 1 had only entries, without a kind: it is read, and replaced on opening.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::files::publish;
use crate::{Error, Hash, Note, Result};

const NAME: &str = "tail";
const MAGIC: &[u8; 16] = b"airlock tail v2\n";
const MAGIC_1: &[u8; 16] = b"airlock tail v1\n";
const HEADER: usize = MAGIC.len() + 8;

/// The kinds of records.
const ENTRY: u8 = 0;
const CHECKPOINT: u8 = 1;

/// The open tail.
pub(super) struct Tail {
    path: PathBuf,
    file: File,
    inode: u64,
    length: u64,
    base: u64,
    entries: Vec<Vec<u8>>,
    /// Whether it is of version 1, to which nothing is added.
    is_old: bool,
}

impl Tail {
    /// Replaces the tail with one that begins at entry `base` and holds `entries` and the checkpoint over them.
    pub(super) fn create(log: &Path, base: u64, entries: &[Vec<u8>], note: Option<&Note>) -> Result<Self> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(base.to_be_bytes());
        bytes.extend(records(entries.iter().map(Vec::as_slice), note)?);
        publish(&log.join(NAME), &bytes)?;
        Self::open(log)
    }

    /// Opens the tail. The remains of a torn write at its end are cut off: they were never acknowledged.
    pub(super) fn open(log: &Path) -> Result<Self> {
        let path = log.join(NAME);
        let Content { base, entries, length, torn, is_old, .. } = Content::read(&path)?;
        let options = &mut OpenOptions::new();
        let file = private::open(options.append(true), &path).map_err(Error::io("open", &path))?;
        if torn {
            file.set_len(length).and_then(|()| file.sync_data()).map_err(Error::io("truncate", &path))?;
        }
        let inode = file.metadata().map_err(Error::io("read", &path))?.ino();
        Ok(Self { path, file, inode, length, base, entries, is_old })
    }

    /// Whether the file is unchanged since this process read or wrote it.
    pub(super) fn is_current(&self, log: &Path) -> Result<bool> {
        match fs::metadata(log.join(NAME)) {
            Ok(found) => Ok(found.ino() == self.inode && found.len() == self.length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// Makes entries durable, with the checkpoint over all entries, by one flush.
    pub(super) fn append(&mut self, entries: &[&[u8]], note: Option<&Note>) -> Result<()> {
        let bytes = records(entries.iter().copied(), note)?;
        let written = self.file.write_all(&bytes).map_err(Error::io("write", &self.path));
        let flushed = written.and_then(|()| self.file.sync_data().map_err(Error::io("flush", &self.path)));
        if let Err(error) = flushed {
            // The system reports a lost page only once: a later flush would succeed without it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.entries.extend(entries.iter().map(|entry| entry.to_vec()));
        Ok(())
    }

    /// The index of its first entry.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Whether it must be replaced before entries are added.
    pub(super) fn is_old(&self) -> bool {
        self.is_old
    }

    pub(super) fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }
}

/// The content of a tail file.
struct Content {
    base: u64,
    entries: Vec<Vec<u8>>,
    /// The last checkpoint.
    note: Option<Note>,
    /// Bytes up to the end of the last whole record.
    length: u64,
    /// Whether an incomplete record follows.
    torn: bool,
    /// Whether it is of version 1.
    is_old: bool,
}

impl Content {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let is_old = bytes.starts_with(MAGIC_1);
        let magic = if is_old { MAGIC_1 } else { MAGIC };
        let base = bytes.strip_prefix(magic).and_then(|rest| rest.first_chunk::<8>());
        let base =
            base.map(|base| u64::from_be_bytes(*base)).ok_or_else(|| Error::damaged(path, "no header"))?;
        if base % crate::tile::WIDTH != 0 {
            return Err(Error::damaged(path, "it does not begin after a full bundle"));
        }
        let mut content =
            Self { base, entries: Vec::new(), note: None, length: HEADER as u64, torn: false, is_old };
        let mut rest = &bytes[HEADER..];
        while let Some((kind, record, after)) = next(rest, is_old) {
            match kind {
                ENTRY => content.entries.push(record.to_vec()),
                CHECKPOINT => content.note = Some(Note::parse(record)?),
                _ => return Err(Error::damaged(path, "a record is of an unknown kind")),
            }
            rest = after;
        }
        content.length = (bytes.len() - rest.len()) as u64;
        content.torn = !rest.is_empty();
        Ok(content)
    }
}

/// The newest entries, which the writer of a log keeps beside the tree, with the index of the first. Only reads.
/// If writers may be active, call it within [`super::between_batches`].
///
/// # Errors
/// [`Error::Io`] or [`Error::Damaged`].
pub fn tail(log: &Path) -> Result<(u64, Vec<Vec<u8>>)> {
    Content::read(&log.join(NAME)).map(|content| (content.base, content.entries))
}

/// The last checkpoint in the tail, if there is a tail with one. It may not be durable.
pub(super) fn checkpoint(log: &Path) -> Option<Note> {
    Content::read(&log.join(NAME)).ok()?.note
}

/// Makes what the tail holds durable. On a read-only file system, it is.
pub(super) fn flush(log: &Path) -> Result<()> {
    use io::ErrorKind::{InvalidInput, ReadOnlyFilesystem, Unsupported};
    let path = log.join(NAME);
    match File::open(&path).and_then(|tail| tail.sync_data()) {
        Err(error) if matches!(error.kind(), InvalidInput | ReadOnlyFilesystem | Unsupported) => Ok(()),
        flushed => flushed.map_err(Error::io("flush", &path)),
    }
}

/// The records of entries and the checkpoint over them.
fn records<'a>(entries: impl Iterator<Item = &'a [u8]>, note: Option<&Note>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        record(ENTRY, entry, &mut bytes)?;
    }
    if let Some(note) = note {
        record(CHECKPOINT, note.to_string().as_bytes(), &mut bytes)?;
    }
    Ok(bytes)
}

fn record(kind: u8, content: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
    bytes.push(kind);
    crate::tile::encode_entry(content, bytes)?;
    bytes.extend(&Hash::leaf(content).as_bytes()[..4]);
    Ok(())
}

/// The kind and content of the first whole record, and what follows it.
fn next(bytes: &[u8], is_old: bool) -> Option<(u8, &[u8], &[u8])> {
    let (kind, bytes) =
        if is_old { (ENTRY, bytes) } else { bytes.split_first().map(|(kind, rest)| (*kind, rest))? };
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (content, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    (Hash::leaf(content).as_bytes()[..4] == *check).then_some((kind, content, rest))
}
