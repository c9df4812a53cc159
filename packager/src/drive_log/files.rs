//! Small files, written so that they are there whole or not at all: on media that nobody vouches for, and on this machine,
//! where they are for their owner alone.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Refusal;
use crate::bundle::Error;
use crate::media::Beneath;

/// Reads a regular file of at most `limit` bytes; none where there is no file. A link is not followed, and a pipe not
/// waited for: both count as no file.
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
        let defect = "it is longer than it can be";
        return Err(Refusal::Log(tlog::Error::Damaged { path: path.to_owned(), defect }).into());
    }
    Ok(Some(bytes))
}

fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Several files on a medium that become durable together; the last one is the commit point.
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

    /// Makes all files so far durable, with their names and the folders that hold them.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let mut folders = BTreeSet::from([PathBuf::new()]);
        for below in self.written.drain(..) {
            self.medium.flush_file(&below)?;
            folders.extend(below.ancestors().skip(1).map(Path::to_owned));
        }
        folders.iter().rev().try_for_each(|folder| self.medium.flush(folder))
    }
}

/// Writes one file of this machine, for its owner alone: whole and durable, or not at all.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (temporary, mut file) = create(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::io("rename", &temporary))?;
    path.ancestors().skip(1).take(2).try_for_each(sync_folder)
}

/// A new file beside the one that it is to replace, in a folder that is there then.
fn create(path: &Path) -> Result<(PathBuf, File), Error> {
    let folder = path.parent().unwrap_or(path);
    create_folder(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let file = private::create(&temporary).map_err(Error::io("create", &temporary))?;
    Ok((temporary, file))
}

/// Makes a folder and those above it, durably. Also flushes those that were there before: an earlier run may have been
/// ended before it did.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    private::create_folders(path).map_err(Error::io("create", path))?;
    let whole = fs::canonicalize(path).map_err(Error::io("read", path))?;
    for folder in whole.ancestors().skip(1) {
        // A folder that this user cannot open was there before.
        if sync_folder(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// Flushes a folder; file systems that cannot are the only ones excused.
fn sync_folder(path: &Path) -> Result<(), Error> {
    use ErrorKind::{InvalidInput, Unsupported};
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), Unsupported | InvalidInput) => {
            Err(Error::io("flush", path)(error))
        }
        _ => Ok(()),
    }
}
