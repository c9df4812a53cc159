//! The only way for a file to become durable, and its steps.
//!
//! Order: write, fdatasync of the file, rename, fsync of the folder. Only then may a row name the file. A file whose
//! flush fails is removed: the system reports a lost page only once, and a second flush would succeed without it.
//!
//! A small file may get its name without a flush: then the transaction that names it also holds its bytes
//! (`unflushed`).

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use private::{Existing, Hold, PATIENCE, Readers, Temporary, folder_of};

use crate::damage::{Identity, set_aside};
use crate::layout::Layout;
use crate::unflushed::SMALL;
use crate::{Error, Result};

/// The maximum number of published files in memory; more files only cost a second flush or hash.
const MAX_PUBLISHED: usize = 1 << 16;

/// A step towards durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A temporary file is created.
    Create,
    /// An existing file is opened.
    Open,
    /// Its lock is taken.
    Lock,
    /// Its name is checked to still lead to it.
    Verify,
    /// Bytes are written to it.
    Write,
    /// Its data is flushed to the disk.
    SyncData,
    /// It gets its final name.
    Rename,
    /// It is removed.
    Remove,
    /// The folder that contains it is flushed.
    SyncDirectory,
    /// The journal's new lines are flushed.
    SyncJournal,
    /// The database transaction is committed.
    CommitDatabase,
}

/// Observes each step just before it happens, and can make it fail.
pub trait Observer: Send + Sync {
    /// Called before the step on `path`.
    ///
    /// # Errors
    /// A returned error makes the step fail.
    fn before(&self, step: Step, path: &Path) -> io::Result<()>;
}

/// When a published blob becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publication {
    /// At once.
    Durable,
    /// If it is small, with the commit that names it.
    ForCommit,
}

/// File operations that report each step to the observer.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    observer: Option<Arc<dyn Observer>>,
    /// The blobs that this process made durable, with the identities of their files at that time.
    published: Arc<Mutex<HashMap<PathBuf, Identity>>>,
    /// The blobs that this process published without a flush and did not commit yet.
    deferred: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Disk {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer, published: Arc::default(), deferred: Arc::default() }
    }

    pub(crate) fn step(&self, step: Step, path: &Path) -> io::Result<()> {
        self.observer.as_ref().map_or(Ok(()), |observer| observer.before(step, path))
    }

    /// Publishes `temporary`, which `file` has open, as a blob. Replaces an existing file: only the new bytes were just
    /// verified.
    pub(crate) fn publish_blob(
        &self,
        file: &File,
        temporary: &Path,
        target: &Path,
        publication: Publication,
    ) -> Result<()> {
        if publication == Publication::ForCommit {
            let length = file.metadata().map_err(Error::io("read", temporary))?.len();
            if length <= SMALL && self.publish_deferred(temporary, target)? {
                return Ok(());
            }
        }
        if let Err(error) = self.sync_data(file, temporary) {
            let _ = fs::remove_file(temporary);
            return Err(error);
        }
        let shard = folder_of(target);
        let folder = File::open(shard).map_err(Error::io("open", shard))?;
        // Quarantining a damaged blob requires an exclusive lock on the folder, so it cannot move this one.
        let folder = private::hold(folder, shard, Hold::Shared, PATIENCE)?;
        self.step(Step::Rename, target).map_err(Error::io("rename", temporary))?;
        if target.is_dir() {
            set_aside(&Layout::of_blob(target), target)?;
        }
        private::rename(temporary, target).map_err(Error::io("rename", temporary))?;
        self.step(Step::SyncDirectory, shard).map_err(Error::io("flush", shard))?;
        private::sync_open_folder(&folder).map_err(Error::io("flush", shard))?;
        self.record_published(target, file)
    }

    /// Publishes `temporary` as a blob without a flush: a commit must flush it or keep its bytes. Returns whether it did;
    /// an existing file, which may be durable, is never replaced by one that is not.
    fn publish_deferred(&self, temporary: &Path, target: &Path) -> Result<bool> {
        let shard = folder_of(target);
        let folder = File::open(shard).map_err(Error::io("open", shard))?;
        let _folder = private::hold(folder, shard, Hold::Shared, PATIENCE)?;
        {
            let mut deferred = self.deferred.lock().unwrap_or_else(PoisonError::into_inner);
            if deferred.len() >= MAX_PUBLISHED {
                return Ok(false);
            }
            deferred.insert(target.to_owned());
        }
        self.step(Step::Rename, target).map_err(Error::io("rename", temporary))?;
        match private::rename_new(temporary, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            renamed => renamed.map(|()| true).map_err(Error::io("rename", temporary)),
        }
    }

    /// Whether a blob is published without a flush, and not committed.
    pub(crate) fn is_deferred(&self, target: &Path) -> bool {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner).contains(target)
    }

    /// Records that a blob is durable.
    pub(crate) fn settle(&self, target: &Path) {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }

    /// Flushes a blob that another process may have left unflushed.
    pub(crate) fn flush_blob(&self, file: &File, target: &Path) -> Result<()> {
        self.sync_data(file, target)?;
        self.sync_directory(folder_of(target))?;
        self.record_published(target, file)
    }

    /// The identity of the blob that this process made durable at `target`.
    pub(crate) fn published(&self, target: &Path) -> Option<Identity> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).get(target).copied()
    }

    fn record_published(&self, target: &Path, file: &File) -> Result<()> {
        let identity = Identity::of(file).map_err(Error::io("read", target))?;
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.len() >= MAX_PUBLISHED {
            published.clear();
        }
        published.insert(target.to_owned(), identity);
        drop(published);
        self.settle(target);
        Ok(())
    }

    fn sync_data(&self, file: &File, path: &Path) -> Result<()> {
        self.step(Step::SyncData, path).map_err(Error::io("flush", path))?;
        file.sync_data().map_err(Error::io("flush", path))
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> Result<()> {
        self.step(Step::SyncDirectory, path).map_err(Error::io("flush", path))?;
        private::sync_folder(path).map_err(Error::io("flush", path))
    }

    /// Writes a whole small file durably.
    pub(crate) fn write_file(&self, target: &Path, bytes: &[u8]) -> Result<()> {
        let new = Temporary::beside(target, Existing::Replace, Readers::Owner)
            .map_err(Error::io("create", target))?;
        new.file().write_all(bytes).map_err(Error::io("write", target))?;
        self.step(Step::SyncData, target).and_then(|()| new.flush()).map_err(Error::io("flush", target))?;
        self.step(Step::Rename, target).and_then(|()| new.rename()).map_err(Error::io("rename", target))?;
        self.sync_directory(folder_of(target))
    }
}
