//! The entries since the last full bundle, made durable before they are used anywhere else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::files::publish;
use crate::{Error, Hash, Result};

const NAME: &str = "tail";
const MAGIC: &[u8; 16] = b"airlock tail v1\n";
const HEADER: usize = MAGIC.len() + 8;

/// The open tail.
pub(super) struct Tail {
    path: PathBuf,
    file: File,
    inode: u64,
    length: u64,
    base: u64,
    entries: Vec<Vec<u8>>,
}

impl Tail {
    /// Replaces the tail with one that begins at entry `base` and holds `entries`.
    pub(super) fn create(log: &Path, base: u64, entries: &[Vec<u8>]) -> Result<Self> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(base.to_be_bytes());
        for entry in entries {
            record(entry, &mut bytes)?;
        }
        publish(&log.join(NAME), &bytes)?;
        Ok(Self::open(log)?.0)
    }

    /// Opens the tail and returns its entries. The remains of a torn write at its end are cut off: they were never
    /// acknowledged.
    pub(super) fn open(log: &Path) -> Result<(Self, Vec<Vec<u8>>)> {
        let path = log.join(NAME);
        let Records { base, entries, length, torn } = Records::read(&path)?;
        let options = &mut OpenOptions::new();
        let file = private::open(options.append(true), &path).map_err(Error::io("open", &path))?;
        if torn {
            file.set_len(length).and_then(|()| file.sync_data()).map_err(Error::io("truncate", &path))?;
        }
        let inode = file.metadata().map_err(Error::io("read", &path))?.ino();
        Ok((Self { path, file, inode, length, base, entries: entries.clone() }, entries))
    }

    /// Whether the file is unchanged since this process read or wrote it.
    pub(super) fn is_current(&self, log: &Path) -> Result<bool> {
        match fs::metadata(log.join(NAME)) {
            Ok(found) => Ok(found.ino() == self.inode && found.len() == self.length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", &self.path)(error)),
        }
    }

    /// Makes entries durable.
    pub(super) fn append(&mut self, entries: &[&[u8]]) -> Result<()> {
        let mut bytes = Vec::new();
        for entry in entries {
            record(entry, &mut bytes)?;
        }
        self.file.write_all(&bytes).map_err(Error::io("write", &self.path))?;
        self.file.sync_data().map_err(Error::io("flush", &self.path))?;
        self.length += bytes.len() as u64;
        self.entries.extend(entries.iter().map(|entry| entry.to_vec()));
        Ok(())
    }

    /// The index of its first entry.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }
}

/// The content of a tail file.
struct Records {
    base: u64,
    entries: Vec<Vec<u8>>,
    /// Bytes up to the end of the last whole record.
    length: u64,
    /// Whether an incomplete record follows.
    torn: bool,
}

impl Records {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let base = bytes.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<8>());
        let base =
            base.map(|base| u64::from_be_bytes(*base)).ok_or_else(|| Error::damaged(path, "no header"))?;
        if base % crate::tile::WIDTH != 0 {
            return Err(Error::damaged(path, "it does not begin after a full bundle"));
        }
        let mut entries = Vec::new();
        let mut rest = &bytes[HEADER..];
        while let Some((entry, after)) = next(rest) {
            entries.push(entry.to_vec());
            rest = after;
        }
        let length = (bytes.len() - rest.len()) as u64;
        Ok(Self { base, entries, length, torn: !rest.is_empty() })
    }
}

/// The newest entries, which the writer of a log keeps beside the tree, with the index of the first. Only reads.
/// If writers may be active, call it within [`super::between_batches`].
///
/// # Errors
/// [`Error::Io`] or [`Error::Damaged`].
pub fn tail(log: &Path) -> Result<(u64, Vec<Vec<u8>>)> {
    Records::read(&log.join(NAME)).map(|records| (records.base, records.entries))
}

fn record(entry: &[u8], bytes: &mut Vec<u8>) -> Result<()> {
    crate::tile::encode_entry(entry, bytes)?;
    bytes.extend(&Hash::leaf(entry).as_bytes()[..4]);
    Ok(())
}

/// The first whole record, and what follows it.
fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    (Hash::leaf(entry).as_bytes()[..4] == *check).then_some((entry, rest))
}
