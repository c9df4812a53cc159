//! Check, rebuild, garbage collection, and what keeps content.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use oci::Digest;
use private::{Hold, Holders, PATIENCE};

use super::Store;
use crate::backup::{self, Backup, BackupReport};
use crate::change::Change;
use crate::durable::Disk;
use crate::garbage::{self, Collected, Cutoff, GarbagePlan};
use crate::layout::Layout;
use crate::open::open_lock;
use crate::reach::{self, Untagged};
use crate::rebuild::{self, RebuildReport};
use crate::schema::open_writer;
use crate::why::{self, Kept};
use crate::{CheckReport, Error, Progress, Result, check, keep};

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

    /// What a backup into `folder` would copy.
    ///
    /// # Errors
    /// As [`Store::backup`].
    pub fn backup_plan(&self, folder: &Path) -> Result<BackupReport> {
        backup::plan(&self.0.layout, folder)
    }

    /// Copies names and blobs into a backup in `folder`, while other processes use the store. An earlier backup there is
    /// reused.
    ///
    /// # Errors
    /// [`Error::NotABackup`] for a folder with other content, [`Error::ChangesTooQuickly`], or when the disk is full or fails.
    pub fn backup(&self, folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Backup> {
        backup::begin(&self.0.layout, folder, progress)
    }

    /// What keeps a blob or a manifest.
    ///
    /// # Errors
    /// When the database fails.
    pub fn why(&self, digest: &Digest) -> Result<Kept> {
        self.0.readers.with(|connection| why::why(connection, digest))
    }

    /// The manifests that no tag, index, subject or protection keeps, and that were not pushed, and lost no tag, after
    /// `before`. The manifests `keep` stay, with everything that they keep.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn untagged(&self, before: SystemTime, keep: &Untagged) -> Result<Untagged> {
        self.0.readers.with(|connection| reach::untagged(connection, &self.0.layout, before, keep))
    }

    /// Removes those of the planned manifests that still nothing keeps, and returns them.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn delete_untagged(
        &self,
        planned: &Untagged,
        before: SystemTime,
        keep: &Untagged,
    ) -> Result<Untagged> {
        let mut deleted = Untagged::new();
        for (repository, planned) in planned {
            let (name, listed) = (repository.clone(), planned.clone());
            let keep = keep.get(repository).cloned().unwrap_or_default();
            self.commit(vec![Change::DeleteUntagged { repository: name, planned: listed, before, keep }])?;
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

    /// Removes what the plan lists and is still garbage, while other processes use the store. If there are any, recent blobs
    /// stay, because another process may be about to name them. An interruption leaves only garbage.
    ///
    /// # Errors
    /// When the store is read-only, or the disk or the database fails.
    pub fn collect(&self, plan: &GarbagePlan) -> Result<Collected> {
        self.collect_older(plan, self.0.grace)
    }

    /// As [`Store::collect`], but recent blobs stay in any case: another thread of this process may be about to name them.
    ///
    /// # Errors
    /// As [`Store::collect`].
    pub fn collect_old(&self, plan: &GarbagePlan) -> Result<Collected> {
        let lock = self.0.layout.lock();
        let now = keep::file_system_time(&lock)?;
        let time = now.checked_sub(self.0.grace).unwrap_or(SystemTime::UNIX_EPOCH);
        self.collect_before(plan, Cutoff { time, is_alone: false })
    }

    /// As [`Store::collect`], but blobs stay recent for another time.
    ///
    /// # Errors
    /// As [`Store::collect`].
    #[cfg(any(test, feature = "testing"))]
    pub fn collect_after(&self, plan: &GarbagePlan, grace: Duration) -> Result<Collected> {
        self.collect_older(plan, grace)
    }

    fn collect_older(&self, plan: &GarbagePlan, grace: Duration) -> Result<Collected> {
        let lock = self.0.lock.as_ref().filter(|_| !self.is_read_only());
        let lock = lock.ok_or_else(|| Error::ReadOnly(self.root().to_owned()))?;
        self.collect_before(plan, self.cutoff(lock, grace)?)
    }

    fn collect_before(&self, plan: &GarbagePlan, cutoff: Cutoff) -> Result<Collected> {
        if self.is_read_only() {
            return Err(Error::ReadOnly(self.root().to_owned()));
        }
        let (layout, disk) = (&self.0.layout, &self.0.disk);
        // The database does not keep the content of a file that is removed; otherwise a crash could bring it back.
        self.writer_thread()?.flush()?;
        garbage::collect(layout, disk, &mut open_writer(layout)?, plan, cutoff)
    }

    /// The time is now if no other process has the store open at this moment, so that no file from before can be about to be
    /// named.
    fn cutoff(&self, lock: &File, grace: Duration) -> Result<Cutoff> {
        let path = self.0.layout.lock();
        let alone = private::try_hold(lock, &path, Hold::Alone);
        let cutoff = match alone {
            Ok(true) => keep::end_of_tick(&path).map(|time| Cutoff { time, is_alone: true }),
            Ok(false) => keep::file_system_time(&path).map(|now| {
                let time = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
                Cutoff { time, is_alone: false }
            }),
            Err(error) => Err(error.into()),
        };
        // Trying to upgrade the lock releases the shared one, whether it succeeds or not.
        let again = lock.try_clone().map_err(Error::io("lock", &path))?;
        private::hold(again, &path, Hold::Shared, PATIENCE)?;
        cutoff
    }
}

fn in_use(layout: &Layout) -> Error {
    let holders = Holders::of(&[&layout.lock()]);
    Error::InUse { root: layout.root().to_owned(), holders }
}
