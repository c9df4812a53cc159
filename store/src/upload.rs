//! Upload sessions: files in `uploads/` that survive a restart. The file's length is the source of truth; the running
//! hash is kept in memory and recomputed from the file if it is lost.
//!
//! A session is claimed before its file is used: within the process by its ID, between processes by a lock on the open
//! file, whose name must then still lead to that file. Holders only append, so a hash of the first bytes stays valid
//! whichever process appended since. The locked file itself is published, and its name is gone before the lock is
//! released.

mod quota;

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use oci::{Algorithm, Digest, Hasher, RepositoryName};

use crate::blob::{hash_file, hash_rest, random_name};
use crate::durable::{Disk, Publication, Step};
use crate::layout::Layout;
use crate::write_behind::write_behind;
use crate::{Error, Result, exclusive};

pub use quota::UploadLimits;
use quota::{Allowance, Usage};

/// The ID of an upload session: 32 hex digits that cannot be guessed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl FromStr for UploadId {
    type Err = oci::Error;

    fn from_str(text: &str) -> std::result::Result<Self, oci::Error> {
        let good = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(oci::Error::Reference(text.to_owned())) }
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The upload sessions that this process knows.
#[derive(Default)]
pub(crate) struct Sessions {
    known: Mutex<HashMap<UploadId, Session>>,
    limits: Mutex<UploadLimits>,
}

enum Session {
    Idle(Box<Running>),
    Busy,
}

/// The hash of the first `len` bytes.
struct Running {
    hasher: Hasher,
    len: u64,
}

impl Running {
    fn new() -> Self {
        Self { hasher: Hasher::new(Algorithm::Sha256), len: 0 }
    }
}

impl Sessions {
    pub(crate) fn limit(&self, limits: UploadLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    pub(crate) fn limits(&self) -> UploadLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the session for one request of this process.
    fn claim(self: &Arc<Self>, id: &UploadId) -> Result<SessionGuard> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match known.insert(id.clone(), Session::Busy) {
            Some(Session::Busy) => return Err(Error::UploadBusy(id.0.clone())),
            Some(Session::Idle(running)) => Some(*running),
            None => None,
        };
        Ok(SessionGuard { sessions: Arc::clone(self), id: id.clone(), running })
    }

    /// Removes idle sessions whose files no longer exist.
    fn retain(&self, present: &[UploadId]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, session| matches!(session, Session::Busy) || present.contains(id));
    }
}

/// The claim of one request of this process to a session. Dropping it releases the session and keeps its running hash.
struct SessionGuard {
    sessions: Arc<Sessions>,
    id: UploadId,
    running: Option<Running>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let mut known = self.sessions.known.lock().unwrap_or_else(PoisonError::into_inner);
        match self.running.take() {
            Some(running) => known.insert(self.id.clone(), Session::Idle(Box::new(running))),
            None => known.remove(&self.id),
        };
    }
}

/// A session's file in the uploads folder.
struct SessionFile {
    id: UploadId,
    owner: String,
    path: PathBuf,
    size: u64,
    changed: SystemTime,
}

/// All sessions of all processes.
fn all(layout: &Layout) -> Result<Vec<SessionFile>> {
    let folder = layout.uploads();
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))?.flatten() {
        let name = entry.file_name();
        let Some((id, owner)) = name.to_str().and_then(|name| name.split_once('-')) else { continue };
        let Ok(id) = id.parse::<UploadId>() else { continue };
        // A session that ends meanwhile does not count.
        let Ok(file) = entry.metadata() else { continue };
        let changed = file.modified().unwrap_or_else(|_| SystemTime::now());
        found.push(SessionFile {
            id,
            owner: owner.to_owned(),
            path: entry.path(),
            size: file.len(),
            changed,
        });
    }
    Ok(found)
}

/// The number of sessions of all processes. A store on a read-only medium may lack the folder.
pub(crate) fn number(layout: &Layout) -> Result<u64> {
    if layout.uploads().exists() { Ok(all(layout)?.len() as u64) } else { Ok(0) }
}

/// Removes the sessions that received no data since `since` and that no request holds, and returns their number.
pub(crate) fn expire(
    layout: &Layout,
    disk: &Disk,
    sessions: &Arc<Sessions>,
    since: SystemTime,
) -> Result<u64> {
    let mut expired = 0;
    let found = all(layout)?;
    for SessionFile { id, path, .. } in found.iter().filter(|session| session.changed < since) {
        let Ok(mut session) = sessions.claim(id) else { continue };
        let mut options = OpenOptions::new();
        let busy = || Error::UploadBusy(id.0.clone());
        let file = match exclusive::open_alone(disk, path, options.read(true).write(true), busy) {
            Ok(Some(file)) => file,
            Ok(None) | Err(Error::UploadBusy(_)) => continue,
            Err(error) => return Err(error),
        };
        let changed = file.metadata().and_then(|file| file.modified());
        if changed.is_ok_and(|changed| changed < since) {
            fs::remove_file(path).map_err(Error::io("remove", path))?;
            session.running = None;
            expired += 1;
        }
    }
    sessions.retain(&found.into_iter().map(|session| session.id).collect::<Vec<_>>());
    Ok(expired)
}

/// An upload session held by one request. Dropping it keeps the written bytes.
pub struct Upload {
    layout: Layout,
    disk: Disk,
    path: PathBuf,
    file: File,
    allowance: Allowance,
    session: SessionGuard,
}

impl Upload {
    pub(crate) fn create(
        layout: &Layout,
        disk: &Disk,
        sessions: &Arc<Sessions>,
        repository: &RepositoryName,
    ) -> Result<UploadId> {
        quota::make_room(layout, disk, sessions, &owner(repository))?;
        let id = UploadId(random_name()?);
        let path = session_path(layout, repository, &id);
        private::open(OpenOptions::new().write(true).create_new(true), &path)
            .map_err(Error::io("create", &path))?;
        Ok(id)
    }

    pub(crate) fn open(
        layout: &Layout,
        disk: &Disk,
        sessions: &Arc<Sessions>,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Option<Self>> {
        let path = session_path(layout, repository, id);
        let mut session = sessions.claim(id)?;
        let busy = || Error::UploadBusy(id.0.clone());
        let mut options = OpenOptions::new();
        let Some(mut file) = exclusive::open_alone(disk, &path, options.read(true).write(true), busy)? else {
            // A session of another repository keeps its running hash.
            if !all(layout)?.iter().any(|found| found.id == *id) {
                session.running = None;
            }
            return Ok(None);
        };
        let length = file.metadata().map_err(Error::io("read", &path))?.len();
        // Holders never shorten the file, so a shorter one is hashed from its start; a longer one was appended to by
        // another process.
        let mut running =
            session.running.take().filter(|known| known.len <= length).unwrap_or_else(Running::new);
        let hashed = hash_rest(&mut file, running.len, &mut running.hasher);
        running.len += hashed.map_err(Error::io("read", &path))?;
        let allowance = Allowance::of(layout, sessions.limits(), &owner(repository), running.len)?;
        session.running = Some(running);
        let (layout, disk) = (layout.clone(), disk.clone());
        Ok(Some(Self { layout, disk, path, file, allowance, session }))
    }

    pub(crate) fn offset_of(
        layout: &Layout,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Option<u64>> {
        let path = session_path(layout, repository, id);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Removes the session's file. A request that holds the session continues with an unlinked file, which cannot be
    /// published.
    pub(crate) fn cancel(
        layout: &Layout,
        disk: &Disk,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<bool> {
        let path = session_path(layout, repository, id);
        disk.step(Step::Remove, &path).map_err(Error::io("remove", &path))?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", &path)(error)),
        }
    }

    /// How many bytes the session holds.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.session.running.as_ref().map_or(0, |running| running.len)
    }

    fn ended(&self) -> Error {
        Error::UploadGone(self.session.id.0.clone())
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails, or [`Error::UploadQuota`]; the session then keeps the bytes from before this call.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let ended = self.ended();
        let Some(running) = &mut self.session.running else { return Err(ended) };
        let count = bytes.len() as u64;
        self.allowance.take(&self.layout, running.len, count)?;
        let written = self
            .disk
            .step(Step::Write, &self.path)
            .and_then(|()| self.file.write_all(bytes))
            .map_err(Error::io("write", &self.path));
        if let Err(error) = written {
            let _ = self.file.set_len(running.len).and_then(|()| self.file.seek(SeekFrom::End(0)));
            return Err(error);
        }
        let before = running.len;
        running.hasher.update(bytes);
        running.len += count;
        write_behind(&self.file, before, running.len);
        Ok(())
    }

    /// Publishes the bytes as a blob, ends the session, and returns the size. A small blob may become durable only with the
    /// commit that names it.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes have another digest; the session then stays as it was.
    /// [`Error::UploadGone`] when the session was cancelled meanwhile.
    pub fn publish(mut self, digest: &Digest) -> Result<u64> {
        let Some(running) = &self.session.running else { return Err(self.ended()) };
        let found = match digest.algorithm() {
            Algorithm::Sha256 => running.hasher.clone().finish(),
            // Rare, so not hashed while written: the bytes are still in the page cache.
            Algorithm::Sha512 => {
                let mut hasher = Hasher::new(Algorithm::Sha512);
                hash_file(&mut self.file, &self.path, &mut hasher)?;
                hasher.finish()
            }
        };
        if found != *digest {
            return Err(Error::DigestMismatch { expected: digest.clone(), found });
        }
        let size = running.len;
        if !exclusive::leads_to(&self.path, &self.file)? {
            self.session.running = None;
            return Err(self.ended());
        }
        let target = self.layout.blob(digest);
        let published = self.disk.publish_blob(&self.file, &self.path, &target, Publication::ForCommit);
        if !self.path.exists() {
            self.session.running = None;
        }
        match published {
            // Cancelled between the check and the publication.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Err(self.ended()),
            published => published.map(|()| size),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The next request of this process must find the lock free; it can claim the session only after this.
        let _ = self.file.unlock();
    }
}

/// The part of a session's file name that identifies its repository.
fn owner(repository: &RepositoryName) -> String {
    Digest::sha256(repository.as_str().as_bytes()).hex()[..16].to_owned()
}

/// The path of a session's file. The repository is part of the name, so a session belongs to one repository without a row.
fn session_path(layout: &Layout, repository: &RepositoryName, id: &UploadId) -> PathBuf {
    layout.uploads().join(format!("{id}-{}", owner(repository)))
}

impl Usage {
    /// The usage of all sessions, and of those of one repository.
    fn of(found: &[SessionFile], owner: &str) -> Self {
        let mut usage = Self::default();
        for session in found {
            usage.all.add(session.size);
            if session.owner == owner {
                usage.repository.add(session.size);
            }
        }
        usage
    }

    fn read(layout: &Layout, owner: &str) -> Result<Self> {
        Ok(Self::of(&all(layout)?, owner))
    }
}
