//! The files that hold a blob's bytes until it is published: a temporary file, or the existing blob.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use oci::{Digest, Hasher};

use super::{BUFFER, hash_file, temporary_path};
use crate::durable::{Disk, Publication, Step};
use crate::layout::Layout;
use crate::reading::{is_of_the_file, open_blob};
use crate::write_behind::write_behind;
use crate::{Error, Result};

/// The prefix of the names of temporary files.
pub(super) const TEMPORARY: &str = "tmp-";

/// A file with a random name. Dropping it removes it.
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
    /// Whether it contains bytes that were copied from another file, and so not hashed on their way.
    copied: bool,
    published: bool,
}

impl Temporary {
    pub(super) fn create(layout: &Layout, disk: &Disk) -> Result<Self> {
        let path = temporary_path(layout)?;
        disk.step(Step::Create, &path).map_err(Error::io("create", &path))?;
        let mut options = OpenOptions::new();
        let file = private::open(options.read(true).write(true).create_new(true), &path)
            .map_err(Error::io("create", &path))?;
        Ok(Self { path, file, copied: false, published: false })
    }

    /// Whether it began as a copy of another file, which it replaces.
    pub(super) fn is_copy(&self) -> bool {
        self.copied
    }

    /// Writes the next bytes, after the first `before` bytes.
    pub(super) fn write(&mut self, disk: &Disk, bytes: &[u8], before: u64) -> Result<()> {
        disk.step(Step::Write, &self.path).map_err(Error::io("write", &self.path))?;
        self.file.write_all(bytes).map_err(Error::io("write", &self.path))?;
        write_behind(&self.file, before, before + bytes.len() as u64);
        Ok(())
    }

    /// Publishes the file as the blob `digest`, which is the hash of the written bytes.
    pub(super) fn publish(
        &mut self,
        disk: &Disk,
        digest: &Digest,
        target: &Path,
        publication: Publication,
    ) -> Result<()> {
        if self.copied {
            let mut hasher = Hasher::new(digest.algorithm());
            hash_file(&mut self.file, &self.path, &mut hasher)?;
            let found = hasher.finish();
            if found != *digest {
                return Err(Error::DigestMismatch { expected: digest.clone(), found });
            }
        }
        disk.publish_blob(&self.file, &self.path, target, publication)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The existing blob, compared with the incoming bytes.
pub(super) struct Existing {
    pub(super) target: PathBuf,
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) durable: bool,
    buffer: Vec<u8>,
}

impl Existing {
    pub(super) fn open(layout: &Layout, digest: &Digest, durable: bool) -> Result<Option<Self>> {
        let target = layout.blob(digest);
        let file = match open_blob(&target) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // It is replaced.
            Err(error) if is_of_the_file(&error) => return Ok(None),
            Err(error) => return Err(Error::io("open", &target)(error)),
        };
        let found = file.metadata().map_err(Error::io("read", &target))?;
        if !found.is_file() {
            return Ok(None);
        }
        let size = found.len();
        Ok(Some(Self { target, file, size, durable, buffer: Vec::new() }))
    }

    /// Whether its content at `at` equals `bytes`. Unreadable content counts as different.
    pub(super) fn continues_with(&mut self, bytes: &[u8], at: u64) -> bool {
        self.buffer.resize(bytes.len(), 0);
        self.file.read_exact_at(&mut self.buffer, at).is_ok() && self.buffer == bytes
    }

    /// Copies its first `len` bytes to a temporary file.
    pub(super) fn copy(&self, len: u64, mut to: Temporary) -> Result<Temporary> {
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        while at < len {
            let count = usize::try_from(len - at).unwrap_or(BUFFER).min(BUFFER);
            self.file.read_exact_at(&mut buffer[..count], at).map_err(Error::io("read", &self.target))?;
            to.file.write_all(&buffer[..count]).map_err(Error::io("write", &to.path))?;
            at += count as u64;
        }
        to.copied = true;
        Ok(to)
    }
}
