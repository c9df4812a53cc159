//! The one way for a file to get its name: whole, or not at all.
//!
//! Write order: the bytes in a new file beside the target, fsync of it, rename, fsync of the folder. The rename is the
//! commit point. A crash before it leaves at most `.NAME.airlock-new`, which the next writer of that name removes.
//!
//! A link is never followed: neither one in the target's place, which is refused, nor one in the new file's, which is
//! removed. Of several writers at once each is whole, and the last one stays.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use error_class::{Class, Message};
use rustix::fs::{Access, CWD, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::files::{self, folder_of, give_to_owner};
use crate::locks::{Hold, PATIENCE, hold};

const SUFFIX: &str = ".airlock-new";

/// How long a name may be, on every file system that matters.
const MOST: usize = 255;

/// Who may read what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone.
    Owner,
    /// Whoever could read the file that it replaces; where there is none, whom the process's umask lets.
    All,
}

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and publishing fails with [`ErrorKind::AlreadyExists`].
    Keep,
    /// The new file takes its place.
    Replace,
}

/// Publishes whole bytes, durably.
///
/// # Errors
/// What the system says, or that what has the name is no regular file. Then nothing is left of the new file.
pub fn publish(path: &Path, bytes: &[u8], existing: Existing, readers: Readers) -> io::Result<()> {
    let new = Temporary::beside(path, existing, readers)?;
    new.file().write_all(bytes)?;
    new.publish()
}

/// Whether a file could be published under a name, as far as can be said before: what has the name is a regular file or
/// nothing, and files can be made beside it.
///
/// # Errors
/// What the system says, or that what has the name is no regular file.
pub fn check(path: &Path) -> io::Result<()> {
    regular(path)?;
    Ok(rustix::fs::access(folder_of(path), Access::WRITE_OK | Access::EXEC_OK)?)
}

/// A file that is written beside the name that it is to get. It is removed if it does not get it.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    target: PathBuf,
    existing: Existing,
    /// Locked, which tells others that its writer lives.
    file: File,
    is_renamed: bool,
}

impl Temporary {
    /// A new, empty file.
    ///
    /// # Errors
    /// What the system says, or that what has the target's name is no regular file.
    pub fn beside(target: &Path, existing: Existing, readers: Readers) -> io::Result<Self> {
        let old = match existing {
            Existing::Replace => regular(target)?,
            // Told before anything is written; the renaming decides.
            Existing::Keep if fs::symlink_metadata(target).is_ok() => {
                return Err(ErrorKind::AlreadyExists.into());
            }
            Existing::Keep => None,
        };
        let path = temporary_path(target)?;
        let file = alone(&path, readers)?;
        let new = Self { path, target: target.to_owned(), existing, file, is_renamed: false };
        if let (Some(old), Readers::All) = (old, readers) {
            new.resemble(&old)?;
        }
        Ok(new)
    }

    /// What to write to.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes what was written durable, without a name.
    ///
    /// # Errors
    /// What the system says.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its name. Without [`Temporary::flush`] before and [`sync_folder`] after it, a power cut may leave an
    /// empty file: for what can be made again from others.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename(mut self) -> io::Result<()> {
        match self.existing {
            Existing::Replace => rename(&self.path, &self.target)?,
            Existing::Keep => rename_new(&self.path, &self.target)?,
        }
        self.is_renamed = true;
        Ok(())
    }

    /// Makes the file durable under its name.
    ///
    /// # Errors
    /// What the system says.
    pub fn publish(self) -> io::Result<()> {
        self.flush()?;
        let folder = folder_of(&self.target).to_owned();
        self.rename()?;
        sync_folder(&folder)
    }

    /// Takes over who may use the file that is replaced.
    fn resemble(&self, old: &Metadata) -> io::Result<()> {
        let new = self.file.metadata()?;
        if new.uid() == 0 && old.uid() != 0 {
            fchown(&self.file, Some(old.uid()), Some(old.gid()))?;
        }
        let mode = old.mode() & 0o777;
        // A file system without modes refuses to set one.
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

/// Gives a file or folder another name, at once; replaces a file.
///
/// # Errors
/// What the system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| sync_open_folder(&folder))
}

/// Makes the names in an open folder durable; file systems that cannot are the only ones excused.
///
/// # Errors
/// What the system says.
pub fn sync_open_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}

/// The regular file that has a name, if something has it.
fn regular(path: &Path) -> io::Result<Option<Metadata>> {
    let refused =
        |what: String| Err(io::Error::new(ErrorKind::InvalidInput, Message::new(Class::Usage, what)));
    match fs::symlink_metadata(path) {
        _ if path == Path::new("-") => refused(
            "`-` is not written to as standard output; for a file of that name, write `./-`".to_owned(),
        ),
        Ok(found) if found.is_file() => Ok(Some(found)),
        Ok(found) if found.is_symlink() => {
            let target = fs::canonicalize(path).ok().filter(|target| target.is_file());
            refused(match target {
                Some(target) => {
                    format!("it is a link; name the file that it leads to, `{}`", target.display())
                }
                None => "it is a link, and does not lead to a regular file; name a file".to_owned(),
            })
        }
        Ok(_) => refused("it is not a regular file; name a file".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn temporary_path(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(ErrorKind::InvalidInput)?.as_bytes();
    let mut hidden = b".".to_vec();
    // Names that are alike so far take turns.
    hidden.extend(&name[..name.len().min(MOST - 1 - SUFFIX.len())]);
    hidden.extend(SUFFIX.as_bytes());
    Ok(target.with_file_name(OsString::from_vec(hidden)))
}

/// A new file that nobody else writes.
fn alone(path: &Path, readers: Readers) -> io::Result<File> {
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

/// Removes what a writer left that was ended; waits for one that lives.
fn remove_left_over(path: &Path) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => locked(file, path)?.map_or(Ok(()), |_locked| fs::remove_file(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // No writer makes a link.
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Locks a file; none if it does not have the name any more: only who has the lock takes it away.
fn locked(file: File, path: &Path) -> io::Result<Option<File>> {
    let file = hold(file, path, Hold::Alone, PATIENCE).map_err(io::Error::other)?;
    let open = file.metadata()?;
    let is_named =
        fs::symlink_metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()));
    Ok(is_named.then_some(file))
}

/// Gives a file a name that nothing has, also where the file system cannot rename so.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests;
