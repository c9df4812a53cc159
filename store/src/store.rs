//! The store's front: opening, and everything it can be asked for; `look`: opening without a right to write, and notes.

mod look;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use oci::{Algorithm, Descriptor, Digest, Manifest, RepositoryName, Selector, Tag};

use crate::blob::{BlobFile, BlobWriter, PartialBlob};
use crate::change::Change;
use crate::commit::{Disk, Observer};
use crate::garbage::{self, Collected, GarbagePlan};
use crate::layout::Layout;
use crate::open::{open_lock, prepare, prepare_to_read};
use crate::query::{ManifestRow, Readers};
use crate::rebuild::{self, RebuildReport};
use crate::schema::{open_reader, open_unchanging, open_writer};
use crate::upload::{self, Sessions, Upload, UploadId};
use crate::writer::Writer;
use crate::{CheckReport, Error, Progress, Result, check};

/// An open store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    layout: Layout,
    disk: Disk,
    readers: Readers,
    /// None where the store can only be read.
    writer: Option<Writer>,
    sessions: Arc<Sessions>,
    /// Held shared as long as the store is open, so that nobody collects garbage meanwhile.
    lock: Option<File>,
}

impl Store {
    /// Opens the store at `root`; makes an empty one where there is none.
    ///
    /// # Errors
    /// [`Error::NotAStore`] for a folder with other things in it, [`Error::Version`] for a newer format.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, None)
    }

    /// Opens the store at `root`; for reading only where its file system allows no more.
    ///
    /// # Errors
    /// [`Error::Absent`] where there is none.
    pub fn open_existing(root: &Path) -> Result<Self> {
        if !Layout::new(root).marker().exists() {
            return Err(Error::Absent(root.to_owned()));
        }
        match Self::open(root) {
            Err(error) if error.is_read_only_file_system() => Self::open_unchanging(root),
            opened => opened,
        }
    }

    /// Opens a store on a read-only file system: nobody can change it meanwhile.
    ///
    /// # Errors
    /// [`Error::Absent`] where there is none, [`Error::Unfinished`] when its database has to be written first.
    pub fn open_unchanging(root: &Path) -> Result<Self> {
        let layout = Layout::new(root);
        let lock = prepare_to_read(&layout)?;
        if layout.write_ahead().metadata().is_ok_and(|log| log.len() > 0) {
            return Err(Error::Unfinished(root.to_owned()));
        }
        let readers = Readers::new(layout.clone(), open_unchanging);
        let disk = Disk::default();
        Ok(Self(Arc::new(Inner { layout, disk, readers, writer: None, sessions: Arc::default(), lock })))
    }

    /// Whether nothing can be written, because the file system is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.0.writer.is_none()
    }

    /// Opens a store whose every step towards durability `observer` sees and can make fail.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_observed(root: &Path, observer: Arc<dyn Observer>) -> Result<Self> {
        Self::open_with(root, Some(observer))
    }

    fn open_with(root: &Path, observer: Option<Arc<dyn Observer>>) -> Result<Self> {
        let layout = Layout::new(root);
        let disk = Disk::new(observer);
        let lock = Some(prepare(&layout, &disk)?);
        let connection = open_writer(&layout)?;
        let writer = Some(Writer::start(layout.clone(), disk.clone(), connection)?);
        let readers = Readers::new(layout.clone(), open_reader);
        Ok(Self(Arc::new(Inner { layout, disk, readers, writer, sessions: Arc::default(), lock })))
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.0.layout.root()
    }

    /// Whether there is a store in the folder, of whatever version and state.
    #[must_use]
    pub fn is_at(root: &Path) -> bool {
        Layout::new(root).marker().exists()
    }

    /// Whether the folder is still there: a file system may have been unmounted below an open store.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.0.layout.marker().exists()
    }

    /// Starts a blob whose digest comes with its last byte.
    ///
    /// # Errors
    /// When the temporary file cannot be made.
    pub fn writer(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        BlobWriter::create(&self.0.layout, &self.0.disk, algorithm)
    }

    /// Starts or goes on with a blob of known digest.
    ///
    /// # Errors
    /// [`Error::PartialBusy`] while another process fetches the same blob.
    pub fn partial(&self, digest: &Digest) -> Result<PartialBlob> {
        PartialBlob::open(&self.0.layout, &self.0.disk, digest)
    }

    /// Opens a blob, wherever it is linked.
    ///
    /// # Errors
    /// When the file cannot be opened for another reason than that it is not there.
    pub fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        BlobFile::open(&self.0.layout, digest)
    }

    /// The size of a blob that is on disk.
    ///
    /// # Errors
    /// As [`Store::blob`].
    pub fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.0.layout.blob(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Applies all changes, or none. When it returns `Ok`, they are durable and visible. The bytes of new
    /// manifests are published first; calls at the same time share one database commit.
    ///
    /// # Errors
    /// [`Error::BlobMissing`], [`Error::ManifestMissing`], or what the disk says.
    pub fn commit(&self, changes: Vec<Change>) -> Result<()> {
        for change in &changes {
            if let Change::PutManifest { digest, manifest, .. } = change {
                let mut writer = self.writer(digest.algorithm())?;
                writer.write(manifest.bytes())?;
                writer.publish(Some(digest))?;
            }
        }
        self.write(changes)
    }

    fn write(&self, changes: Vec<Change>) -> Result<()> {
        let writer = self.0.writer.as_ref().ok_or_else(|| Error::ReadOnly(self.root().to_owned()))?;
        writer.commit(changes)
    }

    /// Names of repositories after `after`, in byte order.
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

    /// Tags after `after`, in byte order, with what they point at.
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

    /// What a tag or digest means in a repository.
    ///
    /// # Errors
    /// When the database fails.
    pub fn resolve(&self, repository: &RepositoryName, selector: &Selector) -> Result<Option<ManifestRow>> {
        self.0.readers.resolve(repository, selector)
    }

    /// A manifest's exact bytes and what they say.
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

    /// Some repository that has the blob.
    ///
    /// # Errors
    /// When the database fails.
    pub fn repository_with_blob(&self, digest: &Digest) -> Result<Option<RepositoryName>> {
        self.0.readers.repository_with_blob(digest)
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

    /// The manifests whose subject is `subject`, as the referrers API lists them, by digest.
    ///
    /// # Errors
    /// When the database or a manifest's file fails.
    pub fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        self.0.readers.referrers(repository, subject, artifact_type)
    }

    /// Starts an upload session.
    ///
    /// # Errors
    /// When its file cannot be made.
    pub fn create_upload(&self, repository: &RepositoryName) -> Result<UploadId> {
        Upload::create(&self.0.layout, repository)
    }

    /// Takes hold of an upload session; `None` if there is none of that name in the repository.
    ///
    /// # Errors
    /// [`Error::UploadBusy`] while another request holds it.
    pub fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<Upload>> {
        Upload::open(&self.0.layout, &self.0.disk, &self.0.sessions, repository, id)
    }

    /// How many bytes an upload session holds, also while another request writes to it.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn upload_offset(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<u64>> {
        Upload::offset_of(&self.0.layout, repository, id)
    }

    /// Ends an upload session and forgets its bytes; says whether there was one.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<bool> {
        Upload::cancel(&self.0.layout, &self.0.sessions, repository, id)
    }

    /// Removes upload sessions that got nothing since `since` and that no request of this process holds; gives
    /// how many.
    ///
    /// # Errors
    /// When a session's file cannot be removed.
    pub fn expire_uploads(&self, since: SystemTime) -> Result<u64> {
        upload::expire(&self.0.layout, &self.0.sessions, since)
    }

    /// Hashes every blob and compares files, rows and journal. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read at all; what is wrong in it is in the report.
    pub fn check(&self, progress: &mut dyn FnMut(Progress)) -> Result<CheckReport> {
        self.0.readers.with(|connection| check::check(&self.0.layout, connection, progress))
    }

    /// Makes the database anew from the blobs and `names.log`. Blob files that do not hash to their names go
    /// to `quarantine/`.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the store open, [`Error::JournalShort`] when names would be lost
    /// that the database still has, [`Error::NamesGone`] when there are none anywhere.
    pub fn rebuild(root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<RebuildReport> {
        Self::rebuild_as(root, false, progress)
    }

    /// As [`Store::rebuild`], and makes a database without names where no names are left.
    ///
    /// # Errors
    /// As [`Store::rebuild`].
    pub fn rebuild_without_names(root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<RebuildReport> {
        Self::rebuild_as(root, true, progress)
    }

    fn rebuild_as(
        root: &Path,
        without_names: bool,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<RebuildReport> {
        let layout = Layout::new(root);
        if !layout.blobs().is_dir() {
            return Err(Error::Absent(root.to_owned()));
        }
        let lock = open_lock(&layout)?;
        lock.try_lock().map_err(|_| Error::InUse(root.to_owned()))?;
        rebuild::rebuild(&layout, &Disk::default(), without_names, progress)
    }

    /// What garbage collection would remove: blobs that no manifest of a repository names and no lease keeps.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn garbage(&self) -> Result<GarbagePlan> {
        self.0.readers.with(|connection| garbage::plan(&self.0.layout, connection))
    }

    /// Removes what the plan lists and is still garbage.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the store open.
    pub fn collect(&self, plan: &GarbagePlan) -> Result<Collected> {
        let in_use = || Error::InUse(self.root().to_owned());
        let lock = self.0.lock.as_ref().filter(|_| !self.is_read_only());
        let lock = lock.ok_or_else(|| Error::ReadOnly(self.root().to_owned()))?;
        lock.try_lock().map_err(|_| in_use())?;
        let collected = self.garbage().and_then(|now| garbage::collect(&self.0.layout, plan, &now));
        lock.lock_shared().map_err(Error::io("lock", &self.0.layout.lock()))?;
        let (collected, unlink) = collected?;
        self.write(unlink)?;
        Ok(collected)
    }
}
