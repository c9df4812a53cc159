//! Reading and writing blobs; `intake`: the files that hold a blob until it is published.

mod intake;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Hasher};
use private::Holders;

use self::intake::{Existing, TEMPORARY, Temporary};
use crate::damage::Identity;
use crate::durable::{Disk, Publication, Step};
use crate::exclusive;
use crate::layout::Layout;
use crate::reading::open_blob;
use crate::write_behind::write_behind;
use crate::{Error, Result};

/// The buffer size for reading and hashing.
pub(crate) const BUFFER: usize = 256 * 1024;

/// A blob opened for reading.
#[derive(Debug)]
pub struct BlobFile {
    /// The open file.
    pub file: File,
    /// Its size in bytes.
    pub size: u64,
    /// The state of the file when it was opened.
    pub identity: Identity,
    /// Whether this process hashed the file in this state.
    pub hashed: bool,
}

impl BlobFile {
    pub(crate) fn open(layout: &Layout, digest: &Digest) -> Result<Option<Self>> {
        let path = layout.blob(digest);
        match open_blob(&path) {
            Ok(file) => {
                let identity = Identity::of(&file).map_err(Error::io("read", &path))?;
                Ok(Some(Self { file, size: identity.size(), identity, hashed: false }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }
}

/// A file that is written and hashed at the same time.
struct Sink {
    disk: Disk,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    len: u64,
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.write_unhashed(bytes)
    }

    fn write_unhashed(&mut self, bytes: &[u8]) -> Result<()> {
        self.disk.step(Step::Write, &self.path).map_err(Error::io("write", &self.path))?;
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        let before = self.len;
        self.len += bytes.len() as u64;
        write_behind(&self.file, before, self.len);
        Ok(())
    }
}

/// Writes a blob whose digest is not known yet, or one that may already exist. Dropping it removes the written bytes.
pub struct BlobWriter {
    layout: Layout,
    disk: Disk,
    content: Content,
    hasher: Hasher,
    len: u64,
}

/// The file that holds a writer's bytes.
enum Content {
    /// A new temporary file.
    New(Temporary),
    /// The existing blob, which has equalled the bytes so far.
    Same(Existing),
}

impl BlobWriter {
    pub(crate) fn create(layout: &Layout, disk: &Disk, algorithm: Algorithm) -> Result<Self> {
        let content = Content::New(Temporary::create(layout, disk)?);
        let (layout, disk) = (layout.clone(), disk.clone());
        Ok(Self { layout, disk, content, hasher: Hasher::new(algorithm), len: 0 })
    }

    /// Makes a writer that writes nothing as long as the bytes equal those of the existing blob. `durable` states whether
    /// a row names that blob.
    pub(crate) fn over(layout: &Layout, disk: &Disk, digest: &Digest, durable: bool) -> Result<Self> {
        let Some(existing) = Existing::open(layout, digest, durable)? else {
            return Self::create(layout, disk, digest.algorithm());
        };
        let (layout, disk) = (layout.clone(), disk.clone());
        let hasher = Hasher::new(digest.algorithm());
        Ok(Self { layout, disk, content: Content::Same(existing), hasher, len: 0 })
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.write_unhashed(bytes)
    }

    fn write_unhashed(&mut self, bytes: &[u8]) -> Result<()> {
        if let Content::Same(existing) = &mut self.content
            && !existing.continues_with(bytes, self.len)
        {
            let copy = existing.copy(self.len, Temporary::create(&self.layout, &self.disk)?)?;
            self.content = Content::New(copy);
        }
        if let Content::New(temporary) = &mut self.content {
            temporary.write(&self.disk, bytes, self.len)?;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Whether a blob exists that differs from the written bytes.
    #[must_use]
    pub fn differs(&self) -> bool {
        match &self.content {
            Content::Same(existing) => existing.size != self.len,
            Content::New(temporary) => temporary.is_copy(),
        }
    }

    /// The digest of the written bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// How many bytes were written.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Splits the writer, so that one thread can hash what another one writes: hashing costs as much as writing.
    #[must_use]
    pub fn split(mut self) -> (UnhashedBlob, BlobHasher) {
        let fresh = Hasher::new(self.hasher.algorithm());
        let hasher = std::mem::replace(&mut self.hasher, fresh);
        let len = self.len;
        (UnhashedBlob(self), BlobHasher { hasher, len })
    }

    /// Publishes the blob durably under its digest, and returns digest and size.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes do not hash to `expected`; then nothing is kept.
    pub fn publish(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        self.publish_as(expected, Publication::Durable)
    }

    /// As [`Self::publish`], but a small blob may become durable only with the commit that names it.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn publish_for_commit(self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        self.publish_as(expected, Publication::ForCommit)
    }

    fn publish_as(mut self, expected: Option<&Digest>, publication: Publication) -> Result<(Digest, u64)> {
        let found = self.hasher.clone().finish();
        if let Some(expected) = expected
            && *expected != found
        {
            return Err(Error::DigestMismatch { expected: expected.clone(), found });
        }
        let target = self.layout.blob(&found);
        if let Content::Same(existing) = &self.content
            && (existing.size != self.len || existing.target != target)
        {
            let copy = existing.copy(self.len, Temporary::create(&self.layout, &self.disk)?)?;
            self.content = Content::New(copy);
        }
        match &mut self.content {
            Content::Same(existing) if existing.durable || self.disk.published(&target).is_some() => {}
            Content::Same(existing) => self.disk.flush_blob(&existing.file, &target)?,
            Content::New(temporary) => temporary.publish(&self.disk, &found, &target, publication)?,
        }
        Ok((found, self.len))
    }
}

/// The half of a [`BlobWriter`] that writes. It can be published only after it is joined with the other half.
pub struct UnhashedBlob(BlobWriter);

impl UnhashedBlob {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_unhashed(bytes)
    }

    /// Joins the two halves of a writer.
    ///
    /// # Errors
    /// [`Error::HalvesDiffer`] when the two halves did not receive the same number of bytes.
    pub fn join(mut self, hasher: BlobHasher) -> Result<BlobWriter> {
        if hasher.len != self.0.len {
            return Err(Error::HalvesDiffer { written: self.0.len, hashed: hasher.len });
        }
        self.0.hasher = hasher.hasher;
        Ok(self.0)
    }
}

/// The half of a [`BlobWriter`] that hashes.
pub struct BlobHasher {
    hasher: Hasher,
    len: u64,
}

impl BlobHasher {
    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }
}

/// A blob with a known digest that may arrive in several runs. Dropping it keeps the written bytes.
pub struct PartialBlob {
    layout: Layout,
    digest: Digest,
    sink: Sink,
}

impl PartialBlob {
    pub(crate) fn open(layout: &Layout, disk: &Disk, digest: &Digest) -> Result<Self> {
        let path = layout.partial(digest);
        disk.step(Step::Create, &path).map_err(Error::io("create", &path))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let busy = || Error::PartialBusy { digest: digest.clone(), holders: Holders::of(&[&path]) };
        let file = exclusive::open_alone(disk, &path, &mut options, busy)?;
        let gone = || Error::io("open", &path)(io::ErrorKind::NotFound.into());
        let mut file = file.ok_or_else(gone)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let len = hash_file(&mut file, &path, &mut hasher)?;
        let sink = Sink { disk: disk.clone(), path, file, hasher, len };
        Ok(Self { layout: layout.clone(), digest: digest.clone(), sink })
    }

    /// How many bytes were written, in this run and earlier ones.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.sink.len
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sink.len == 0
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.sink.write(bytes)
    }

    /// The digest of the bytes written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.sink.hasher.clone().finish()
    }

    /// Discards the bytes written so far, for a source that cannot resume.
    ///
    /// # Errors
    /// When the file cannot be truncated.
    pub fn truncate(&mut self) -> Result<()> {
        let path = &self.sink.path;
        self.sink.file.set_len(0).map_err(Error::io("truncate", path))?;
        self.sink.file.seek(SeekFrom::Start(0)).map_err(Error::io("truncate", path))?;
        self.sink.hasher = Hasher::new(self.digest.algorithm());
        self.sink.len = 0;
        Ok(())
    }

    /// Publishes the blob durably under its digest, and returns its size.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes have another digest; they are discarded, so that the next run starts
    /// from the beginning.
    pub fn publish(mut self) -> Result<u64> {
        let found = self.sink.hasher.clone().finish();
        if found != self.digest {
            self.truncate()?;
            return Err(Error::DigestMismatch { expected: self.digest.clone(), found });
        }
        let Sink { disk, path, file, len, .. } = &self.sink;
        disk.publish_blob(file, path, &self.layout.blob(&self.digest), Publication::Durable)?;
        Ok(*len)
    }
}

/// The path of a new temporary file. If its process ends, the next open removes the file.
pub(crate) fn temporary_path(layout: &Layout) -> Result<PathBuf> {
    Ok(layout.uploads().join(format!("{TEMPORARY}{}", random_name()?)))
}

/// A name of 128 random bits in hex.
pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Hashes a file from its start, leaves its position at the end, and returns its length.
pub(crate) fn hash_file(file: &mut File, path: &Path, hasher: &mut Hasher) -> Result<u64> {
    hash_rest(file, 0, hasher).map_err(Error::io("read", path))
}

/// Hashes a file from the offset `from`, leaves its position at the end, and returns the number of hashed bytes.
pub(crate) fn hash_rest(file: &mut File, from: u64, hasher: &mut Hasher) -> io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let mut buffer = vec![0; BUFFER];
    let mut len = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(len),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                len += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes temporary files of processes that ended. No other process has the store open.
pub(crate) fn remove_stale(layout: &Layout) {
    for entry in fs::read_dir(layout.uploads()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
