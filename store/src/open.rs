//! Opening: a folder is made a store, recognised as one, or refused; and its lock is taken.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use oci::Algorithm;
use private::{Hold, PATIENCE, folder_of};

use crate::blob::remove_stale;
use crate::commit::Disk;
use crate::layout::{Layout, Marker, VERSION};
use crate::schema::open_writer;
use crate::{Error, Result};

/// Makes or recognises the folder; gives the held lock, for which it waits no longer than `limit`.
pub(crate) fn prepare(layout: &Layout, disk: &Disk, limit: Duration) -> Result<File> {
    let root = layout.root();
    create_root(root, disk)?;
    if !recognise(layout)? {
        // One process makes it; those that come at the same time wait, and find it made.
        let _turn = alone(layout, limit)?;
        if !recognise(layout)? {
            make(layout, disk)?;
        }
    }
    if private::tighten(root).map_err(Error::io("protect", root))? {
        let store = root.display();
        tracing::warn!(%store, "other users could read the store; only its owner can from now on");
    }
    let (lock, path) = (open_lock(layout)?, layout.lock());
    if private::try_hold(&lock, &path, Hold::Alone)? {
        remove_stale(layout);
    }
    Ok(private::hold(lock, &path, Hold::Shared, limit)?)
}

/// Waits within a limit until nobody else has the store's root for themselves, and keeps it as long as the file is open.
pub(crate) fn alone(layout: &Layout, limit: Duration) -> Result<File> {
    let root = layout.root();
    let folder = File::open(root).map_err(Error::io("open", root))?;
    Ok(private::hold(folder, root, Hold::Alone, limit)?)
}

/// Makes the folder and those above it, each flushed into the one that holds it.
fn create_root(root: &Path, disk: &Disk) -> Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let parent = folder_of(root);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    private::create_folder(root).map_err(Error::io("create", root))?;
    flush_above(root, disk)
}

/// Flushes the folders that lead to a new store. Which of them an earlier run made and did not flush, nobody knows.
fn flush_above(root: &Path, disk: &Disk) -> Result<()> {
    let whole = fs::canonicalize(root).map_err(Error::io("read", root))?;
    for (above, folder) in whole.ancestors().skip(1).enumerate() {
        match disk.sync_directory(folder) {
            Ok(()) => {}
            // A folder that this user cannot open was not made by this user.
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

/// Whether the folder is a store already.
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
            // An empty database would cut the journal at the next commit.
            if found.rebuilding || !layout.database().exists() {
                return Err(Error::NoDatabase(root.to_owned()));
            }
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", &marker)(error)),
    }
}

/// Makes an empty store; the marker comes last, so that a half-made one is made again.
fn make(layout: &Layout, disk: &Disk) -> Result<()> {
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

/// Makes the folders that are missing, durably.
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

/// Recognises a store that cannot be written, and writes nothing. The lock is held where there is a file to hold.
pub(crate) fn prepare_to_read(layout: &Layout) -> Result<Option<File>> {
    if !recognise(layout)? {
        return Err(Error::Absent(layout.root().to_owned()));
    }
    let path = layout.lock();
    let Ok(lock) = File::open(&path) else { return Ok(None) };
    Ok(Some(private::hold(lock, &path, Hold::Shared, PATIENCE)?))
}
