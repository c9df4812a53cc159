//! Upload sessions: files in `uploads/` that survive a restart. The file's length is the truth; the running
//! hash is kept in memory and made again from the file where it is lost.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use oci::{Algorithm, Digest, Hasher, RepositoryName};

use crate::blob::{hash_file, random_name};
use crate::commit::{Disk, Step};
use crate::layout::Layout;
use crate::write_behind::write_behind;
use crate::{Error, Result};

/// The name of an upload session: 32 hex digits, not to be guessed.
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

/// What is known of open sessions in this process.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

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
    /// Takes the session's state, or `None` where it must be made from the file.
    fn take(&self, id: &UploadId) -> Result<Option<Running>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sessions.insert(id.0.clone(), Session::Busy) {
            Some(Session::Busy) => Err(Error::UploadBusy(id.0.clone())),
            Some(Session::Idle(running)) => Ok(Some(*running)),
            None => Ok(None),
        }
    }

    fn put(&self, id: &UploadId, running: Option<Running>) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running {
            Some(running) => sessions.insert(id.0.clone(), Session::Idle(Box::new(running))),
            None => sessions.remove(&id.0),
        };
    }
}

/// Removes the sessions that got nothing since `since` and that no request holds; gives how many.
pub(crate) fn expire(layout: &Layout, sessions: &Sessions, since: SystemTime) -> Result<u64> {
    let folder = layout.uploads();
    let mut expired = 0;
    for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))?.flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<UploadId>().ok()) else {
            continue;
        };
        let path = entry.path();
        let mut sessions = sessions.0.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = matches!(sessions.get(&id.0), Some(Session::Busy));
        let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
        if !busy && changed.is_ok_and(|changed| changed < since) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            sessions.remove(&id.0);
            expired += 1;
        }
    }
    Ok(expired)
}

/// An upload session held by one request. Dropping it keeps what was written.
pub struct Upload {
    layout: Layout,
    disk: Disk,
    sessions: Arc<Sessions>,
    id: UploadId,
    path: PathBuf,
    file: File,
    running: Option<Running>,
}

impl Upload {
    pub(crate) fn create(layout: &Layout, repository: &RepositoryName) -> Result<UploadId> {
        let id = UploadId(random_name()?);
        let path = session_path(layout, repository, &id);
        File::create_new(&path).map_err(Error::io("create", &path))?;
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
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let known = sessions.take(id)?;
        let running = if let Some(running) = known {
            file.set_len(running.len)
                .and_then(|()| file.seek(SeekFrom::End(0)))
                .map(|_| running)
                .map_err(Error::io("open", &path))
        } else {
            let mut running = Running::new();
            hash_file(&mut file, &path, &mut running.hasher).map(|len| Running { len, ..running })
        };
        let running = match running {
            Ok(running) => Some(running),
            Err(error) => {
                sessions.put(id, None);
                return Err(error);
            }
        };
        let (layout, disk, sessions) = (layout.clone(), disk.clone(), Arc::clone(sessions));
        Ok(Some(Self { layout, disk, sessions, id: id.clone(), path, file, running }))
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

    pub(crate) fn cancel(
        layout: &Layout,
        sessions: &Sessions,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<bool> {
        let path = session_path(layout, repository, id);
        match fs::remove_file(&path) {
            Ok(()) => {
                sessions.put(id, None);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", &path)(error)),
        }
    }

    /// How many bytes the session holds.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.len)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the disk is full or fails; the session keeps what it had before this call.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(running) = &mut self.running else { return Err(Error::UploadBusy(self.id.0.clone())) };
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
        running.len += bytes.len() as u64;
        write_behind(&self.file, before, running.len);
        Ok(())
    }

    /// Makes the bytes a durable blob and ends the session; gives the size.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] when the bytes are others; the session stays as it was.
    pub fn publish(mut self, digest: &Digest) -> Result<u64> {
        let Some(running) = &self.running else { return Err(Error::UploadBusy(self.id.0.clone())) };
        let found = match digest.algorithm() {
            Algorithm::Sha256 => running.hasher.clone().finish(),
            // Rare, so not hashed on the way: the bytes are still in the page cache.
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
        self.disk.publish(&self.file, &self.path, &self.layout.blob(digest))?;
        self.running = None;
        Ok(size)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let running = self.running.take();
        self.sessions.put(&self.id, running);
    }
}

/// The repository is part of the name, so that a session belongs to one repository without a row for it.
fn session_path(layout: &Layout, repository: &RepositoryName, id: &UploadId) -> PathBuf {
    let owner = Digest::sha256(repository.as_str().as_bytes());
    layout.uploads().join(format!("{id}-{}", &owner.hex()[..16]))
}
