//! `names.log`: what blobs do not contain. One line, with a checksum, for each committed transaction that changed a
//! name, appended inside the write transaction, before its commit. A long line is also flushed; a short one is kept in the
//! database until it is (`unflushed`).
//!
//! The database records the committed length of the journal; anything beyond it is truncated before the next
//! append. A reader without the database accepts every line with a valid checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use oci::{Digest, MediaType, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

use crate::durable::{Disk, Step};
use crate::{Error, Result};

/// One change of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Record {
    /// A manifest was added to a repository.
    Manifest { repository: RepositoryName, digest: Digest, media_type: MediaType },
    /// A manifest was removed from a repository, with the tags on it.
    ManifestGone { repository: RepositoryName, digest: Digest },
    /// A tag was set.
    Tag { repository: RepositoryName, tag: Tag, digest: Digest },
    /// A tag was removed.
    TagGone { repository: RepositoryName, tag: Tag },
    /// A note was stored.
    Note { name: String, value: u64 },
    /// A note was deleted.
    NoteGone { name: String },
}

#[derive(Serialize, Deserialize)]
struct Line {
    sum: String,
    changes: Vec<Record>,
}

/// Appends one line at `committed`, flushes it if requested, and returns the new length.
pub(crate) fn append(disk: &Disk, path: &Path, committed: u64, line: &[u8], flush: bool) -> Result<u64> {
    let is_new = !path.exists();
    let mut file = private::open(OpenOptions::new().write(true).create(true).truncate(false), path)
        .map_err(Error::io("open", path))?;
    if is_new {
        // Its name must survive a power cut as its lines do.
        disk.sync_directory(private::folder_of(path))?;
    }
    let found = file.metadata().map_err(Error::io("read", path))?.len();
    if found < committed {
        return Err(Error::JournalShort { found, expected: committed });
    }
    file.set_len(committed).map_err(Error::io("truncate", path))?;
    file.seek(SeekFrom::End(0)).map_err(Error::io("write", path))?;
    file.write_all(line).map_err(Error::io("write", path))?;
    if flush {
        disk.step(Step::SyncJournal, path).map_err(Error::io("flush", path))?;
        file.sync_data().map_err(Error::io("flush", path))?;
    }
    Ok(committed + line.len() as u64)
}

/// The records of all lines with a valid checksum, and the number of other lines.
pub(crate) fn read(path: &Path) -> Result<(Vec<Record>, usize)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let mut records = Vec::new();
    let mut bad = 0;
    for line in BufReader::new(file).split(b'\n') {
        match decode(&line.map_err(Error::io("read", path))?) {
            Some(changes) => records.extend(changes),
            None => bad += 1,
        }
    }
    Ok((records, bad))
}

/// The bytes of one line.
pub(crate) fn encode(records: &[Record]) -> Result<Vec<u8>> {
    let json = |error| Error::Commit(std::sync::Arc::new(error) as _);
    let line = Line { sum: checksum(records).map_err(json)?, changes: records.to_vec() };
    let mut bytes = serde_json::to_vec(&line).map_err(json)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode(line: &[u8]) -> Option<Vec<Record>> {
    let line: Line = serde_json::from_slice(line).ok()?;
    (checksum(&line.changes).ok()? == line.sum).then_some(line.changes)
}

fn checksum(records: &[Record]) -> serde_json::Result<String> {
    Ok(Digest::sha256(&serde_json::to_vec(records)?).hex()[..16].to_owned())
}
