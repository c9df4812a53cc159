//! The only way for a file to get its name: whole, or not at all.
//!
//! Write order: the bytes in a new file beside the target, fsync of that file, rename, fsync of the folder. The rename is
//! the commit point. A crash before it leaves at most `.NAME.airlock-new`, which the next writer of that name removes.
//!
//! Links are never followed: a link at the target is rejected, and a link at the temporary path is removed. Concurrent
//! writers each publish a whole file; the last one wins.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use error_class::{Class, Message};
use rustix::fs::{Access, AtFlags, CWD, OFlags, RenameFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::files::{self, folder_of, give_to_owner};
use crate::locks::{Hold, PATIENCE, hold};

const SUFFIX: &str = ".airlock-new";

/// The maximum length of a file name, on every relevant file system.
const MAX_NAME_LEN: usize = 255;

/// Who may read the published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Only its owner.
    Owner,
    /// The readers of the file that it replaces, or, for a new file, those that the process's umask allows.
    All,
}

/// What happens to a file that already exists at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and publishing fails with [`ErrorKind::AlreadyExists`].
    Keep,
    /// The new file takes its place.
    Replace,
}

/// Publishes a whole file durably.
///
/// # Errors
/// Any I/O error, or the path exists and is not a regular file. The new file is then removed.
pub fn publish(path: &Path, bytes: &[u8], existing: Existing, readers: Readers) -> io::Result<()> {
    let new = Temporary::beside(path, existing, readers)?;
    new.file().write_all(bytes)?;
    new.publish()
}

/// Checks whether a file could be published at a path, as far as this can be known in advance: the path is a regular file
/// or does not exist, and files can be created beside it.
///
/// # Errors
/// Any I/O error, or the path exists and is not a regular file.
pub fn check(path: &Path) -> io::Result<()> {
    regular(path)?;
    Ok(rustix::fs::access(folder_of(path), Access::WRITE_OK | Access::EXEC_OK)?)
}

/// A file that is written beside its target. It is removed unless it is renamed to the target.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    target: PathBuf,
    existing: Existing,
    /// Locked as long as its writer runs.
    file: File,
    is_renamed: bool,
}

impl Temporary {
    /// Creates a new, empty file beside the target.
    ///
    /// # Errors
    /// Any I/O error, or the target exists and is not a regular file.
    pub fn beside(target: &Path, existing: Existing, readers: Readers) -> io::Result<Self> {
        let old = match existing {
            Existing::Replace => regular(target)?,
            // An early check before anything is written; the rename decides.
            Existing::Keep if fs::symlink_metadata(target).is_ok() => return Err(exists()),
            Existing::Keep => None,
        };
        let path = temporary_path(target)?;
        let file = create_locked(&path, readers)?;
        let new = Self { path, target: target.to_owned(), existing, file, is_renamed: false };
        if let (Some(old), Readers::All) = (old, readers) {
            new.copy_permissions(&old)?;
        }
        Ok(new)
    }

    /// The file to write to.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes the written bytes durable, without the target's name.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Renames the file to the target. Without [`Temporary::flush`] before and [`sync_folder`] after it, a power cut may
    /// leave an empty file; use it so only for files that can be recreated from others.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn rename(mut self) -> io::Result<()> {
        match self.existing {
            Existing::Replace => rename(&self.path, &self.target)?,
            Existing::Keep => rename_new(&self.path, &self.target)?,
        }
        self.is_renamed = true;
        Ok(())
    }

    /// Makes the file durable under the target's name.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn publish(self) -> io::Result<()> {
        self.flush()?;
        let folder = folder_of(&self.target).to_owned();
        self.rename()?;
        sync_folder(&folder)
    }

    /// Copies owner and mode from the file that is replaced.
    fn copy_permissions(&self, old: &Metadata) -> io::Result<()> {
        let new = self.file.metadata()?;
        if new.uid() == 0 && old.uid() != 0 {
            fchown(&self.file, Some(old.uid()), Some(old.gid()))?;
        }
        let mode = old.mode() & 0o777;
        // A file system without modes rejects every change.
        if new.mode() & 0o777 == mode {
            return Ok(());
        }
        self.file.set_permissions(fs::Permissions::from_mode(mode))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Renames a file or folder atomically, and replaces an existing file.
///
/// # Errors
/// Any I/O error.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Any I/O error.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| sync_open_folder(&folder))
}

/// Makes the names in an open folder durable. Ignores the error only on file systems that do not support this.
///
/// # Errors
/// Any I/O error.
pub fn sync_open_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

fn exists() -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, Message::new(Class::Usage, "it already exists".to_owned()))
}

/// The metadata of the regular file at a path; none if the path does not exist.
fn regular(path: &Path) -> io::Result<Option<Metadata>> {
    let rejected =
        |text: String| Err(io::Error::new(ErrorKind::InvalidInput, Message::new(Class::Usage, text)));
    match fs::symlink_metadata(path) {
        _ if path == Path::new("-") => {
            rejected("`-` does not mean standard output here; for a file of that name, use `./-`".to_owned())
        }
        Ok(found) if found.is_file() && is_mount_point(path) => rejected(
            "it is a mount point, which cannot be replaced; mount a folder instead, and name a file in it"
                .to_owned(),
        ),
        Ok(found) if found.is_file() => Ok(Some(found)),
        Ok(found) if found.is_symlink() => {
            let target = fs::canonicalize(path).ok().filter(|target| target.is_file());
            rejected(match target {
                Some(target) => {
                    format!("it is a symbolic link; name its target instead: `{}`", target.display())
                }
                None => "it is a symbolic link that does not lead to a regular file; name a file".to_owned(),
            })
        }
        Ok(found) if found.is_dir() => rejected("it is a folder; name a file".to_owned()),
        Ok(_) => rejected("it is a device or a pipe; name a file".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether another file is mounted over the path, as containers mount single files. Older kernels do not report it.
fn is_mount_point(path: &Path) -> bool {
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn temporary_path(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(ErrorKind::InvalidInput)?.as_bytes();
    let mut hidden = b".".to_vec();
    // Long names with the same beginning share a temporary path, so their writers wait for each other.
    hidden.extend(&name[..name.len().min(MAX_NAME_LEN - 1 - SUFFIX.len())]);
    hidden.extend(SUFFIX.as_bytes());
    Ok(target.with_file_name(OsString::from_vec(hidden)))
}

/// Creates a new file and locks it, so that no other process writes it.
fn create_locked(path: &Path, readers: Readers) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let opened = match readers {
            Readers::Owner => files::open(&mut options, path),
            Readers::All => options.open(path).and_then(|file| {
                give_to_owner(&file, &file.metadata()?, path)?;
                Ok(file)
            }),
        };
        match opened {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_left_over(path)?,
            opened => {
                if let Some(file) = locked(opened?, path)? {
                    return Ok(file);
                }
            }
        }
    }
}

/// Removes the file of a writer that was killed; waits for a writer that still runs.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => locked(file, path)?.map_or(Ok(()), |_locked| fs::remove_file(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // No writer creates a link.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Locks a file; none if the path no longer names it. Only the holder of the lock renames or removes the file.
fn locked(file: File, path: &Path) -> io::Result<Option<File>> {
    let file = hold(file, path, Hold::Alone, PATIENCE).map_err(io::Error::other)?;
    let open = file.metadata()?;
    let is_named =
        fs::symlink_metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()));
    Ok(is_named.then_some(file))
}

/// Renames a file to a path that does not exist yet, also where the file system does not support such a rename.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`], or any I/O error.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Err(exists()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests;
