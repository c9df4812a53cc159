//! Blobs on their way in and out; `intake`: the files that a blob is in until it is published.

mod intake;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use oci::{Algorithm, Digest, Hasher};
use private::Holders;

use self::intake::{Existing, TEMPORARY, Temporary};
use crate::commit::{Disk, Step};
use crate::layout::Layout;
use crate::locks;
use crate::write_behind::write_behind;
use crate::{Error, Result};

/// Read and hash in pieces of this size.
pub(crate) const BUFFER: usize = 256 * 1024;

/// A blob opened for reading.
#[derive(Debug)]
pub struct BlobFile {
    /// The bytes.
    pub file: File,
    /// How many there are.
    pub size: u64,
}

impl BlobFile {
    pub(crate) fn open(layout: &Layout, digest: &Digest) -> Result<Option<Self>> {
        let path = layout.blob(digest);
        match File::open(&path) {
            Ok(file) => {
                let size = file.metadata().map_err(Error::io("read", &path))?.len();
                Ok(Some(Self { file, size }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }
}

/// A file that is being written and hashed at once.
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

/// A blob of yet unknown digest, or of a known one that is there already. Dropping it removes what was written.
pub struct BlobWriter {
    layout: Layout,
    disk: Disk,
    place: Place,
    hasher: Hasher,
    len: u64,
}

/// Where a writer's bytes are.
enum Place {
    /// In a file of its own.
    New(Temporary),
    /// In the blob that is there, which was the same so far.
    Same(Existing),
}

impl BlobWriter {
    pub(crate) fn create(layout: &Layout, disk: &Disk, algorithm: Algorithm) -> Result<Self> {
        let place = Place::New(Temporary::create(layout, disk)?);
        let (layout, disk) = (layout.clone(), disk.clone());
        Ok(Self { layout, disk, place, hasher: Hasher::new(algorithm), len: 0 })
    }

    /// Writes nothing as long as the bytes are those of the blob that is there. `durable` says whether a row names it.
    pub(crate) fn over(layout: &Layout, disk: &Disk, digest: &Digest, durable: bool) -> Result<Self> {
        let Some(existing) = Existing::open(layout, digest, durable)? else {
            return Self::create(layout, disk, digest.algorithm());
        };
        let (layout, disk) = (layout.clone(), disk.clone());
        let hasher = Hasher::new(digest.algorithm());
        Ok(Self { layout, disk, place: Place::Same(existing), hasher, len: 0 })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.write_unhashed(bytes)
    }

    fn write_unhashed(&mut self, bytes: &[u8]) -> Result<()> {
        if let Place::Same(existing) = &mut self.place
            && !existing.continues_with(bytes, self.len)
        {
            let copy = existing.copy(self.len, Temporary::create(&self.layout, &self.disk)?)?;
            self.place = Place::New(copy);
        }
        if let Place::New(temporary) = &mut self.place {
            temporary.write(&self.disk, bytes, self.len)?;
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Whether there is a blob that differs from the bytes that were taken.
    #[must_use]
    pub fn differs(&self) -> bool {
        match &self.place {
            Place::Same(existing) => existing.size != self.len,
            Place::New(temporary) => temporary.is_copy(),
        }
    }

    /// What the bytes that were taken hash to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// How many bytes were taken.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Parts the writer, so that one thread can hash what another writes: hashing costs as much as writing.
    #[must_use]
    pub fn split(mut self) -> (UnhashedBlob, BlobHasher) {
        let fresh = Hasher::new(self.hasher.algorithm());
        let hasher = std::mem::replace(&mut self.hasher, fresh);
        let len = self.len;
        (UnhashedBlob(self), BlobHasher { hasher, len })
    }

    /// Makes the blob durable under its digest; gives digest and size.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes do not hash to `expected`; nothing is kept then.
    pub fn publish(mut self, expected: Option<&Digest>) -> Result<(Digest, u64)> {
        let found = self.hasher.clone().finish();
        if let Some(expected) = expected
            && *expected != found
        {
            return Err(Error::DigestMismatch { expected: expected.clone(), found });
        }
        let target = self.layout.blob(&found);
        if let Place::Same(existing) = &self.place
            && (existing.size != self.len || existing.target != target)
        {
            let copy = existing.copy(self.len, Temporary::create(&self.layout, &self.disk)?)?;
            self.place = Place::New(copy);
        }
        match &mut self.place {
            Place::Same(existing) if existing.durable || self.disk.published(&target).is_some() => {}
            Place::Same(existing) => self.disk.flush_blob(&existing.file, &target)?,
            Place::New(temporary) => temporary.publish(&self.disk, &found, &target)?,
        }
        Ok((found, self.len))
    }
}

/// The half of a [`BlobWriter`] that writes. It cannot be published before the other half is back.
pub struct UnhashedBlob(BlobWriter);

impl UnhashedBlob {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_unhashed(bytes)
    }

    /// The whole writer again.
    ///
    /// # Errors
    /// [`Error::HalvesDiffer`] when the two halves did not take the same number of bytes.
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
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }
}

/// A blob of known digest that may arrive in several runs. Dropping it keeps what was written.
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
        let file = locks::open_alone(disk, &path, &mut options, busy)?;
        let gone = || Error::io("open", &path)(io::ErrorKind::NotFound.into());
        let mut file = file.ok_or_else(gone)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let len = hash_file(&mut file, &path, &mut hasher)?;
        let sink = Sink { disk: disk.clone(), path, file, hasher, len };
        Ok(Self { layout: layout.clone(), digest: digest.clone(), sink })
    }

    /// How many bytes are there, from this run and earlier ones.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.sink.len
    }

    /// Whether nothing is there yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sink.len == 0
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.sink.write(bytes)
    }

    /// What the bytes that are there hash to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.sink.hasher.clone().finish()
    }

    /// Forgets what is there, for a source that cannot resume.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub fn truncate(&mut self) -> Result<()> {
        let path = &self.sink.path;
        self.sink.file.set_len(0).map_err(Error::io("truncate", path))?;
        self.sink.file.seek(SeekFrom::Start(0)).map_err(Error::io("truncate", path))?;
        self.sink.hasher = Hasher::new(self.digest.algorithm());
        self.sink.len = 0;
        Ok(())
    }

    /// Makes the blob durable under its digest; gives its size.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes are others; they are thrown away, so that the next run starts
    /// afresh.
    pub fn publish(mut self) -> Result<u64> {
        let found = self.sink.hasher.clone().finish();
        if found != self.digest {
            self.truncate()?;
            return Err(Error::DigestMismatch { expected: self.digest.clone(), found });
        }
        let Sink { disk, path, file, len, .. } = &self.sink;
        disk.publish_blob(file, path, &self.layout.blob(&self.digest))?;
        Ok(*len)
    }
}

/// 128 random bits as hex.
pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

/// Hashes a file from its start and leaves it at its end; gives its length.
pub(crate) fn hash_file(file: &mut File, path: &Path, hasher: &mut Hasher) -> Result<u64> {
    hash_rest(file, path, 0, hasher)
}

/// Hashes a file's bytes from `from` on and leaves it at its end; gives how many they are.
pub(crate) fn hash_rest(file: &mut File, path: &Path, from: u64, hasher: &mut Hasher) -> Result<u64> {
    file.seek(SeekFrom::Start(from)).map_err(Error::io("read", path))?;
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
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
}

/// Temporary files of processes that are gone: nobody else has the store open.
pub(crate) fn remove_stale(layout: &Layout) {
    for entry in fs::read_dir(layout.uploads()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
