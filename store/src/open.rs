//! Opening: creates a store in a folder, recognises a store, or rejects the folder; and takes the store's lock.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use oci::Algorithm;
use private::{Hold, PATIENCE, folder_of};

use crate::blob::remove_stale;
use crate::durable::Disk;
use crate::layout::{Layout, Marker, VERSION};
use crate::schema::open_writer;
use crate::{Error, Result};

/// Creates or recognises the store and returns its held lock, for which it waits no longer than `limit`.
pub(crate) fn prepare(layout: &Layout, disk: &Disk, limit: Duration) -> Result<File> {
    let root = layout.root();
    create_root(root, disk)?;
    if !recognise(layout)? {
        // One process creates the store; concurrent ones wait and then recognise it.
        let _lock = lock_root(layout, limit)?;
        if !recognise(layout)? {
            initialise(layout, disk)?;
        }
    }
    if private::tighten(root).map_err(Error::io("protect", root))? {
        let store = root.display();
        tracing::warn!(%store, "other users could read the store; its permissions are now restricted to its owner");
    }
    let (lock, path) = (open_lock(layout)?, layout.lock());
    if private::try_hold(&lock, &path, Hold::Alone)? {
        remove_stale(layout);
    }
    Ok(private::hold(lock, &path, Hold::Shared, limit)?)
}

/// Waits for the exclusive lock on the store's root, no longer than `limit`. The lock is held as long as the file is open.
pub(crate) fn lock_root(layout: &Layout, limit: Duration) -> Result<File> {
    let root = layout.root();
    let folder = File::open(root).map_err(Error::io("open", root))?;
    Ok(private::hold(folder, root, Hold::Alone, limit)?)
}

/// Creates the folder and its parents, and flushes each one's entry in its parent.
fn create_root(root: &Path, disk: &Disk) -> Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let parent = folder_of(root);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    private::create_folder(root).map_err(Error::io("create", root))?;
    flush_above(root, disk)
}

/// Flushes the folders that lead to a new store: an earlier run may have created any of them without flushing it.
fn flush_above(root: &Path, disk: &Disk) -> Result<()> {
    let whole = fs::canonicalize(root).map_err(Error::io("read", root))?;
    for (above, folder) in whole.ancestors().skip(1).enumerate() {
        match disk.sync_directory(folder) {
            Ok(()) => {}
            // A folder that this user cannot open was not created by this user.
            Err(Error::Io { source, .. })
                if above > 0 || source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the folder is already a store.
pub(crate) fn recognise(layout: &Layout) -> Result<bool> {
    let root = layout.root();
    let marker = layout.marker();
    match fs::read(&marker) {
        Ok(bytes) => {
            let found =
                serde_json::from_slice::<Marker>(&bytes).map_err(|_| Error::NotAStore(root.to_owned()))?;
            if found.format > VERSION {
                return Err(Error::Version { found: found.format, known: VERSION });
            }
            // With an empty database, the next commit would truncate the journal.
            if found.rebuilding || !layout.database().exists() {
                return Err(Error::NoDatabase(root.to_owned()));
            }
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(Error::NotAStore(root.to_owned()))
        }
        Err(error) => Err(Error::io("read", &marker)(error)),
    }
}

/// Creates an empty store; the marker comes last, so that an interrupted creation starts again.
fn initialise(layout: &Layout, disk: &Disk) -> Result<()> {
    let root = layout.root();
    let ours = ["blobs", "uploads", "partial", "store.lock", ".store.json", "airlock.db", "names.log"];
    for entry in fs::read_dir(root).map_err(Error::io("read", root))? {
        let name = entry.map_err(Error::io("read", root))?.file_name();
        if !ours.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            return Err(Error::NotAStore(root.to_owned()));
        }
    }
    make_folders(layout, disk)?;
    drop(open_writer(layout)?);
    drop(open_lock(layout)?);
    let journal = layout.journal();
    private::open(OpenOptions::new().write(true).create(true).truncate(false), &journal)
        .map_err(Error::io("create", &journal))?;
    flush_above(root, disk)?;
    disk.sync_directory(root)?;
    Marker::write(layout, disk, false)
}

/// Creates the missing folders durably.
pub(crate) fn make_folders(layout: &Layout, disk: &Disk) -> Result<()> {
    for folder in layout.shards().chain([layout.uploads(), layout.partials()]) {
        private::create_folders(&folder).map_err(Error::io("create", &folder))?;
    }
    for algorithm in Algorithm::ALL {
        disk.sync_directory(&layout.algorithm(algorithm))?;
    }
    disk.sync_directory(&layout.blobs())?;
    disk.sync_directory(layout.root())
}

pub(crate) fn open_lock(layout: &Layout) -> Result<File> {
    let path = layout.lock();
    private::open(OpenOptions::new().read(true).write(true).create(true).truncate(false), &path)
        .map_err(Error::io("open", &path))
}

/// Recognises a store without writing anything. The lock is held if the lock file can be opened.
pub(crate) fn prepare_to_read(layout: &Layout) -> Result<Option<File>> {
    if !recognise(layout)? {
        return Err(Error::Absent(layout.root().to_owned()));
    }
    let path = layout.lock();
    let Ok(lock) = File::open(&path) else { return Ok(None) };
    Ok(Some(private::hold(lock, &path, Hold::Shared, PATIENCE)?))
}
