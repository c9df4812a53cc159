//! Copies files: as a reflink if the file system can, and otherwise byte by byte. Never as a hard link: both names would lead
//! to the same bytes, so that a write to one of them, or its damage, would be damage of the other.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;

use oci::{Digest, Hasher};
use private::{Existing, Readers, Temporary};
use rustix::fs::ioctl_ficlone;

use crate::blob::BUFFER;
use crate::reading::{is_of_the_file, open_blob};
use crate::{Error, Result};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// It has its name, and this size.
    Whole(u64),
    /// The source does not exist.
    Absent,
    /// The source does not hash to the digest, or cannot be read.
    Damaged,
}

/// Copies a blob and hashes the copy. It is not flushed.
pub(super) fn copy_blob(from: &Path, to: &Path, digest: &Digest) -> Result<Copied> {
    let source = match open_blob(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Copied::Absent),
        Err(error) if is_of_the_file(&error) => return Ok(Copied::Damaged),
        opened => opened.map_err(Error::io("open", from))?,
    };
    if !source.metadata().map_err(Error::io("read", from))?.is_file() {
        return Ok(Copied::Damaged);
    }
    let new = Temporary::beside(to, Existing::Replace, Readers::Owner).map_err(Error::io("create", to))?;
    let cloned = ioctl_ficlone(new.file(), &source).is_ok();
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    loop {
        let count = match (&source).read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_of_the_file(&error) => return Ok(Copied::Damaged),
            Err(error) => return Err(Error::io("read", from)(error)),
        };
        hasher.update(&buffer[..count]);
        if !cloned {
            new.file().write_all(&buffer[..count]).map_err(Error::io("write", to))?;
        }
        size += count as u64;
    }
    if hasher.finish() != *digest {
        return Ok(Copied::Damaged);
    }
    new.rename().map_err(Error::io("rename", to))?;
    Ok(Copied::Whole(size))
}

/// Copies the first bytes of a file.
pub(super) fn copy_start(from: &Path, to: &Path, length: u64) -> Result<()> {
    let file = match File::open(from) {
        Err(error) if error.kind() == ErrorKind::NotFound && length == 0 => return super::write_new(to, b""),
        opened => opened.map_err(Error::io("open", from))?,
    };
    let mut new = private::create(to).map_err(Error::io("create", to))?;
    let found = io::copy(&mut file.take(length), &mut new).map_err(Error::io("copy", from))?;
    if found < length { Err(Error::JournalShort { found, expected: length }) } else { Ok(()) }
}

/// Copies a folder with all regular files in it, except those in it that `is_left_out` names. A file that `is_final`, which
/// never changes once it has its name, is not copied again. A folder that does not exist is no error.
///
/// # Errors
/// When a file cannot be read, or the disk is full or fails.
pub fn copy_folder(
    from: &Path,
    to: &Path,
    is_left_out: &dyn Fn(&Path) -> bool,
    is_final: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("read", from))?,
    };
    private::create_folders(to).map_err(Error::io("create", to))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", from))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        let Ok(found) = path.symlink_metadata() else { continue };
        if is_left_out(&path) || (is_final(&path) && target.exists()) {
            continue;
        }
        if found.is_dir() {
            copy_folder(&path, &target, is_left_out, is_final)?;
        } else if found.is_file() {
            copy_file(&path, &target)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let mut source = match File::open(from) {
        // A writer replaced it meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(Error::io("open", from))?,
    };
    let mut new = private::create(to).map_err(Error::io("create", to))?;
    if ioctl_ficlone(&new, &source).is_err() {
        io::copy(&mut source, &mut new).map_err(Error::io("copy", from))?;
    }
    Ok(())
}
