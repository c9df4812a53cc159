//! Reading and writing blobs, and upload sessions.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::time::SystemTime;

use oci::{Algorithm, Digest, Manifest, RepositoryName};

use super::Store;
use crate::apply::{SizeMismatch, size_mismatches};
use crate::blob::{BlobFile, BlobWriter, PartialBlob};
use crate::change::Change;
use crate::damage::Identity;
use crate::unflushed::{SMALL, SMALL_TOTAL};
use crate::upload::{self, Upload, UploadId, UploadLimits};
use crate::writer::Content;
use crate::{Error, Result, keep};

impl Store {
    /// Starts a blob whose digest is known only after its last byte.
    ///
    /// # Errors
    /// When the temporary file cannot be created.
    pub fn writer(&self, algorithm: Algorithm) -> Result<BlobWriter> {
        BlobWriter::create(&self.0.layout, &self.0.disk, algorithm)
    }

    /// Starts a blob with a known digest whose bytes arrive whether or not the store has it: an existing blob is compared
    /// with them, kept if it is equal, and replaced if it is not.
    ///
    /// # Errors
    /// When the temporary file cannot be created, or the database fails.
    pub fn writer_over(&self, digest: &Digest) -> Result<BlobWriter> {
        // An existing blob that nothing needs must stay until it is named.
        self.has_blob(digest)?;
        let durable = self.0.readers.is_named(digest)?;
        BlobWriter::over(&self.0.layout, &self.0.disk, digest, durable)
    }

    /// Starts or resumes a blob with a known digest.
    ///
    /// # Errors
    /// [`Error::PartialBusy`] while another process fetches the same blob.
    pub fn partial(&self, digest: &Digest) -> Result<PartialBlob> {
        PartialBlob::open(&self.0.layout, &self.0.disk, digest)
    }

    /// Opens a blob, whichever repository it is linked to. A blob that was found to be damaged counts as absent.
    ///
    /// # Errors
    /// When the file exists but cannot be opened.
    pub fn blob(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        self.0.readers.blob(digest)
    }

    /// As [`Store::blob`], for callers that hash the bytes themselves: nothing is hashed twice.
    ///
    /// # Errors
    /// As [`Store::blob`].
    pub fn blob_to_hash(&self, digest: &Digest) -> Result<Option<BlobFile>> {
        BlobFile::open(&self.0.layout, digest)
    }

    /// Hashes a blob in any case, moves it to the quarantine if it is damaged, and returns whether an intact one exists.
    ///
    /// # Errors
    /// As [`Store::blob`].
    pub fn verify_blob(&self, digest: &Digest) -> Result<bool> {
        self.0.readers.verify(digest)
    }

    /// Records that the caller read all bytes of [`BlobFile::file`], and that they hash to the blob's name.
    pub fn record_hashed(&self, digest: &Digest, identity: Identity) {
        self.0.readers.record_hashed(digest, identity);
    }

    /// The size of a blob that is on disk, intact or not: see [`Store::blob`]. The caller may rely on the blob: garbage
    /// collection by other processes keeps it for the next hours, even if no row needs it.
    ///
    /// # Errors
    /// As [`Store::blob`].
    pub fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = self.0.layout.blob(digest);
        match fs::metadata(&path) {
            Ok(other) if !other.is_file() => Ok(None),
            Ok(file) if self.is_read_only() || keep::is_recent(&file, self.0.grace) => Ok(Some(file.len())),
            Ok(file) if self.0.readers.is_needed(digest)? => Ok(Some(file.len())),
            Ok(_) => keep::claim(&self.0.layout, digest),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// The content whose size in the manifest differs from its size in the store: [`Store::commit`] rejects such a manifest.
    #[must_use]
    pub fn size_mismatches(&self, manifest: &Manifest) -> Vec<SizeMismatch> {
        size_mismatches(&self.0.layout, manifest)
    }

    /// Makes the blobs durable that the changes name and that may not be durable yet: those that this process published
    /// without a flush, and those that no row names, because a killed process may have left them unflushed. Returns the
    /// content of small ones, which the commit keeps; others are flushed.
    pub(super) fn secure_named(&self, changes: &[Change]) -> Result<Content> {
        let mut named = BTreeSet::new();
        for change in changes {
            match change.bare() {
                Change::LinkBlob { digest, .. } => {
                    named.insert(digest);
                }
                Change::PutManifest { digest, manifest, .. }
                | Change::PushManifest { digest, manifest, .. }
                | Change::Hold { digest, manifest, .. } => {
                    named.insert(digest);
                    let described = manifest.blobs().chain(manifest.children());
                    named.extend(described.map(|descriptor| &descriptor.digest));
                }
                _ => {}
            }
        }
        let (mut content, mut room) = (Content::new(), SMALL_TOTAL);
        for digest in named {
            let (path, disk) = (self.0.layout.blob(digest), &self.0.disk);
            let is_durable =
                || Ok::<_, Error>(disk.published(&path).is_some() || self.0.readers.is_named(digest)?);
            if !disk.is_deferred(&path) && is_durable()? {
                continue;
            }
            // A damaged blob counts as missing; the change decides whether it may be.
            match self.0.readers.blob(digest)? {
                Some(mut blob) if blob.size <= SMALL.min(room) => {
                    let mut bytes = Vec::new();
                    blob.file.read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
                    room = room.saturating_sub(bytes.len() as u64);
                    content.push((digest.clone(), bytes));
                }
                Some(blob) => disk.flush_blob(&blob.file, &path)?,
                None => {}
            }
        }
        Ok(content)
    }

    /// Sets the limits for unfinished uploads.
    pub fn limit_uploads(&self, limits: UploadLimits) {
        self.0.sessions.limit(limits);
    }

    /// Starts an upload session.
    ///
    /// # Errors
    /// [`Error::UploadQuota`], or when its file cannot be created.
    pub fn create_upload(&self, repository: &RepositoryName) -> Result<UploadId> {
        Upload::create(&self.0.layout, &self.0.disk, &self.0.sessions, repository)
    }

    /// Claims an upload session; `None` if the repository has no session with that ID.
    ///
    /// # Errors
    /// [`Error::UploadBusy`] while another request of this or another process holds it.
    pub fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<Upload>> {
        Upload::open(&self.0.layout, &self.0.disk, &self.0.sessions, repository, id)
    }

    /// How many bytes an upload session holds. Works also while another request writes to it.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn upload_offset(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<u64>> {
        Upload::offset_of(&self.0.layout, repository, id)
    }

    /// Ends an upload session, discards its bytes, and returns whether it existed. A request that holds it can no longer
    /// publish it.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn cancel_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<bool> {
        Upload::cancel(&self.0.layout, &self.0.disk, repository, id)
    }

    /// Removes upload sessions that received no data since `since` and that no request of any process holds, and returns
    /// their number.
    ///
    /// # Errors
    /// When a session's file cannot be removed.
    pub fn expire_uploads(&self, since: SystemTime) -> Result<u64> {
        upload::expire(&self.0.layout, &self.0.disk, &self.0.sessions, since)
    }
}
