//! Opening: a folder is made a store, recognised as one, or refused; and its lock is taken.

use std::fs::{self, File, OpenOptions};

use oci::Algorithm;

use crate::blob::remove_stale;
use crate::commit::Disk;
use crate::layout::{Layout, Marker, VERSION};
use crate::schema::open_writer;
use crate::{Error, Result};

/// Makes or recognises the folder; gives the held lock.
pub(crate) fn prepare(layout: &Layout, disk: &Disk) -> Result<File> {
    let root = layout.root();
    fs::create_dir_all(root).map_err(Error::io("create", root))?;
    if !recognise(layout)? {
        // One process makes it; those that come at the same time wait, and find it made.
        let folder = File::open(root).map_err(Error::io("open", root))?;
        folder.lock().map_err(Error::io("lock", root))?;
        if !recognise(layout)? {
            make(layout, disk)?;
        }
    }
    let lock = open_lock(layout)?;
    if lock.try_lock().is_ok() {
        remove_stale(layout);
    }
    lock.lock_shared().map_err(Error::io("lock", &layout.lock()))?;
    Ok(lock)
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
    let ours = ["blobs", "uploads", "partial", "store.lock", "store.new", "airlock.db", "names.log"];
    for entry in fs::read_dir(root).map_err(Error::io("read", root))? {
        let name = entry.map_err(Error::io("read", root))?.file_name();
        if !ours.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            return Err(Error::NotAStore(root.to_owned()));
        }
    }
    for folder in layout.shards().chain([layout.uploads(), layout.partials()]) {
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    }
    for algorithm in Algorithm::ALL {
        disk.sync_directory(&layout.algorithm(algorithm))?;
    }
    disk.sync_directory(&layout.blobs())?;
    disk.sync_directory(root)?;
    drop(open_writer(layout)?);
    Marker::write(layout, disk, false)
}

pub(crate) fn open_lock(layout: &Layout) -> Result<File> {
    let path = layout.lock();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))
}

/// Recognises a store that cannot be written, and writes nothing. The lock is held where there is a file to hold.
pub(crate) fn prepare_to_read(layout: &Layout) -> Result<Option<File>> {
    if !recognise(layout)? {
        return Err(Error::Absent(layout.root().to_owned()));
    }
    let Ok(lock) = File::open(layout.lock()) else { return Ok(None) };
    lock.lock_shared().map_err(Error::io("lock", &layout.lock()))?;
    Ok(Some(lock))
}
