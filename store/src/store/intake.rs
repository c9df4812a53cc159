//! Blobs on their way in and out, and upload sessions.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::time::SystemTime;

use oci::{Algorithm, Digest, Manifest, RepositoryName};

use super::Store;
use crate::blob::{BlobFile, BlobWriter, PartialBlob};
use crate::change::{Change, Misfit, misfits};
use crate::upload::{self, Upload, UploadId, UploadLimits};
use crate::{Error, Result};

impl Store {
    /// Starts a blob whose digest comes with its last byte.
    ///
    /// # Errors
    /// When the temporary file cannot be made.
    pub fn writer(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        BlobWriter::create(&self.0.layout, &self.0.disk, algorithm)
    }

    /// Starts a blob of known digest whose bytes come anyway, whether the store has it or not: what is there is
    /// compared with them, kept if it is the same, and replaced if it is not.
    ///
    /// # Errors
    /// When the temporary file cannot be made, or the database fails.
    pub fn writer_over(&self, digest: &Digest) -> Result<BlobWriter> {
        let durable = self.0.readers.is_named(digest)?;
        BlobWriter::over(&self.0.layout, &self.0.disk, digest, durable)
    }

    /// Starts or goes on with a blob of known digest.
    ///
    /// # Errors
    /// [`Error::PartialBusy`] while another process fetches the same blob.
    pub fn partial(&self, digest: &Digest) -> Result<PartialBlob> {
        PartialBlob::open(&self.0.layout, &self.0.disk, digest)
    }

    /// Opens a blob, wherever it is linked. One that was found to be damaged is absent.
    ///
    /// # Errors
    /// When the file cannot be opened for another reason than that it is not there.
    pub fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        self.0.readers.blob(digest)
    }

    /// As [`Store::blob`], for callers that hash what they read: nothing is hashed twice.
    ///
    /// # Errors
    /// As [`Store::blob`].
    pub fn blob_to_hash(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        BlobFile::open(&self.0.layout, digest)
    }

    /// Hashes a blob, whatever is known of it, and moves it away if it is damaged; says whether a sound one is there.
    ///
    /// # Errors
    /// As [`Store::blob`].
    pub fn verify_blob(&self, digest: &Digest) -> Result<bool> {
        self.0.readers.verify(digest)
    }

    /// The size of a blob that is on disk, sound or not: see [`Store::blob`].
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

    /// What a manifest gives another size for than the store's content has: [`Store::commit`] refuses it.
    #[must_use]
    pub fn misfits(&self, manifest: &Manifest) -> Vec<Misfit> {
        misfits(&self.0.layout, manifest)
    }

    /// Flushes the blobs that the changes name and that no row names yet: a process that was killed may have left
    /// them so. What this process published is flushed already.
    pub(super) fn flush_named(&self, changes: &[Change]) -> Result<()> {
        let mut named = BTreeSet::new();
        for change in changes {
            match change {
                Change::LinkBlob { digest, .. } => {
                    named.insert(digest);
                }
                Change::PutManifest { manifest, .. } => {
                    let described = manifest.blobs().chain(manifest.children());
                    named.extend(described.map(|descriptor| &descriptor.digest));
                }
                _ => {}
            }
        }
        for digest in named {
            let path = self.0.layout.blob(digest);
            if self.0.disk.published(&path).is_some() || self.0.readers.is_named(digest)? {
                continue;
            }
            match File::open(&path) {
                Ok(file) => self.0.disk.flush_blob(&file, &path)?,
                // Whether it may be missing is for the change to say.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("open", &path)(error)),
            }
        }
        Ok(())
    }

    /// Bounds what unfinished uploads may take.
    pub fn limit_uploads(&self, limits: UploadLimits) {
        self.0.sessions.limit(limits);
    }

    /// Starts an upload session.
    ///
    /// # Errors
    /// [`Error::UploadQuota`], or when its file cannot be made.
    pub fn create_upload(&self, repository: &RepositoryName) -> Result<UploadId> {
        Upload::create(&self.0.layout, &self.0.disk, &self.0.sessions, repository)
    }

    /// Takes hold of an upload session; `None` if there is none of that name in the repository.
    ///
    /// # Errors
    /// [`Error::UploadBusy`] while another request holds it, of this process or another.
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

    /// Ends an upload session and forgets its bytes; says whether there was one. A request that holds it cannot
    /// publish it any more.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<bool> {
        Upload::cancel(&self.0.layout, &self.0.disk, repository, id)
    }

    /// Removes upload sessions that got nothing since `since` and that no request of any process holds; gives how
    /// many.
    ///
    /// # Errors
    /// When a session's file cannot be removed.
    pub fn expire_uploads(&self, since: SystemTime) -> Result<u64> {
        upload::expire(&self.0.layout, &self.0.disk, &self.0.sessions, since)
    }
}
