//! The newest checkpoint of a log: in its own file or, if a crash left an older or damaged file, in the tail.

use std::fs;
use std::io;
use std::path::Path;

use super::{between_batches, tail};
use crate::folder::CHECKPOINT;
use crate::{Checkpoint, Error, Note, Result};

/// The newest checkpoint, which is durable, not verified.
///
/// # Errors
/// [`Error::Absent`], [`Error::Note`], [`Error::Locked`] or an I/O error.
pub(crate) fn newest(log: &Path) -> Result<Note> {
    let (note, is_restored) = found(log)?;
    if !is_restored {
        return Ok(note);
    }
    // A writer may be between the tail and the file.
    between_batches(log, || {
        let (note, is_restored) = found(log)?;
        if is_restored {
            tail::flush(log)?;
        }
        Ok(note)
    })?
}

/// The newest checkpoint, and whether only the tail has it; it may then not be durable.
pub(super) fn found(log: &Path) -> Result<(Note, bool)> {
    // In this order: a writer writes the tail first.
    let tail = tail::checkpoint(log);
    let file = in_file(log);
    match (file, tail) {
        (Ok(file), Some(tail)) if is_newer(&tail, &file) => Ok((tail, true)),
        (Err(Error::Note(_)), Some(tail)) => Ok((tail, true)),
        (file, _) => Ok((file?, false)),
    }
}

/// The checkpoint in its own file.
fn in_file(log: &Path) -> Result<Note> {
    let path = log.join(CHECKPOINT);
    match fs::read(&path) {
        Ok(bytes) => Note::parse(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Absent(log.to_owned())),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

fn is_newer(tail: &Note, file: &Note) -> bool {
    let size = |note| Checkpoint::read(note).map(|checkpoint| checkpoint.size);
    match (size(tail), size(file)) {
        (Ok(tail), Ok(file)) => tail > file,
        (tail, _) => tail.is_ok(),
    }
}
