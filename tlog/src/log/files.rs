//! Writing the files of a log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use private::{Existing, Hold, Readers, Temporary, folder_of};

use crate::tile::{HEIGHT, TileId, WIDTH};
use crate::{Error, Result};

/// The name of the lock file.
pub(super) const LOCK: &str = "lock";

/// Locks the log for this process, as long as the returned file is open.
pub(super) fn lock(folder: &Path, limit: Duration) -> Result<File> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = private::open(&mut options, &path).map_err(Error::io("open", &path))?;
    Ok(private::hold(file, &path, Hold::Alone, limit)?)
}

/// Writes a file atomically, but without a flush: it can be rebuilt from other files.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    written(path, bytes)?.rename().map_err(Error::io("rename", path))
}

/// Writes a file and makes it durable.
pub(super) fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    written(path, bytes)?.publish().map_err(Error::io("publish", path))
}

fn written(path: &Path, bytes: &[u8]) -> Result<Temporary> {
    let beside = || Temporary::beside(path, Existing::Replace, Readers::Owner);
    let new = match beside() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(folder_of(path))?;
            beside()
        }
        other => other,
    }
    .map_err(Error::io("create", path))?;
    new.file().write_all(bytes).map_err(Error::io("write", path))?;
    Ok(new)
}

/// Creates a folder and its missing parents, each durable in its parent.
fn create_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folder(parent)?;
    }
    private::create_folder(folder).map_err(Error::io("create", folder))?;
    sync_folder(folder)
}

/// Makes the name of `path` durable.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    private::sync_folder(folder).map_err(Error::io("flush", folder))
}

/// Removes partial files that wider ones replaced between the sizes `before` and `after`. A file that cannot be
/// removed does no harm.
pub(super) fn remove_narrower(log: &Path, before: u64, after: u64) {
    let levels =
        [(None, 0_u32)].into_iter().chain((0_u8..8).map(|l| (Some(l), u32::from(l) * u32::from(HEIGHT))));
    for (level, shift) in levels {
        let (old, new) = (before.checked_shr(shift).unwrap_or(0), after.checked_shr(shift).unwrap_or(0));
        let width = old % WIDTH;
        if old == new || width == 0 {
            continue;
        }
        let index = old / WIDTH;
        let narrow = log.join(TileId { level, index, width }.path());
        let _ = fs::remove_file(&narrow);
        if new / WIDTH > index
            && let Some(folder) = narrow.parent()
        {
            let _ = fs::remove_dir_all(folder);
        }
    }
}
