//! Folders and files that only their owner can use: mode 0700 and 0600, whatever the process's umask is.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::layout::Layout;
use crate::{Error, Result};

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// Makes a folder; one that is there already is left as it is.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(FOLDER).create(path) {
        // The umask may have taken the owner's own rights.
        Ok(()) => restrict(path, FOLDER).map_err(Error::io("protect", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", path)(error)),
    }
}

/// Makes a folder and those above it that are missing.
pub(crate) fn create_folders(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folders(parent)?;
    }
    create_folder(path)
}

/// Opens a file that may have to be made.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(FILE).open(path)?;
    if file.metadata()?.mode() & 0o777 != FILE {
        match file.set_permissions(Permissions::from_mode(FILE)) {
            // Only the owner can, and nobody else needs to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            changed => changed?,
        }
    }
    Ok(file)
}

fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Takes the rights of others away from a store that an older version made; says whether there were any.
pub(crate) fn tighten(layout: &Layout) -> Result<bool> {
    let root = layout.root();
    let is_open = [root, &layout.database(), &layout.lock(), &layout.uploads()]
        .into_iter()
        .any(|path| fs::symlink_metadata(path).is_ok_and(|found| found.mode() & OTHERS != 0));
    if !is_open {
        return Ok(false);
    }
    // The root first: it alone keeps everybody else out.
    match restrict(root, FOLDER) {
        Ok(()) => {}
        // Somebody else's store, which this user may nevertheless write to: its owner has to do it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(Error::io("protect", root)(error)),
    }
    tighten_below(root);
    Ok(true)
}

/// Best effort: what is gone meanwhile, or belongs to somebody else, is behind the root's own mode.
fn tighten_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                let _ = restrict(&path, FOLDER);
                tighten_below(&path);
            }
            Ok(kind) if kind.is_file() => {
                let _ = restrict(&path, FILE);
            }
            _ => {}
        }
    }
}
