//! Small files that are written atomically: on untrusted media, and on this machine, readable by their owner only.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use private::{Existing, Readers, folder_of};
use rustix::fs::OFlags;

use super::DriveLogError;
use crate::bundle::Error;
use crate::media::Beneath;

/// Reads a regular file of at most `limit` bytes; `None` if it does not exist. Links are not followed and pipes do not
/// block: both count as missing.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    if !file.metadata().map_err(Error::io("read", path))?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        let defect = "it exceeds the maximum length";
        return Err(DriveLogError::Log(tlog::Error::Damaged { path: path.to_owned(), defect }).into());
    }
    Ok(Some(bytes))
}

fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Writes several files to a medium, which become durable together; the last one is the commit point.
pub(crate) struct Publish<'a> {
    medium: &'a Beneath,
    written: Vec<PathBuf>,
}

impl<'a> Publish<'a> {
    pub(crate) fn to(medium: &'a Beneath) -> Self {
        Self { medium, written: Vec::new() }
    }

    /// Writes a file under its name below the medium's folder, without a flush.
    pub(crate) fn put(&mut self, below: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.medium.write(below, bytes, false)?;
        self.written.push(below.to_owned());
        Ok(())
    }

    /// Makes all files so far durable, with their names and folders.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let mut folders = BTreeSet::from([PathBuf::new()]);
        for below in self.written.drain(..) {
            self.medium.flush_file(&below)?;
            folders.extend(below.ancestors().skip(1).map(Path::to_owned));
        }
        folders.iter().rev().try_for_each(|folder| self.medium.flush(folder))
    }
}

/// Writes a file on this machine atomically and durably, readable by its owner only.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    create_folder(folder_of(path))?;
    private::publish(path, bytes, Existing::Replace, Readers::Owner).map_err(Error::io("write", path))
}

/// Creates a folder and its parents, durably. Also flushes existing folders, because an earlier run may have ended before
/// it flushed them.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    private::create_folders(path).map_err(Error::io("create", path))?;
    let whole = fs::canonicalize(path).map_err(Error::io("read", path))?;
    for folder in whole.ancestors().skip(1) {
        // A folder that this user cannot open existed before.
        if private::sync_folder(folder).is_err() {
            break;
        }
    }
    Ok(())
}
