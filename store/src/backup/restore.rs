//! Restores a store from a backup. `store.json` is written last: until then, the new folder is no store.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use oci::Digest;
use serde::Serialize;

use super::copy::{Copied, copy_blob, copy_folder};
use super::{BackupMark, BlobCount, content, named, read_mark};
use crate::durable::Disk;
use crate::layout::{Layout, Marker};
use crate::open::{make_folders, open_lock};
use crate::{Error, Progress, Result};

/// What a restoration did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The mark of the backup.
    pub backup: BackupMark,
    /// The blobs that were restored.
    pub restored: BlobCount,
    /// Blobs that the backup lacks or has damaged. Without them, the store is restored, too.
    pub damaged: BTreeSet<Digest>,
}

/// Restores a store in a folder that does not exist or is empty. Without `progress`, only says what would be restored.
///
/// # Errors
/// [`Error::NotABackup`], [`Error::NotEmpty`], or when the disk is full or fails.
pub fn restore(
    backup: &Path,
    root: &Path,
    progress: Option<&mut dyn FnMut(Progress)>,
) -> Result<RestoreReport> {
    let mark = read_mark(backup)?.ok_or_else(|| Error::NotABackup(backup.to_owned()))?;
    if fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) || root.is_file() {
        return Err(Error::NotEmpty(root.to_owned()));
    }
    let state = backup.join(&mark.state);
    let named = named(&state.join("airlock.db"))?;
    let mut report = RestoreReport { backup: mark, restored: BlobCount::default(), damaged: BTreeSet::new() };
    let Some(progress) = progress else {
        for size in named.values() {
            report.restored.add(*size);
        }
        return Ok(report);
    };
    let (layout, disk, source) = (Layout::new(root), Disk::default(), content(backup));
    private::create_folders(root).map_err(Error::io("create", root))?;
    make_folders(&layout, &disk)?;
    let mut now = Progress { done: 0, total: named.values().sum() };
    for (digest, size) in &named {
        match copy_blob(&source.blob(digest), &layout.blob(digest), digest)? {
            Copied::Whole(bytes) => report.restored.add(bytes),
            Copied::Absent | Copied::Damaged => drop(report.damaged.insert(digest.clone())),
        }
        now.done += size;
        progress(now);
    }
    copy_folder(&state, root, &|_| false, &|_| false)?;
    drop(open_lock(&layout)?);
    let folder = File::open(root).map_err(Error::io("open", root))?;
    rustix::fs::syncfs(&folder).map_err(io::Error::from).map_err(Error::io("flush", root))?;
    Marker::write(&layout, &disk, false)?;
    Ok(report)
}
