//! What the log's own key says of the index's file, so that an index that somebody edited is not asked.
//!
//! `index.seal` is a signed note (C2SP signed-note) over how far the index is and over the file's inode, length and time
//! of change, which no program sets. Its first line is no log's name, so that it cannot pass for a checkpoint. It is
//! written after each change of the index; a crash in between leaves one that does not fit, and the index is made anew.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tlog::{Hash, Note};

use crate::{Reader, key};

const NAME: &str = "index.seal";
const LOCK: &str = "index.lock";
const TITLE: &str = "airlock audit index";
/// A longer one is none of ours.
const MOST: u64 = 4096;

/// Keeps other processes from changing index and seal; none where nothing can be written.
pub(super) fn lock(log: &Path) -> Option<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(log.join(LOCK)).ok()?;
    file.lock().ok()?;
    Some(file)
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
        let metadata = fs::metadata(index).ok()?;
        let key = key::load(reader.path()).ok()?;
        let origin = &reader.checkpoint().origin;
        let text = format!("{TITLE}\n{origin}\n{size} {root}\n{}\n", of_file(&metadata));
        let mut note = Note::new(text).ok()?;
        note.sign(&key);
        let temporary = path.with_extension("seal.new");
        fs::write(&temporary, note.to_string()).ok()?;
        fs::rename(&temporary, &path).ok()
    };
    if sealed().is_none() {
        remove(reader.path());
    }
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
