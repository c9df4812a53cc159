//! Blobs that do not hash to their names: detected when they are requested or scrubbed, moved to `quarantine/`, and from
//! then on absent, so that the next push, mirror or import restores them.
//!
//! A small file is hashed when this process first uses it, and any file is hashed again after a change. A file that this
//! process published was hashed while it was written; a caller that hashes a file reports it (`record_hashed`). A file that
//! the disk cannot read is absent, too, but stays where it is: its bytes may be intact. Whatever is found is recorded in the
//! database, and the store's observer learns of it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use oci::Digest;
use private::{Hold, PATIENCE};

use crate::blob::{BlobFile, random_name};
use crate::change::Change;
use crate::durable::Disk;
use crate::health::{Damage, DamageKind, HealthChange, HealthRows};
use crate::layout::Layout;
use crate::reading::{Reading, open_blob, read_blob};
use crate::writer::Queue;
use crate::{Error, Result};

/// A file of at most this size is hashed at its first use; `store check` hashes larger ones.
const SMALL: u64 = 16 << 20;

/// The maximum number of verdicts in memory; more files only cost another hash.
const MAX_VERDICTS: usize = 1 << 16;

/// How long a file that could not be read is not read again.
const UNREADABLE: Duration = Duration::from_mins(1);

/// Distinguishes the states of a file: no process can set a file's change time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    is_file: bool,
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
            is_file: found.is_file(),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    /// For the database. The number of a device may change when the system starts again.
    pub(crate) fn text(&self) -> String {
        let Self { inode, size, changed: (seconds, nanoseconds), .. } = self;
        format!("{inode} {size} {seconds}.{nanoseconds}")
    }
}

/// Whether a file hashes to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Sound,
    /// It is assumed to be sound: it is large, or this process made it durable.
    Unhashed,
    /// It is wrong and was moved away, or it cannot be read.
    Damaged(DamageKind),
    /// The caller stopped.
    Stopped,
}

impl Verdict {
    /// Whether the blob may be used.
    pub(crate) fn is_usable(self) -> bool {
        matches!(self, Self::Sound | Self::Unhashed)
    }
}

/// Learns of each damaged blob that is found.
pub(crate) type DamageObserver = dyn Fn(&Damage) + Send + Sync;

/// Checks blob files and caches the verdicts.
pub(crate) struct Inspector {
    layout: Layout,
    disk: Disk,
    /// Where damage is recorded; without it, nothing may be changed.
    queue: Option<Queue>,
    observer: OnceLock<Arc<DamageObserver>>,
    seen: Mutex<HashMap<Digest, (Identity, Verdict, Instant)>>,
}

impl Inspector {
    pub(crate) fn new(layout: Layout, disk: Disk, queue: Option<Queue>) -> Self {
        Self { layout, disk, queue, observer: OnceLock::new(), seen: Mutex::default() }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Sets the observer. Only the first call has an effect.
    pub(crate) fn observe(&self, observer: Arc<DamageObserver>) {
        let _ = self.observer.set(observer);
    }

    /// Whether an open blob hashes to its name, as far as is known; a damaged one is moved to the quarantine.
    pub(crate) fn verdict(&self, digest: &Digest, blob: &BlobFile) -> Result<Verdict> {
        let identity = blob.identity;
        let known = self.known(digest);
        let published = self.disk.published(&self.layout.blob(digest));
        match known {
            Some((seen, verdict)) if seen == identity => Ok(verdict),
            Some(_) | None if published == Some(identity) => Ok(Verdict::Unhashed),
            None if identity.is_file && identity.size > SMALL && published.is_none() => {
                self.cache(digest, identity, Verdict::Unhashed);
                Ok(Verdict::Unhashed)
            }
            Some(_) | None => self.inspect(digest, &blob.file, &mut |_| true),
        }
    }

    fn known(&self, digest: &Digest) -> Option<(Identity, Verdict)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (identity, verdict, at) = seen.get(digest)?;
        let is_current = *verdict != Verdict::Damaged(DamageKind::Unreadable) || at.elapsed() < UNREADABLE;
        is_current.then_some((*identity, *verdict))
    }

    /// Records that the caller hashed a file in this state, and that it matches its name.
    pub(crate) fn record_hashed(&self, digest: &Digest, identity: Identity) {
        self.cache(digest, identity, Verdict::Sound);
    }

    /// Hashes an open blob; a damaged one is moved to the quarantine. `watch` gets the number of bytes of each piece, and
    /// returns whether to go on.
    pub(crate) fn inspect(
        &self,
        digest: &Digest,
        file: &File,
        watch: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Verdict> {
        let path = self.layout.blob(digest);
        let identity = Identity::of(file).map_err(Error::io("read", &path))?;
        let kind = if identity.is_file {
            match read_blob(file, digest, watch).map_err(Error::io("read", &path))? {
                Reading::Stopped => return Ok(Verdict::Stopped),
                Reading::Sound => {
                    self.cache(digest, identity, Verdict::Sound);
                    return Ok(Verdict::Sound);
                }
                Reading::Wrong(found) => {
                    tracing::error!(%digest, %found, "a blob is damaged; push, mirror or import it again");
                    DamageKind::Content
                }
                Reading::Unreadable(error) => {
                    tracing::error!(%digest, %error, "the disk cannot read a blob");
                    DamageKind::Unreadable
                }
            }
        } else {
            tracing::error!(%digest, "the path of a blob is not a regular file");
            DamageKind::NotAFile
        };
        Ok(self.condemn(digest, identity, kind))
    }

    /// Records a blob that cannot be opened.
    pub(crate) fn cannot_open(&self, digest: &Digest, error: &io::Error) {
        tracing::error!(%digest, %error, "a blob cannot be opened");
        self.report(Damage::now(digest, DamageKind::Unreadable, None));
    }

    fn condemn(&self, digest: &Digest, identity: Identity, kind: DamageKind) -> Verdict {
        let verdict = Verdict::Damaged(kind);
        if kind == DamageKind::Unreadable {
            let was = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
            self.cache(digest, identity, verdict);
            // It is read again from time to time, and reported once.
            if !was.is_some_and(|(seen, was, _)| (seen, was) == (identity, verdict)) {
                self.report(Damage::now(digest, kind, Some(identity.text())));
            }
            return verdict;
        }
        self.cache(digest, identity, verdict);
        match self.quarantine(digest, identity) {
            Ok(true) => self.report(Damage::now(digest, kind, None)),
            Ok(false) => {}
            // The blob is still not returned.
            Err(error) => tracing::error!(%digest, %error, "cannot move a damaged blob to `quarantine/`"),
        }
        verdict
    }

    /// Records damage, and notifies the observer.
    pub(crate) fn report(&self, damage: Damage) {
        let Some(queue) = &self.queue else { return };
        if let Some(observer) = self.observer.get() {
            observer(&damage);
        }
        queue.post(vec![Change::Health(HealthChange(HealthRows::Damaged(damage)))]);
    }

    fn cache(&self, digest: &Digest, identity: Identity, verdict: Verdict) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_VERDICTS {
            seen.clear();
        }
        seen.insert(digest.clone(), (identity, verdict, Instant::now()));
    }

    /// Moves a damaged file to the quarantine, unless another file has replaced it meanwhile; returns whether it did.
    fn quarantine(&self, digest: &Digest, damaged: Identity) -> Result<bool> {
        if self.queue.is_none() {
            return Ok(false);
        }
        let (shard, path) = (self.layout.shard(digest), self.layout.blob(digest));
        let folder = File::open(&shard).map_err(Error::io("open", &shard))?;
        let folder = private::hold(folder, &shard, Hold::Alone, PATIENCE)?;
        let current = open_blob(&path).and_then(|file| Identity::of(&file));
        if !current.is_ok_and(|current| current == damaged) {
            return Ok(false);
        }
        set_aside(&self.layout, &path)?;
        private::sync_open_folder(&folder).map_err(Error::io("flush", &shard))?;
        Ok(true)
    }
}

/// Moves a file to the quarantine, and returns its name there. It replaces an older file of that name.
pub(crate) fn set_aside(layout: &Layout, path: &Path) -> Result<String> {
    let folder = layout.quarantine();
    private::create_folder(&folder).map_err(Error::io("create", &folder))?;
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
    let target = folder.join(&name);
    if target.symlink_metadata().is_ok() && !(is_file(&target) && is_file(path)) {
        name = format!("{name}-{}", random_name()?);
    }
    private::rename(path, &folder.join(&name)).map_err(Error::io("move", path))?;
    Ok(name)
}
