//! The signature of the log's own key on the index, so that an edited index is not used.
//!
//! `index.seal` is a signed note (C2SP signed-note) over the log size and root of the index and over the file's inode,
//! length and time of change, which no program can set. Its first line is not the name of a log, so it cannot be mistaken
//! for a checkpoint.
//!
//! Write order: `index.update`, flushed; the index; the seal, flushed; then `index.update` is removed. If that file exists,
//! an update was interrupted, and the index is rebuilt. Without it, a seal that does not match means that another program
//! wrote to the index.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use private::{Existing, Hold, PATIENCE, Readers};
use tlog::{Hash, Note};

use crate::{Error, Reader, Result, key};

const NAME: &str = "index.seal";
const LOCK: &str = "index.lock";
const UPDATE: &str = "index.update";
const TITLE: &str = "airlock audit index";
/// The maximum size of a seal.
const MAX_SIZE: u64 = 4096;

/// Locks the index and its seal; `None` if nothing can be written.
pub(super) fn lock(log: &Path) -> Result<Option<File>> {
    let path = log.join(LOCK);
    let opened = private::open(OpenOptions::new().write(true).create(true).truncate(false), &path);
    let Ok(file) = opened else { return Ok(None) };
    match private::hold(file, &path, Hold::Alone, PATIENCE) {
        Ok(lock) => Ok(Some(lock)),
        Err(private::Error::Locked(locked)) => Err(Error::Locked(locked)),
        Err(private::Error::Io { .. }) => Ok(None),
    }
}

/// Whether the index is unchanged since it was sealed.
pub(super) fn matches(reader: &Reader, index: &Path) -> bool {
    let read = || {
        let metadata = fs::metadata(index).ok()?;
        let path = reader.path().join(NAME);
        let small = fs::metadata(&path).ok()?.len() <= MAX_SIZE;
        let note = Note::parse(&fs::read(path).ok().filter(|_| small)?).ok()?;
        let mut lines = note.text().lines();
        let (title, origin) = (lines.next()?, lines.next()?);
        let (_, file) = (lines.next()?, lines.next()?);
        let same = title == TITLE
            && origin == reader.checkpoint().origin
            && file == file_identity(&metadata)
            && lines.next().is_none();
        let mut keys = reader.trust().policy().logs().iter();
        let signed = keys.any(|key| key.name() == origin && note.verify(key).is_ok());
        Some(same && signed)
    };
    read().unwrap_or(false)
}

/// Seals the index. Without the log's private key, no seal is written, and the next search builds another index.
pub(super) fn write(reader: &Reader, index: &Path, (size, root): (u64, Hash)) {
    let path = reader.path().join(NAME);
    let write = || {
        // The time of change must survive a power cut, too.
        let file = File::open(index).ok().filter(|file| file.sync_all().is_ok())?;
        let metadata = file.metadata().ok()?;
        let key = key::load(reader.path()).ok()?;
        let origin = &reader.checkpoint().origin;
        let text = format!("{TITLE}\n{origin}\n{size} {root}\n{}\n", file_identity(&metadata));
        let mut note = Note::new(text).ok()?;
        note.sign(&key);
        private::publish(&path, note.to_string().as_bytes(), Existing::Replace, Readers::Owner).ok()
    };
    match write() {
        Some(()) => end(reader.path()),
        None => remove(reader.path()),
    }
}

/// Marks the start of an update durably.
pub(super) fn begin(log: &Path) -> io::Result<()> {
    private::create(&log.join(UPDATE)).and_then(|_| private::sync_folder(log))
}

/// Removes the mark when the index is written and sealed. If it reappears after a power cut, the index is only rebuilt once
/// more.
fn end(log: &Path) {
    let _ = fs::remove_file(log.join(UPDATE));
}

/// Whether an update of the index was interrupted.
pub(super) fn is_interrupted(log: &Path) -> bool {
    log.join(UPDATE).exists()
}

pub(super) fn remove(log: &Path) {
    // A seal that cannot be removed does not match the file, and is rejected.
    let _ = fs::remove_file(log.join(NAME));
}

/// Whether the index can be sealed.
pub(super) fn can_write(reader: &Reader) -> bool {
    key::load(reader.path()).is_ok_and(|key| key.verifier().name() == reader.checkpoint().origin)
}

/// The inode, length and time of change of a file.
fn file_identity(file: &Metadata) -> String {
    format!("{} {} {}.{}", file.ino(), file.len(), file.ctime(), file.ctime_nsec())
}
