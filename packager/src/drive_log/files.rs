//! Small files, read from media that nobody vouches for, and written so that they are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Refusal;
use crate::bundle::Error;

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

/// Several files that become durable together; the last one is the commit point.
#[derive(Default)]
pub(crate) struct Publish {
    written: Vec<PathBuf>,
}

impl Publish {
    /// Writes a file under its name, without a flush.
    pub(crate) fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let (temporary, mut file) = create(path, 0o644)?;
        file.write_all(bytes).map_err(Error::io("write", &temporary))?;
        fs::rename(&temporary, path).map_err(Error::io("rename", &temporary))?;
        self.written.push(path.to_owned());
        Ok(())
    }

    /// Makes all files so far durable, with their names and the folders that hold them, up to `root`.
    pub(crate) fn flush(&mut self, root: &Path) -> Result<(), Error> {
        let mut folders = std::collections::BTreeSet::new();
        for path in self.written.drain(..) {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("flush", &path))?;
            folders.extend(
                path.ancestors().skip(1).take_while(|folder| folder.starts_with(root)).map(Path::to_owned),
            );
        }
        folders.insert(root.to_owned());
        folders.iter().rev().try_for_each(|folder| sync_folder(folder))
    }

    /// Writes one file: whole and durable, or not at all.
    pub(crate) fn one(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
        let (temporary, mut file) = create(path, mode)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", &temporary))?;
        fs::rename(&temporary, path).map_err(Error::io("rename", &temporary))?;
        path.ancestors().skip(1).take(2).try_for_each(sync_folder)
    }
}

/// A new file beside the one that it is to replace, in a folder that is there then.
fn create(path: &Path, mode: u32) -> Result<(PathBuf, File), Error> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let file = options.open(&temporary).map_err(Error::io("create", &temporary))?;
    Ok((temporary, file))
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
