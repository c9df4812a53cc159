//! Damage, and scrubs.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

use oci::Digest;
use private::{Hold, Holders};

use super::Store;
use crate::change::Change;
use crate::health::{self, Damage, Health, HealthChange, HealthRows};
use crate::scrub::{Scrub, ScrubControl, ScrubReport};
use crate::{Error, Progress, Result};

/// The lowest priority.
const NICE: i32 = 19;

impl Store {
    /// Calls this for each damaged blob that is found, before it is recorded. Only the first call has an effect.
    pub fn observe_damage(&self, observer: impl Fn(&Damage) + Send + Sync + 'static) {
        self.0.readers.inspector().observe(Arc::new(observer));
    }

    /// The damaged blobs that repositories need, and when the store was scrubbed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn health(&self) -> Result<Health> {
        self.0.readers.with(|connection| health::health(&self.0.layout, connection))
    }

    /// Whether a manifest needs a blob that the store had and that is now damaged, as far as is known, or missing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_lost(&self, digest: &Digest) -> Result<bool> {
        self.0.readers.with(|connection| {
            if !health::is_needed(connection, digest)? {
                return Ok(false);
            }
            let is_file = std::fs::metadata(self.0.layout.blob(digest)).is_ok_and(|found| found.is_file());
            let recorded = health::recorded_about(connection, digest)?;
            Ok(!is_file || recorded.is_some_and(|damage| !health::is_replaced(&self.0.layout, &damage)))
        })
    }

    /// Forgets the damage of blobs that are intact again.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn healed(&self, digests: Vec<Digest>) -> Result<()> {
        self.commit(vec![Change::Health(HealthChange(HealthRows::Intact(digests)))])
    }

    /// Verifies the blobs that were not verified within `older_than`; without it, all blobs, or the rest of those of a scrub
    /// that was interrupted. Damaged files are moved to `quarantine/`. Lowers the priority of the calling thread, also for
    /// the disk.
    ///
    /// # Errors
    /// [`Error::Scrubbing`] while another scrub runs, [`Error::DiskFails`] if the disk and not a blob is at fault, or when the
    /// store cannot be read or is read-only.
    pub fn scrub(
        &self,
        older_than: Option<Duration>,
        control: &ScrubControl,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<ScrubReport> {
        if self.is_read_only() {
            return Err(Error::ReadOnly(self.root().to_owned()));
        }
        let path = self.0.layout.scrub_lock();
        let mut options = OpenOptions::new();
        let lock = private::open(options.write(true).create(true).truncate(false), &path);
        let lock = lock.map_err(Error::io("open", &path))?;
        if !private::try_hold(&lock, &path, Hold::Alone)? {
            return Err(Error::Scrubbing(Holders::of(&[&path])));
        }
        // The kernel derives the priority of reads from that of the thread.
        let _ = rustix::process::nice(NICE);
        let commit = |rows| self.commit(vec![Change::Health(HealthChange(rows))]);
        let (layout, readers) = (&self.0.layout, &self.0.readers);
        Scrub { layout, readers, control, commit: &commit, progress }.run(older_than)
    }
}
