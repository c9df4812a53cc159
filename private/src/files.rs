//! Making folders and files that only their owner can use: mode 0700 and 0600, whatever the process's umask is.
//!
//! What root makes in somebody's private folder belongs to that user: otherwise a command of root's, such as a check of a
//! store, would shut the owner out.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown,
};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;

/// Makes a folder; one that is there already is left as it is. Says whether it was made.
///
/// # Errors
/// What the system says.
pub fn create_folder(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(FOLDER).create(path) {
        // The umask may have taken the owner's own rights.
        Ok(()) => {
            restrict(path)?;
            if let Some((user, group)) = owner(path, fs::symlink_metadata(path)?.uid()) {
                chown(path, Some(user), Some(group))?;
            }
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a folder and those above it that are missing.
///
/// # Errors
/// What the system says.
pub fn create_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folders(parent)?;
    }
    create_folder(path).map(|_| ())
}

/// The folder that holds a name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file that may have to be made.
///
/// # Errors
/// What the system says.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(FILE).open(path)?;
    let found = file.metadata()?;
    give_to_owner(&file, &found, path)?;
    if found.is_file() && found.mode() & 0o777 != FILE {
        match file.set_permissions(Permissions::from_mode(FILE)) {
            // Only the owner can, and nobody else needs to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            changed => changed?,
        }
    }
    Ok(file)
}

/// What root made in another user's private folder is that user's.
pub(crate) fn give_to_owner(file: &File, found: &Metadata, path: &Path) -> io::Result<()> {
    match owner(path, found.uid()).filter(|_| found.is_file()) {
        Some((user, group)) => fchown(file, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// Whose folder holds a file of `user`'s, where that is root and the folder is another user's private one.
fn owner(path: &Path, user: u32) -> Option<(u32, u32)> {
    if user != 0 {
        return None;
    }
    let found = fs::metadata(folder_of(path)).ok()?;
    let is_others = found.uid() != 0 && found.mode() & OTHERS == 0;
    is_others.then(|| (found.uid(), found.gid()))
}

/// Makes a file, or empties the one that is there.
///
/// # Errors
/// What the system says.
pub fn create(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().write(true).create(true).truncate(true), path)
}

/// Leaves a folder or file to its owner.
///
/// # Errors
/// What the system says.
pub fn restrict(path: &Path) -> io::Result<()> {
    let mode = if fs::symlink_metadata(path)?.is_dir() { FOLDER } else { FILE };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Takes the rights of others away from a folder and all below it, where they have any in the folder itself or in what
/// stands directly in it. Says whether they had.
///
/// # Errors
/// What the system says of the folder. One that belongs to somebody else is left as it is.
pub fn tighten(root: &Path) -> io::Result<bool> {
    let is_open = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|found| !found.is_symlink() && found.mode() & OTHERS != 0)
    };
    let below = || fs::read_dir(root).into_iter().flatten().flatten();
    if !is_open(root) && !below().any(|entry| is_open(&entry.path())) {
        return Ok(false);
    }
    // The root first: it alone keeps everybody else out.
    match restrict(root) {
        Ok(()) => {}
        // Another user's, who has to do it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    }
    tighten_below(root);
    Ok(true)
}

/// Best effort: what is gone meanwhile, or belongs to somebody else, is behind the root's own mode.
fn tighten_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = entry.metadata() else { continue };
        let wanted = if found.is_dir() { FOLDER } else { FILE };
        // A change of what is right already would change the file's time, too.
        if (found.is_dir() || found.is_file()) && found.mode() & 0o777 != wanted {
            let _ = restrict(&path);
        }
        if found.is_dir() {
            tighten_below(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a16_what_root_makes_in_the_private_folder_of_a_user_is_that_user_s() {
        let folder = tempfile::tempdir().unwrap();
        if folder.path().metadata().unwrap().uid() != 0 {
            println!("skipped: only root can make files for others");
            return;
        }
        let (store, shared) = (folder.path().join("store"), folder.path().join("shared"));
        for (path, mode) in [(&store, 0o700), (&shared, 0o755)] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            chown(path, Some(65_534), Some(65_534)).unwrap();
        }
        create_folders(&store.join("log/tile")).unwrap();
        create(&store.join("log/tile/000")).unwrap();
        create(&shared.join("key")).unwrap();
        let user = |path: &Path| path.metadata().unwrap().uid();
        assert_eq!((user(&store.join("log/tile")), user(&store.join("log/tile/000"))), (65_534, 65_534));
        assert_eq!(user(&shared.join("key")), 0);
    }
}
