//! Creates folders and files that only their owner can access: mode 0700 and 0600, whatever the process's umask is.
//!
//! What root creates in a user's private folder belongs to that user. Otherwise a command that root runs, such as a store
//! check, would lock the owner out.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown,
};
use std::path::Path;

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;

/// The permissions of everyone but the owner.
const OTHERS: u32 = 0o077;

/// Creates a folder and returns whether it was created. An existing folder stays as it is.
///
/// # Errors
/// Any I/O error.
pub fn create_folder(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(FOLDER).create(path) {
        // The umask may have removed permissions of the owner.
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

/// Creates a folder and its missing parents.
///
/// # Errors
/// Any I/O error.
pub fn create_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_folders(parent)?;
    }
    create_folder(path).map(|_| ())
}

/// The folder that contains a path.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file, which `options` may create.
///
/// # Errors
/// Any I/O error.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(FILE).open(path)?;
    let found = file.metadata()?;
    give_to_owner(&file, &found, path)?;
    if found.is_file() && found.mode() & 0o777 != FILE {
        match file.set_permissions(Permissions::from_mode(FILE)) {
            // Only the owner can change the mode, and no one else needs to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            changed => changed?,
        }
    }
    Ok(file)
}

/// Gives a file that root created in another user's private folder to that user.
pub(crate) fn give_to_owner(file: &File, found: &Metadata, path: &Path) -> io::Result<()> {
    match owner(path, found.uid()).filter(|_| found.is_file()) {
        Some((user, group)) => fchown(file, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// The owner of the folder that contains the path, if `user` is root and the folder is another user's private folder.
fn owner(path: &Path, user: u32) -> Option<(u32, u32)> {
    if user != 0 {
        return None;
    }
    let found = fs::metadata(folder_of(path)).ok()?;
    let is_others = found.uid() != 0 && found.mode() & OTHERS == 0;
    is_others.then(|| (found.uid(), found.gid()))
}

/// Creates a file, or truncates an existing one.
///
/// # Errors
/// Any I/O error.
pub fn create(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().write(true).create(true).truncate(true), path)
}

/// Restricts a folder or file to its owner.
///
/// # Errors
/// Any I/O error.
pub fn restrict(path: &Path) -> io::Result<()> {
    let mode = if fs::symlink_metadata(path)?.is_dir() { FOLDER } else { FILE };
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Removes the permissions of other users from a folder and everything below it, if they have any on the folder or on its
/// direct children. Returns whether they had.
///
/// # Errors
/// Any I/O error for the folder. A folder that belongs to another user stays as it is.
pub fn tighten(root: &Path) -> io::Result<bool> {
    let is_open = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|found| !found.is_symlink() && found.mode() & OTHERS != 0)
    };
    let below = || fs::read_dir(root).into_iter().flatten().flatten();
    if !is_open(root) && !below().any(|entry| is_open(&entry.path())) {
        return Ok(false);
    }
    // The root first: its mode alone keeps other users out.
    match restrict(root) {
        Ok(()) => {}
        // The folder belongs to another user, who must do it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(error),
    }
    tighten_below(root);
    Ok(true)
}

/// Best effort: files that are removed meanwhile or belong to another user are protected by the root's mode.
fn tighten_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(found) = entry.metadata() else { continue };
        let wanted = if found.is_dir() { FOLDER } else { FILE };
        // Setting a mode that is already correct would still update the file's change time.
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
    fn a16_what_root_creates_in_a_private_folder_belongs_to_the_folders_owner() {
        let folder = tempfile::tempdir().unwrap();
        if folder.path().metadata().unwrap().uid() != 0 {
            println!("skipped: only root can create files for other users");
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
