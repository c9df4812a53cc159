//! The one way for a file to become durable, and the steps towards it.
//!
//! Order: write, fdatasync of the file, rename, fsync of the folder. Only then may a row name the file.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::{Error, Result};

/// A step towards durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A temporary file is created.
    Create,
    /// Bytes are written to it.
    Write,
    /// Its data is flushed to the disk.
    SyncData,
    /// It gets its final name.
    Rename,
    /// The folder that holds the name is flushed.
    SyncDirectory,
    /// The journal's new lines are flushed.
    SyncJournal,
    /// The database transaction is committed.
    CommitDatabase,
}

/// Sees each step just before it is taken, and may make it fail.
pub trait Observer: Send + Sync {
    /// Called before the step on `path`.
    ///
    /// # Errors
    /// An error makes the step fail with it.
    fn before(&self, step: Step, path: &Path) -> io::Result<()>;
}

/// File operations with the observer told.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    observer: Option<Arc<dyn Observer>>,
}

impl Disk {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer }
    }

    pub(crate) fn step(&self, step: Step, path: &Path) -> io::Result<()> {
        self.observer.as_ref().map_or(Ok(()), |observer| observer.before(step, path))
    }

    /// Makes `temporary`, which `file` has open, durable under its final name. Replaces what is there: the new
    /// bytes were just verified, which cannot be said of the old ones.
    pub(crate) fn publish(&self, file: &File, temporary: &Path, target: &Path) -> Result<()> {
        self.step(Step::SyncData, temporary).map_err(Error::io("flush", temporary))?;
        file.sync_data().map_err(Error::io("flush", temporary))?;
        self.step(Step::Rename, target).map_err(Error::io("rename", temporary))?;
        fs::rename(temporary, target).map_err(Error::io("rename", temporary))?;
        self.sync_directory(target.parent().unwrap_or(Path::new(".")))
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> Result<()> {
        self.step(Step::SyncDirectory, path).map_err(Error::io("flush", path))?;
        File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::io("flush", path))
    }

    /// Writes a whole small file durably in one go.
    pub(crate) fn write_file(&self, target: &Path, bytes: &[u8]) -> Result<()> {
        use std::io::Write as _;
        let temporary = target.with_extension("new");
        let mut file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(bytes).map_err(Error::io("write", &temporary))?;
        self.publish(&file, &temporary, target)
    }
}
