//! Opens a medium's files beneath its folder and never through a link: anyone who had the medium may have put links there,
//! to redirect writes to it and reads from it.
//!
//! The kernel enforces this (`openat2`). On kernels that cannot, each folder of the path is opened separately.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::bundle::Error;
use crate::drive_log::{DriveLogError, create_folder};

/// A folder that the user named. All paths are below it.
pub(crate) struct Beneath {
    path: PathBuf,
    folder: File,
}

impl Beneath {
    /// Opens the folder. Its own path may contain links, because the user named it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let folder = File::open(path).map_err(Error::io("open", path))?;
        Ok(Self { path: path.to_owned(), folder })
    }

    /// Opens the folder; creates it durably if it does not exist.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        create_folder(path)?;
        Self::open(path)
    }

    /// The open folder, for a lock.
    pub(crate) fn folder(&self) -> &File {
        &self.folder
    }

    /// The full path of a file, for messages and for opening it by name.
    pub(crate) fn path(&self, below: &Path) -> PathBuf {
        self.path.join(below)
    }

    fn failed(&self, action: &'static str, below: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = self.path(below);
        move |source| Error::Io { action, path, source }
    }

    /// Opens a regular file for reading. Pipes do not block.
    pub(crate) fn file(&self, below: &Path) -> io::Result<File> {
        let file = self.at(below, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::LOOP.into()) }
    }

    /// Reads a regular file of at most `limit` bytes; `None` if it does not exist. Links and pipes count as missing.
    pub(crate) fn read(&self, below: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let file = match self.file(below) {
            Err(error) if is_absent(&error) => return Ok(None),
            file => file.map_err(self.failed("open", below))?,
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(self.failed("read", below))?;
        if bytes.len() as u64 > limit {
            let defect = "it exceeds the maximum length";
            return Err(DriveLogError::Log(tlog::Error::Damaged { path: self.path(below), defect }).into());
        }
        Ok(Some(bytes))
    }

    /// Creates a file, and replaces any existing file of this name.
    pub(crate) fn new_file(&self, below: &Path, mode: u32) -> Result<File, Error> {
        self.remove(below)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        self.at(below, flags, Mode::from_raw_mode(mode)).map_err(self.failed("create", below))
    }

    /// Writes a file to a temporary name next to its target, and renames it.
    pub(crate) fn write(&self, below: &Path, bytes: &[u8], flush: bool) -> Result<(), Error> {
        let mut name = below.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = below.with_file_name(name);
        self.make_folders(below.parent().unwrap_or(Path::new("")))?;
        let mut file = self.new_file(&temporary, 0o644)?;
        let written = file.write_all(bytes).and_then(|()| if flush { file.sync_all() } else { Ok(()) });
        let named =
            written.map_err(self.failed("write", &temporary)).and_then(|()| self.rename(&temporary, below));
        if named.is_err() {
            let _ = self.remove(&temporary);
        }
        named
    }

    /// Renames a file within its folder.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let renamed = || {
            let (folder, from) = self.parent(from)?;
            rustix::fs::renameat(&folder, from, &folder, name_of(to)?).map_err(io::Error::from)
        };
        renamed().map_err(self.failed("rename", from))
    }

    /// Removes a file, or a link itself, if it exists.
    pub(crate) fn remove(&self, below: &Path) -> Result<(), Error> {
        let removed = || {
            let (folder, name) = self.parent(below)?;
            rustix::fs::unlinkat(&folder, name, AtFlags::empty()).map_err(io::Error::from)
        };
        match removed() {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed("remove", below)(error)),
            _ => Ok(()),
        }
    }

    /// Creates folders, none of which may be a link.
    fn make_folders(&self, below: &Path) -> Result<(), Error> {
        let mut made = PathBuf::new();
        for component in below.components() {
            made.push(component);
            let make = || {
                let (folder, name) = self.parent(&made)?;
                match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => self.at(&made, FOLDER, Mode::empty()).map(drop),
                    Err(error) => Err(error.into()),
                }
            };
            make().map_err(self.failed("create", &made))?;
        }
        Ok(())
    }

    /// Makes a file's content durable.
    pub(crate) fn flush_file(&self, below: &Path) -> Result<(), Error> {
        self.file(below).and_then(|file| file.sync_all()).map_err(self.failed("flush", below))
    }

    /// Makes the names in a folder durable. Only file systems that do not support this are exempt.
    pub(crate) fn flush(&self, below: &Path) -> Result<(), Error> {
        let folder = self.at(below, FOLDER, Mode::empty());
        folder.and_then(|folder| private::sync_open_folder(&folder)).map_err(self.failed("flush", below))
    }

    /// Whether this is a folder, and not a link to one.
    pub(crate) fn is_folder(&self, below: &Path) -> bool {
        self.at(below, FOLDER, Mode::empty()).is_ok()
    }

    /// The names in a folder, sorted; empty if the folder does not exist.
    pub(crate) fn names(&self, below: &Path) -> Result<Vec<OsString>, Error> {
        let folder = match self.at(below, FOLDER, Mode::empty()) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            folder => folder.map_err(self.failed("read", below))?,
        };
        let listed = || {
            let mut names = Vec::new();
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(OsStr::from_bytes(name).to_owned());
                }
            }
            Ok::<_, io::Error>(names)
        };
        let mut names = listed().map_err(self.failed("read", below))?;
        names.sort();
        Ok(names)
    }

    /// The folder of a file, and the file's name in it.
    fn parent<'a>(&self, below: &'a Path) -> io::Result<(File, &'a OsStr)> {
        let folder = self.at(below.parent().unwrap_or(Path::new("")), FOLDER, Mode::empty())?;
        Ok((folder, name_of(below)?))
    }

    /// Opens any path below the folder, but no link, and nothing through a link.
    fn at(&self, below: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let path = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.folder, path, flags, mode, within) {
            Ok(file) => Ok(file.into()),
            // Older kernels do not have `openat2`, and sandboxes deny it.
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => self.walk(path, flags, mode),
            Err(error) => Err(error.into()),
        }
    }

    /// Like [`Self::at`], but opens one folder after the other.
    fn walk(&self, below: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let mut folder = self.folder.try_clone()?;
        let mut components =
            below.components().filter(|component| *component != Component::CurDir).peekable();
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else { return Err(Errno::XDEV.into()) };
            let is_last = components.peek().is_none();
            let (flags, mode) = if is_last {
                (flags, mode)
            } else {
                (FOLDER | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
            };
            folder = rustix::fs::openat(&folder, name, flags, mode)?.into();
        }
        Ok(folder)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

fn name_of(below: &Path) -> io::Result<&OsStr> {
    below.file_name().ok_or_else(|| Errno::INVAL.into())
}

/// Whether an error means that the file does not exist; also for a link, or a file in place of a folder.
fn is_absent(error: &io::Error) -> bool {
    let links = [Errno::LOOP, Errno::XDEV].map(|errno| Some(errno.raw_os_error()));
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || links.contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Links in all positions: as a file, as a folder, as a parent folder; absolute, upwards and within the medium.
    #[test]
    fn a18_no_link_is_followed_in_any_position() {
        let folder = tempfile::tempdir().unwrap();
        let (medium, outside) = (folder.path().join("medium"), folder.path().join("outside"));
        fs::create_dir_all(medium.join("real")).unwrap();
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(outside.join("deep/secret"), "secret").unwrap();
        for (link, to) in [("up", "../outside"), ("whole", outside.to_str().unwrap()), ("within", "real")] {
            symlink(to, medium.join(link)).unwrap();
        }
        symlink("../../outside/secret", medium.join("real/file")).unwrap();
        symlink("../../outside", medium.join("real/folder")).unwrap();
        let opened = Beneath::open(&medium).unwrap();
        for below in [
            "up/secret",
            "whole/secret",
            "up/deep/secret",
            "real/file",
            "real/folder/secret",
            "../outside/secret",
        ] {
            let path = Path::new(below);
            assert!(
                opened.file(path).is_err()
                    && opened.walk(path, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).is_err(),
                "{below}"
            );
            assert_eq!(opened.read(path, 100).unwrap(), None, "{below}");
            assert!(below == "real/file" || opened.write(path, b"evil", true).is_err(), "{below}");
        }
        for below in ["up/new", "whole/new", "within/new", "real/folder/new", "real/folder/deep/new"] {
            assert!(opened.write(Path::new(below), b"evil", false).is_err(), "{below}");
            assert!(opened.names(Path::new(below).parent().unwrap()).unwrap().is_empty(), "{below}");
        }
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
        // A link in place of the file itself, or of its temporary file, is replaced.
        symlink("../../outside/secret", medium.join("real/own.new")).unwrap();
        for name in ["real/file", "real/own", "real/deep/er"] {
            opened.write(Path::new(name), b"own", true).unwrap();
            assert_eq!(opened.read(Path::new(name), 3).unwrap().unwrap(), b"own");
        }
        assert!(fs::symlink_metadata(medium.join("real/file")).unwrap().is_file());
        assert_eq!(fs::read(outside.join("secret")).unwrap(), b"secret");
        assert_eq!(opened.names(Path::new("real")).unwrap(), ["deep", "file", "folder", "own"]);
        // The folder that the user names may be a link.
        symlink(&medium, folder.path().join("link")).unwrap();
        assert!(Beneath::open(&folder.path().join("link")).unwrap().file(Path::new("real/own")).is_ok());
    }
}
