//! What the log's own key says of the index's file, so that an index that somebody edited is not asked.
//!
//! `index.seal` is a signed note (C2SP signed-note) over how far the index is and over the file's inode, length and time
//! of change, which no program sets. Its first line is no log's name, so that it cannot pass for a checkpoint.
//!
//! Write order: `index.update`, flushed; the index; the seal, flushed; then `index.update` goes. Who finds that file knows
//! that an update was interrupted and makes the index anew; without it, a seal that does not fit tells of somebody else.

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
/// A longer one is none of ours.
const MOST: u64 = 4096;

/// Keeps other processes from changing index and seal; none where nothing can be written.
pub(super) fn lock(log: &Path) -> Result<Option<File>> {
    let path = log.join(LOCK);
    let opened = private::open(OpenOptions::new().write(true).create(true).truncate(false), &path);
    let Ok(file) = opened else { return Ok(None) };
    match private::hold(file, &path, Hold::Alone, PATIENCE) {
        Ok(held) => Ok(Some(held)),
        Err(private::Error::Locked(locked)) => Err(Error::Locked(locked)),
        Err(private::Error::Io { .. }) => Ok(None),
    }
}

/// Whether the index's file is as the log's key last saw it.
pub(super) fn fits(reader: &Reader, index: &Path) -> bool {
    let read = || {
        let metadata = fs::metadata(index).ok()?;
        let path = reader.path().join(NAME);
        let small = fs::metadata(&path).ok()?.len() <= MOST;
        let note = Note::parse(&fs::read(path).ok().filter(|_| small)?).ok()?;
        let mut lines = note.text().lines();
        let (title, origin) = (lines.next()?, lines.next()?);
        let (_, file) = (lines.next()?, lines.next()?);
        let same = title == TITLE
            && origin == reader.checkpoint().origin
            && file == of_file(&metadata)
            && lines.next().is_none();
        let mut keys = reader.belief().policy().logs().iter();
        let signed = keys.any(|key| key.name() == origin && note.verify(key).is_ok());
        Some(same && signed)
    };
    read().unwrap_or(false)
}

/// Signs for the index's file. Without the log's private key there is no seal; then the next search makes another index.
pub(super) fn write(reader: &Reader, index: &Path, (size, root): (u64, Hash)) {
    let path = reader.path().join(NAME);
    let sealed = || {
        // Also the time of change must survive a power cut.
        let file = File::open(index).ok().filter(|file| file.sync_all().is_ok())?;
        let metadata = file.metadata().ok()?;
        let key = key::load(reader.path()).ok()?;
        let origin = &reader.checkpoint().origin;
        let text = format!("{TITLE}\n{origin}\n{size} {root}\n{}\n", of_file(&metadata));
        let mut note = Note::new(text).ok()?;
        note.sign(&key);
        private::publish(&path, note.to_string().as_bytes(), Existing::Replace, Readers::Owner).ok()
    };
    match sealed() {
        Some(()) => end(reader.path()),
        None => remove(reader.path()),
    }
}

/// Says that the index is about to be written, durably.
pub(super) fn begin(log: &Path) -> io::Result<()> {
    private::create(&log.join(UPDATE)).and_then(|_| private::sync_folder(log))
}

/// The index is written and sealed. A mark that comes back after a power cut only costs another index.
fn end(log: &Path) {
    let _ = fs::remove_file(log.join(UPDATE));
}

/// Whether the index was being written when whoever did so ended.
pub(super) fn is_interrupted(log: &Path) -> bool {
    log.join(UPDATE).exists()
}

pub(super) fn remove(log: &Path) {
    // One that stays does not fit the file, and is seen not to.
    let _ = fs::remove_file(log.join(NAME));
}

/// Whether a seal could be made.
pub(super) fn can_write(reader: &Reader) -> bool {
    key::load(reader.path()).is_ok_and(|key| key.verifier().name() == reader.checkpoint().origin)
}

fn of_file(file: &Metadata) -> String {
    format!("{} {} {}.{}", file.ino(), file.len(), file.ctime(), file.ctime_nsec())
}
