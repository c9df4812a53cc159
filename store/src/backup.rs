//! Backs up a store that is in use, and restores it.
//!
//! A backup is a folder: `blobs/`, which all backups into the same folder share, and a folder `state-...` with everything
//! else. `backup.json` names the state; it is written last and is the commit point. A backup that was interrupted leaves
//! the one before it intact.
//!
//! Order: a snapshot of the database, the blobs that it names, and then, by the caller, the audit log and the witness
//! records. So the log has the events of all content in the backup, and the witness records are not older than the notes
//! about them in the database. The journal is cut to the length that the snapshot committed. If garbage collection removes a
//! blob before it is copied, a new snapshot no longer names it.
//!
//! Each blob is hashed while it is copied, so no damage gets into a backup unnoticed, or out of it.

mod copy;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use oci::Digest;
use private::{Existing, Hold, PATIENCE, Readers};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

pub use self::copy::copy_folder;
use self::copy::{Copied, copy_blob, copy_start};
pub use self::restore::{RestoreReport, restore};
use crate::blob::random_name;
use crate::layout::Layout;
use crate::query::{all, parsed, size};
use crate::schema::{check_readable, open_read_only};
use crate::writer::journal_length;
use crate::{Error, Progress, Result, health};

/// The version in `backup.json`.
const FORMAT: u32 = 1;
/// The number of snapshots after which the store changes too quickly.
const ATTEMPTS: usize = 8;
const STATE: &str = "state-";

/// The content of `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupMark {
    format: u32,
    state: String,
    /// The number of blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What else is known about it.
    #[serde(default)]
    pub about: BTreeMap<String, String>,
}

/// A number of blobs and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlobCount {
    /// The number of blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl BlobCount {
    fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The blobs that were copied.
    pub copied: BlobCount,
    /// The blobs that an earlier backup into the same folder had copied.
    pub reused: BlobCount,
    /// The blobs that only the earlier backup needed, and that were removed.
    pub removed: u64,
    /// Needed blobs that are damaged or missing in the store, and so in the backup.
    pub damaged: BTreeSet<Digest>,
}

/// A backup whose blobs are copied. It counts only after [`Backup::commit`].
pub struct Backup {
    root: PathBuf,
    state: String,
    named: BTreeMap<Digest, u64>,
    report: BackupReport,
    /// Held, so that no other backup into the same folder runs.
    _lock: File,
}

/// The layout of the content in a backup: `blobs/` as in a store.
fn content(root: &Path) -> Layout {
    Layout::new(root)
}

fn mark(root: &Path) -> PathBuf {
    root.join("backup.json")
}

/// The mark of the backup in a folder; none if there is no backup.
fn read_mark(root: &Path) -> Result<Option<BackupMark>> {
    let path = mark(root);
    let bytes = match fs::read(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        read => read.map_err(Error::io("read", &path))?,
    };
    let found: BackupMark = serde_json::from_slice(&bytes).map_err(|_| Error::NotABackup(root.to_owned()))?;
    if found.format > FORMAT {
        return Err(Error::Version { found: found.format, known: FORMAT });
    }
    let is_name = found.state.starts_with(STATE) && !found.state.contains('/');
    if is_name { Ok(Some(found)) } else { Err(Error::NotABackup(root.to_owned())) }
}

/// The blobs and manifests that a database names, with their sizes.
fn named(database: &Path) -> Result<BTreeMap<Digest, u64>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(database, flags)?;
    let sql = "SELECT digest, max(size) FROM (SELECT digest, size FROM manifests UNION ALL
               SELECT digest, size FROM blobs) GROUP BY digest";
    Ok(all(&connection, sql, [], |row| Ok((parsed(row, 0)?, size(row, 1)?)))?.into_iter().collect())
}

/// The blobs that the complete backup in a folder has. They are durable.
fn complete(root: &Path) -> BTreeMap<Digest, u64> {
    let found = read_mark(root).ok().flatten();
    found.and_then(|found| named(&root.join(found.state).join("airlock.db")).ok()).unwrap_or_default()
}

/// What a backup into a folder would copy.
pub(crate) fn plan(layout: &Layout, root: &Path) -> Result<BackupReport> {
    check_target(layout, root)?;
    let reusable = complete(root);
    let mut report = BackupReport::default();
    for (digest, size) in named(&layout.database())? {
        if reusable.contains_key(&digest) { report.reused.add(size) } else { report.copied.add(size) }
    }
    Ok(report)
}

/// Refuses a folder with other content, and one in the store.
fn check_target(layout: &Layout, root: &Path) -> Result<()> {
    let ours = |name: &str| name == "blobs" || name.starts_with(STATE) || name.contains("backup.json");
    for entry in fs::read_dir(root).into_iter().flatten() {
        let name = entry.map_err(Error::io("read", root))?.file_name();
        if !ours(&name.to_string_lossy()) {
            return Err(Error::NotABackup(root.to_owned()));
        }
    }
    read_mark(root)?;
    let store = fs::canonicalize(layout.root()).map_err(Error::io("read", layout.root()))?;
    // The folder itself may not exist yet.
    let whole = std::path::absolute(root).map_err(Error::io("read", root))?;
    let above = whole.ancestors().find_map(|above| fs::canonicalize(above).ok());
    if above.is_some_and(|above| above.starts_with(&store)) {
        return Err(Error::NotABackup(root.to_owned()));
    }
    Ok(())
}

/// Copies the content of a store that may be in use.
pub(crate) fn begin(layout: &Layout, root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Backup> {
    check_target(layout, root)?;
    private::create_folders(root).map_err(Error::io("create", root))?;
    let folder = File::open(root).map_err(Error::io("open", root))?;
    let lock = private::hold(folder, root, Hold::Alone, PATIENCE)?;
    let target = content(root);
    for shard in target.shards() {
        private::create_folders(&shard).map_err(Error::io("create", &shard))?;
    }
    let state = format!("{STATE}{}", random_name()?);
    let folder = root.join(&state);
    private::create_folder(&folder).map_err(Error::io("create", &folder))?;
    let database = folder.join("airlock.db");
    let mut copies = Copies {
        layout,
        target: &target,
        reusable: complete(root),
        done: BTreeSet::new(),
        report: BackupReport::default(),
        now: Progress { done: 0, total: 0 },
    };
    let mut absent = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        snapshot(layout, &database)?;
        let named = named(&database)?;
        let gone = copies.copy(&named, progress)?;
        if gone.is_subset(&absent) {
            let connection =
                Connection::open_with_flags(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            copy_start(&layout.journal(), &folder.join("names.log"), journal_length(&connection)?)?;
            let mut report = copies.report;
            for digest in gone {
                // A link that no manifest needs may be stale.
                if health::is_needed(&connection, &digest)? {
                    report.damaged.insert(digest);
                }
            }
            return Ok(Backup { root: root.to_owned(), state, named, report, _lock: lock });
        }
        absent = gone;
    }
    let _ = fs::remove_dir_all(&folder);
    Err(Error::ChangesTooQuickly)
}

/// Writes a consistent copy of the database.
fn snapshot(layout: &Layout, to: &Path) -> Result<()> {
    let _ = fs::remove_file(to);
    let connection = open_read_only(layout)?;
    check_readable(&connection)?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    private::restrict(to).map_err(Error::io("protect", to))
}

/// The blobs that are copied so far.
struct Copies<'a> {
    layout: &'a Layout,
    target: &'a Layout,
    /// The blobs of the last complete backup.
    reusable: BTreeMap<Digest, u64>,
    done: BTreeSet<Digest>,
    report: BackupReport,
    now: Progress,
}

impl Copies<'_> {
    /// Copies the blobs that are not yet copied; returns those that the store does not have, or has damaged.
    fn copy(
        &mut self,
        named: &BTreeMap<Digest, u64>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BTreeSet<Digest>> {
        let mut gone = BTreeSet::new();
        let left: Vec<_> = named.iter().filter(|(digest, _)| !self.done.contains(*digest)).collect();
        self.now.total = self.now.done + left.iter().map(|(_, size)| **size).sum::<u64>();
        for (digest, size) in left {
            let to = self.target.blob(digest);
            let is_there =
                fs::symlink_metadata(&to).is_ok_and(|found| found.is_file() && found.len() == *size);
            if is_there && self.reusable.contains_key(digest) {
                self.report.reused.add(*size);
                self.done.insert(digest.clone());
            } else {
                match copy_blob(&self.layout.blob(digest), &to, digest)? {
                    Copied::Whole(bytes) => {
                        self.report.copied.add(bytes);
                        self.done.insert(digest.clone());
                    }
                    Copied::Absent | Copied::Damaged => drop(gone.insert(digest.clone())),
                }
            }
            self.now.done += size;
            progress(self.now);
        }
        Ok(gone)
    }
}

impl Backup {
    /// The folder for everything that is not in the database: the caller adds the audit log and other records.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join(&self.state)
    }

    /// Makes the backup durable, and then the one that counts; removes what only older ones need.
    ///
    /// # Errors
    /// When the disk is full or fails; the backup before this one then still counts.
    pub fn commit(mut self, about: BTreeMap<String, String>) -> Result<BackupReport> {
        let folder = File::open(&self.root).map_err(Error::io("open", &self.root))?;
        let synced = rustix::fs::syncfs(&folder).map_err(io::Error::from);
        synced.map_err(Error::io("flush", &self.root))?;
        let (blobs, bytes) = (self.named.len() as u64, self.named.values().sum());
        let found = BackupMark { format: FORMAT, state: self.state.clone(), blobs, bytes, about };
        let mut text = serde_json::to_vec_pretty(&found).unwrap_or_default();
        text.push(b'\n');
        let path = mark(&self.root);
        private::publish(&path, &text, Existing::Replace, Readers::Owner)
            .map_err(Error::io("write", &path))?;
        self.remove_old();
        Ok(self.report)
    }

    /// Removes other states, and blobs that this one does not name. What cannot be removed does no harm.
    fn remove_old(&mut self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(STATE) && name != self.state {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let target = content(&self.root);
        let Ok((found, strays)) = crate::check::walk(&target) else { return };
        let old = found.into_iter().filter(|blob| !self.named.contains_key(&blob.digest));
        for path in old.map(|blob| blob.path).chain(strays) {
            self.report.removed += u64::from(fs::remove_file(path).is_ok());
        }
    }
}

/// Writes a line to a new file and flushes it.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = private::create(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", path))
}
