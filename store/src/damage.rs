//! Blobs that do not hash to their names: detected when they are requested, moved to `quarantine/`, and from then on
//! absent, so that the next push, mirror or import restores them.
//!
//! A small file is hashed when this process first uses it, and any file is hashed again after a change. A file that this
//! process published was hashed while it was written; a caller that hashes a file reports it (`record_hashed`).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use oci::{Digest, Hasher};
use private::{Hold, PATIENCE};

use crate::blob::{BUFFER, BlobFile};
use crate::durable::Disk;
use crate::layout::Layout;
use crate::{Error, Result};

/// A file of at most this size is hashed at its first use; `store check` hashes larger ones.
const SMALL: u64 = 16 << 20;

/// The maximum number of verdicts in memory; more files only cost another hash.
const MAX_VERDICTS: usize = 1 << 16;

/// Distinguishes the states of a file: no process can set a file's change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// Whether a file hashes to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sound,
    /// It is assumed to be sound: it is large, or this process made it durable.
    Unhashed,
    Damaged,
}

/// Checks blob files and caches the verdicts.
pub(crate) struct Inspector {
    layout: Layout,
    disk: Disk,
    /// Whether damaged files may be moved to the quarantine.
    writable: bool,
    seen: Mutex<HashMap<Digest, (Identity, Verdict)>>,
}

impl Inspector {
    pub(crate) fn new(layout: Layout, disk: Disk, writable: bool) -> Self {
        Self { layout, disk, writable, seen: Mutex::default() }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether an open blob hashes to its name, as far as is known; a damaged one is moved to the quarantine.
    pub(crate) fn verdict(&self, digest: &Digest, blob: &BlobFile) -> Result<Verdict> {
        let identity = blob.identity;
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        let published = self.disk.published(&self.layout.blob(digest));
        match known {
            Some((seen, verdict)) if seen == identity => Ok(verdict),
            Some(_) | None if published == Some(identity) => Ok(Verdict::Unhashed),
            None if identity.size > SMALL && published.is_none() => {
                self.cache(digest, identity, Verdict::Unhashed);
                Ok(Verdict::Unhashed)
            }
            Some(_) | None => self.inspect(digest, &blob.file),
        }
    }

    /// Records that the caller hashed a file in this state, and that it matches its name.
    pub(crate) fn record_hashed(&self, digest: &Digest, identity: Identity) {
        self.cache(digest, identity, Verdict::Sound);
    }

    /// Hashes an open blob; a damaged one is moved to the quarantine.
    pub(crate) fn inspect(&self, digest: &Digest, file: &File) -> Result<Verdict> {
        let path = self.layout.blob(digest);
        let identity = Identity::of(file).map_err(Error::io("read", &path))?;
        let verdict = match hash(file, digest) {
            Ok(found) if found == *digest => Verdict::Sound,
            // A file that the disk cannot read is damaged.
            Ok(_) | Err(_) => Verdict::Damaged,
        };
        self.cache(digest, identity, verdict);
        if verdict == Verdict::Damaged
            && let Err(error) = self.quarantine(digest, identity)
        {
            // The blob is still not returned.
            tracing::error!(%digest, %error, "cannot move a damaged blob to `quarantine/`");
        }
        Ok(verdict)
    }

    fn cache(&self, digest: &Digest, identity: Identity, verdict: Verdict) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_VERDICTS {
            seen.clear();
        }
        seen.insert(digest.clone(), (identity, verdict));
    }

    /// Moves a damaged file to the quarantine, unless another file has replaced it meanwhile.
    fn quarantine(&self, digest: &Digest, damaged: Identity) -> Result<()> {
        tracing::error!(%digest, "the file of a blob is damaged; push, mirror or import it again");
        if !self.writable {
            return Ok(());
        }
        let (shard, path) = (self.layout.shard(digest), self.layout.blob(digest));
        let folder = File::open(&shard).map_err(Error::io("open", &shard))?;
        let folder = private::hold(folder, &shard, Hold::Alone, PATIENCE)?;
        let current = File::open(&path).and_then(|file| Identity::of(&file));
        if current.is_ok_and(|current| current == damaged) {
            set_aside(&self.layout, &path)?;
            private::sync_open_folder(&folder).map_err(Error::io("flush", &shard))?;
        }
        Ok(())
    }
}

/// Hashes an open file without changing its position.
fn hash(file: &File, digest: &Digest) -> io::Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Moves a file to the quarantine, and returns its name there.
pub(crate) fn set_aside(layout: &Layout, path: &Path) -> Result<String> {
    let folder = layout.quarantine();
    private::create_folder(&folder).map_err(Error::io("create", &folder))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    private::rename(path, &folder.join(&name)).map_err(Error::io("move", path))?;
    Ok(name)
}
