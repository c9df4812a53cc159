//! The store's public interface: opening, queries and commits; `read_only`: opening without write permission, and notes;
//! `governed`: rules, quotas and protections; `health`: damage and scrubs; `inbox`: manifests that wait for their tag;
//! `intake`: blobs and uploads; `listing`: referrers and the history of tags; `upkeep`: check, rebuild, garbage collection.

mod governed;
mod health;
mod inbox;
mod intake;
mod listing;
mod read_only;
mod upkeep;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use oci::{Algorithm, Digest, Manifest, RepositoryName, Selector, Tag};
use private::PATIENCE;

use crate::change::Change;
use crate::damage::Inspector;
use crate::durable::{Disk, Observer};
use crate::keep::GRACE;
use crate::layout::Layout;
use crate::open::{prepare, prepare_to_read};
use crate::query::{ManifestRow, Readers};
use crate::schema::{open_immutable, open_reader, open_writer};
use crate::upload::Sessions;
use crate::writer::Writer;
use crate::{Error, Result, unflushed};

pub use governed::ExpiredTags;

/// An open store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    layout: Layout,
    disk: Disk,
    /// Before the writer, whose queue it uses: fields are dropped in this order.
    readers: Readers,
    /// None if the store is open for reading only.
    writer: Option<Writer>,
    sessions: Arc<Sessions>,
    /// Who changes tags, if a commit does not say.
    actor: OnceLock<String>,
    /// How long an unneeded blob stays while other processes use the store.
    grace: Duration,
    /// Held shared as long as the store is open, so that no other process collects garbage meanwhile.
    lock: Option<File>,
}

impl Inner {
    fn new(layout: Layout, disk: Disk, readers: Readers, writer: Option<Writer>, lock: Option<File>) -> Self {
        let (sessions, actor) = (Arc::default(), OnceLock::new());
        Self { layout, disk, readers, writer, sessions, actor, grace: GRACE, lock }
    }
}

impl Store {
    /// Opens the store at `root`; creates an empty one if none exists.
    ///
    /// # Errors
    /// [`Error::NotAStore`] for a folder with other content, [`Error::Version`] for a newer format.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, None, PATIENCE)
    }

    /// As [`Store::open`], but waits no longer than `limit` for a lock that another process holds.
    ///
    /// # Errors
    /// [`Error::Locked`] when the lock was not released within that time.
    pub fn open_within(root: &Path, limit: Duration) -> Result<Self> {
        Self::open_with(root, None, limit)
    }

    /// Opens the store at `root`; for reading only if its file system is read-only.
    ///
    /// # Errors
    /// [`Error::Absent`] if no store exists there.
    pub fn open_existing(root: &Path) -> Result<Self> {
        if !Layout::new(root).marker().exists() {
            let is_other = root.exists() && !root.is_dir();
            return Err(if is_other { Error::NotAStore } else { Error::Absent }(root.to_owned()));
        }
        match Self::open(root) {
            Err(error) if error.is_read_only_file_system() => Self::open_immutable(root),
            opened => opened,
        }
    }

    /// Opens a store on a read-only file system, where no process can change it.
    ///
    /// # Errors
    /// [`Error::Absent`] if no store exists there, [`Error::Unfinished`] if its database needs recovery first.
    pub fn open_immutable(root: &Path) -> Result<Self> {
        let layout = Layout::new(root);
        let lock = prepare_to_read(&layout)?;
        let disk = Disk::default();
        let readers = Readers::new(Inspector::new(layout.clone(), disk.clone(), None), open_immutable);
        let has_log = layout.write_ahead().metadata().is_ok_and(|log| log.len() > 0);
        if has_log || readers.with(unflushed::has_rows)? {
            return Err(Error::Unfinished(root.to_owned()));
        }
        Ok(Self(Arc::new(Inner::new(layout, disk, readers, None, lock))))
    }

    /// Whether the store is open for reading only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.writer.is_none()
    }

    /// Opens a store whose `observer` sees every step towards durability and can make it fail.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_observed(root: &Path, observer: Arc<dyn Observer>) -> Result<Self> {
        Self::open_with(root, Some(observer), PATIENCE)
    }

    /// Opens a store in which blobs are recent for a shorter time.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_with_grace(root: &Path, grace: Duration) -> Result<Self> {
        let mut store = Self::open(root)?;
        if let Some(inner) = Arc::get_mut(&mut store.0) {
            inner.grace = grace;
        }
        Ok(store)
    }

    fn open_with(root: &Path, observer: Option<Arc<dyn Observer>>, limit: Duration) -> Result<Self> {
        let layout = Layout::new(root);
        let disk = Disk::new(observer);
        let lock = Some(prepare(&layout, &disk, limit)?);
        let mut connection = open_writer(&layout)?;
        unflushed::restore(&layout, &disk, &mut connection)?;
        let writer = Writer::start(layout.clone(), disk.clone(), connection)?;
        let inspector = Inspector::new(layout.clone(), disk.clone(), writer.queue());
        let readers = Readers::new(inspector, open_reader);
        Ok(Self(Arc::new(Inner::new(layout, disk, readers, Some(writer), lock))))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.0.layout.root()
    }

    /// Takes the exclusive lock for read-modify-write changes of a tag's content. The lock is held as long as the file is
    /// open.
    ///
    /// # Errors
    /// [`Error::Locked`] when the lock was not released within the timeout.
    pub fn lock_exclusive(&self) -> Result<std::fs::File> {
        crate::open::lock_root(&self.0.layout, private::PATIENCE)
    }

    /// Whether the folder contains a store, of any version and state.
    #[must_use]
    pub fn is_at(root: &Path) -> bool {
        Layout::new(root).marker().exists()
    }

    /// Whether the store still exists: its file system may have been unmounted while it was open.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.0.layout.marker().exists()
    }

    /// Checks that the database can be written: commits a transaction that changes nothing.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn check_writable(&self) -> Result<()> {
        self.commit(Vec::new())
    }

    /// The space on the file system that is free for this process, in bytes.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(self.root());
        let found = found.map_err(|error| Error::io("examine", self.root())(error.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Publishes bytes as a durable blob, and returns its digest and size. Nothing names it yet.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<(Digest, u64)> {
        let mut writer = self.writer(Algorithm::Sha256)?;
        writer.write(bytes)?;
        writer.publish(None)
    }

    /// Applies all changes, or none. When it returns `Ok`, they are durable and visible. The bytes of new
    /// manifests are published first. Blobs that no row names yet become durable, whichever process wrote them: large ones
    /// are flushed, small ones are part of the commit. Concurrent calls share one database commit.
    ///
    /// # Errors
    /// [`Error::BlobMissing`], [`Error::ManifestMissing`], [`Error::DescriptorSize`], or when the disk is full or fails.
    pub fn commit(&self, mut changes: Vec<Change>) -> Result<()> {
        if let Some(actor) = self.0.actor.get() {
            changes = changes.into_iter().map(|change| change.by(actor)).collect();
        }
        for change in &changes {
            if let Change::PutManifest { digest, manifest, .. }
            | Change::PushManifest { digest, manifest, .. }
            | Change::Hold { digest, manifest, .. } = change.bare()
            {
                let mut writer = self.writer_over(digest)?;
                writer.write(manifest.bytes())?;
                writer.publish_for_commit(Some(digest))?;
            }
        }
        let content = self.secure_named(&changes)?;
        let kept: Vec<_> = content.iter().map(|(digest, _)| self.0.layout.blob(digest)).collect();
        self.writer_thread()?.commit(changes, content)?;
        for path in kept {
            self.0.disk.settle(&path);
        }
        Ok(())
    }

    /// As [`Store::commit`], in the name of an actor, whom the history of tags records.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn commit_as(&self, actor: &str, changes: Vec<Change>) -> Result<()> {
        self.commit(changes.into_iter().map(|change| change.by(actor)).collect())
    }

    /// Names the actor of all commits through this store that name no other one. Only the first call has an effect.
    pub fn act_as(&self, actor: String) {
        let _ = self.0.actor.set(actor);
    }

    fn writer_thread(&self) -> Result<&Writer> {
        self.0.writer.as_ref().ok_or_else(|| Error::ReadOnly(self.root().to_owned()))
    }

    /// The names of the repositories after `after`, in byte order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn repositories(&self, after: Option<&str>, limit: Option<usize>) -> Result<Vec<RepositoryName>> {
        self.0.readers.repositories(after, limit)
    }

    /// Whether a repository was ever pushed to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn repository_exists(&self, repository: &RepositoryName) -> Result<bool> {
        self.0.readers.repository_exists(repository)
    }

    /// The tags after `after`, in byte order, with the digests they point to.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<Vec<(Tag, Digest)>> {
        self.0.readers.tags(repository, after, limit)
    }

    /// The manifest that a tag or digest selects in a repository.
    ///
    /// # Errors
    /// When the database fails.
    pub fn resolve(&self, repository: &RepositoryName, selector: &Selector) -> Result<Option<ManifestRow>> {
        self.0.readers.resolve(repository, selector)
    }

    /// The row and bytes of a manifest that was requested before, if no process has changed the database since. Uses only
    /// memory, and never waits.
    #[must_use]
    pub fn recall(&self, repository: &RepositoryName, selector: &Selector) -> Option<(ManifestRow, Bytes)> {
        self.0.readers.recall(repository, selector)
    }

    /// A manifest, with its exact bytes.
    ///
    /// # Errors
    /// When the database or the file fails.
    pub fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Manifest>> {
        self.0.readers.manifest(repository, digest)
    }

    /// All manifests of a repository, by digest.
    ///
    /// # Errors
    /// When the database fails.
    pub fn manifests(&self, repository: &RepositoryName) -> Result<Vec<ManifestRow>> {
        self.0.readers.manifests(repository)
    }

    /// The size of a blob that is linked to a repository.
    ///
    /// # Errors
    /// When the database fails.
    pub fn blob_in(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<u64>> {
        self.0.readers.blob_in(repository, digest)
    }

    /// Repositories that have the blob, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn repositories_with_blob(&self, digest: &Digest, limit: usize) -> Result<Vec<RepositoryName>> {
        self.0.readers.repositories_with_blob(digest, limit)
    }

    /// Whether a manifest of the repository names the blob.
    ///
    /// # Errors
    /// When the database fails.
    pub fn blob_is_referenced(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        self.0.readers.blob_is_referenced(repository, digest)
    }

    /// The manifests of a repository that name a manifest or blob, at most `limit`, by digest.
    ///
    /// # Errors
    /// When the database fails.
    pub fn manifests_naming(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<Digest>> {
        self.0.readers.manifests_naming(repository, digest, limit)
    }
}
