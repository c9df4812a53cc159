//! Check, rebuild, garbage collection, and what keeps content.

use std::path::Path;
use std::time::SystemTime;

use oci::Digest;
use private::{Hold, Holders, PATIENCE};

use super::Store;
use crate::change::Change;
use crate::commit::Disk;
use crate::garbage::{self, Collected, GarbagePlan};
use crate::layout::Layout;
use crate::open::open_lock;
use crate::reach::{self, Untagged};
use crate::rebuild::{self, RebuildReport};
use crate::why::{self, Kept};
use crate::{CheckReport, Error, Progress, Result, check};

impl Store {
    /// Hashes every blob and compares files, rows and journal. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read at all; faults inside the store are in the report.
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<CheckReport> {
        self.0.readers.with(|connection| check::check(&self.0.layout, connection, progress))
    }

    /// Rebuilds the database from the blobs and `names.log`, or from its own names if the journal lacks some.
    /// Blob files that do not hash to their names are moved to `quarantine/`.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the store open, [`Error::NamesGone`] when no names are left.
    pub fn rebuild(root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<RebuildReport> {
        Self::rebuild_as(root, &Disk::default(), false, progress)
    }

    /// As [`Store::rebuild`], but creates a database without names if no names are left.
    ///
    /// # Errors
    /// As [`Store::rebuild`].
    pub fn rebuild_without_names(root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<RebuildReport> {
        Self::rebuild_as(root, &Disk::default(), true, progress)
    }

    fn rebuild_as(
        root: &Path,
        disk: &Disk,
        without_names: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<RebuildReport> {
        let layout = Layout::new(root);
        if !layout.blobs().is_dir() {
            return Err(Error::Absent(root.to_owned()));
        }
        let lock = open_lock(&layout)?;
        if !private::try_hold(&lock, &layout.lock(), Hold::Alone)? {
            return Err(in_use(&layout));
        }
        rebuild::rebuild(&layout, disk, without_names, progress)
    }

    /// What keeps a blob or a manifest.
    ///
    /// # Errors
    /// When the database fails.
    pub fn why(&self, digest: &Digest) -> Result<Kept> {
        self.0.readers.with(|connection| why::why(connection, digest))
    }

    /// The manifests that no tag, index or subject keeps, and that were not pushed, and lost no tag, after `before`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn untagged(&self, before: SystemTime) -> Result<Untagged> {
        self.0.readers.with(|connection| reach::untagged(connection, &self.0.layout, before))
    }

    /// Removes those of the planned manifests that still nothing keeps, and returns them.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn delete_untagged(&self, planned: &Untagged, before: SystemTime) -> Result<Untagged> {
        let mut deleted = Untagged::new();
        for (repository, planned) in planned {
            let (name, listed) = (repository.clone(), planned.clone());
            self.commit(vec![Change::DeleteUntagged { repository: name, planned: listed, before }])?;
            let mut gone = planned.clone();
            for row in self.manifests(repository)? {
                gone.remove(&row.digest);
            }
            if !gone.is_empty() {
                deleted.insert(repository.clone(), gone);
            }
        }
        Ok(deleted)
    }

    /// What garbage collection would remove: blobs that no manifest of a repository names and no lease keeps.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn garbage(&self) -> Result<GarbagePlan> {
        self.garbage_without(&Untagged::new())
    }

    /// What it would remove after some manifests were removed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn garbage_without(&self, manifests: &Untagged) -> Result<GarbagePlan> {
        self.0.readers.with(|connection| garbage::plan(&self.0.layout, connection, manifests))
    }

    /// Removes what the plan lists and is still garbage: first the rows, then the files, so that an interruption leaves
    /// only garbage.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the store open.
    pub fn collect(&self, plan: &GarbagePlan) -> Result<Collected> {
        let (layout, path) = (&self.0.layout, self.0.layout.lock());
        let lock = self.0.lock.as_ref().filter(|_| !self.is_read_only());
        let lock = lock.ok_or_else(|| Error::ReadOnly(self.root().to_owned()))?;
        let alone = private::try_hold(lock, &path, Hold::Alone);
        let collected = match alone {
            Ok(true) => self.garbage().and_then(|now| {
                let mut removal = garbage::decide(layout, plan, now);
                self.write(std::mem::take(&mut removal.unlink))?;
                removal.remove_files(&self.0.disk)
            }),
            Ok(false) => Err(in_use(layout)),
            Err(error) => Err(error.into()),
        };
        // Trying to upgrade the lock releases the shared one, whether it succeeds or not.
        let again = lock.try_clone().map_err(Error::io("lock", &path))?;
        private::hold(again, &path, Hold::Shared, PATIENCE)?;
        collected
    }
}

fn in_use(layout: &Layout) -> Error {
    let holders = Holders::of(&[&layout.lock()]);
    Error::InUse { root: layout.root().to_owned(), holders }
}
