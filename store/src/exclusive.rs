//! Files with an exclusive lock for the process that works with them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use private::{Hold, try_hold};

use crate::durable::{Disk, Step};
use crate::{Error, Result};

/// Opens a file and takes its exclusive lock, such that the name still leads to the locked file: a file that another
/// holder published or removed after it was opened is not touched. `None` if the file does not exist.
///
/// # Errors
/// The error from `busy` if another holder has the lock.
pub(crate) fn open_alone(
    disk: &Disk,
    path: &Path,
    options: &mut OpenOptions,
    busy: impl Fn() -> Error,
) -> Result<Option<File>> {
    loop {
        disk.step(Step::Open, path).map_err(Error::io("open", path))?;
        let file = match private::open(options, path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        disk.step(Step::Lock, path).map_err(Error::io("lock", path))?;
        if !try_hold(&file, path, Hold::Alone)? {
            return Err(busy());
        }
        disk.step(Step::Verify, path).map_err(Error::io("read", path))?;
        // Only the holder of the lock removes or renames the file, so this stays true.
        if leads_to(path, &file)? {
            return Ok(Some(file));
        }
    }
}

/// Whether a path still leads to the open file.
pub(crate) fn leads_to(path: &Path, file: &File) -> Result<bool> {
    let open = file.metadata().map_err(Error::io("read", path))?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
