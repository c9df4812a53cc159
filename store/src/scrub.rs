//! Scrubs a store: reads every blob slowly, and finds those that are damaged or missing. Pushes, deletions and garbage
//! collections may run meanwhile.
//!
//! A pass goes through the folders of blobs. The times of verification and the position are committed every few seconds, so
//! that an interrupted pass goes on where it stopped. A blob is missing if a manifest needs it, its file does not exist, and
//! both still hold when they are read again: garbage collection removes rows before files, and a push publishes files before
//! rows. A file is moved away only if it is still the one that was read (`damage`).

mod pace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oci::{Algorithm, Digest};
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};
use serde::Serialize;

use self::pace::Pace;
use crate::damage::Verdict;
use crate::health::{self, Damage, DamageKind, FolderHealth, HealthRows};
use crate::layout::Layout;
use crate::query::Readers;
use crate::reading::{is_of_the_file, open_blob};
use crate::unflushed::SMALL;
use crate::{Error, Progress, Result};

/// The interval between two commits of the position.
const SAVE: Duration = Duration::from_secs(10);
/// How often a file is read that is replaced meanwhile.
const ATTEMPTS: usize = 3;
/// The number of unreadable blobs in a row after which the disk, and not a blob, is at fault.
const IN_A_ROW: usize = 16;
/// The mode of a blob's file.
const MODE: u32 = 0o600;

/// Stops a running scrub, and changes its rate.
#[derive(Debug, Default)]
pub struct ScrubControl {
    is_stopped: AtomicBool,
    /// Bytes per second; 0 is no limit.
    rate: AtomicU64,
}

impl ScrubControl {
    /// A scrub that reads at most this many bytes per second.
    #[must_use]
    pub fn new(rate: Option<u64>) -> Self {
        let control = Self::default();
        control.limit(rate);
        control
    }

    /// Changes the rate.
    pub fn limit(&self, rate: Option<u64>) {
        self.rate.store(rate.unwrap_or(0), Ordering::Relaxed);
    }

    /// Stops the scrub soon.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }
}

/// The result of a scrub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubReport {
    /// The blobs that were read.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The blobs that were found to be damaged or missing.
    pub found: Vec<Damage>,
    /// The intact files whose permissions were wrong and are restored.
    pub permissions: u64,
    /// Whether it was stopped before all blobs were verified.
    pub stopped: bool,
}

/// A folder of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folder {
    algorithm: Algorithm,
    byte: u8,
}

impl Folder {
    fn all() -> impl Iterator<Item = Self> {
        Algorithm::ALL
            .into_iter()
            .flat_map(|algorithm| (0..=255_u8).map(move |byte| Self { algorithm, byte }))
    }

    fn name(self) -> String {
        format!("{}/{:02x}", self.algorithm, self.byte)
    }

    fn path(self, layout: &Layout) -> PathBuf {
        layout.algorithm(self.algorithm).join(format!("{:02x}", self.byte))
    }

    /// The blobs in it, by name. Other files are none.
    fn blobs(self, layout: &Layout) -> Result<BTreeSet<Digest>> {
        let path = self.path(layout);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(Error::io("read", &path))?,
        };
        let mut found = BTreeSet::new();
        for entry in entries {
            let name = entry.map_err(Error::io("read", &path))?.file_name();
            let digest = Digest::new(self.algorithm, &name.to_string_lossy());
            found.extend(digest.ok().filter(|digest| layout.blob(digest) == path.join(&name)));
        }
        Ok(found)
    }
}

/// What a scrub does in its store.
pub(crate) struct Scrub<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) readers: &'a Readers,
    pub(crate) control: &'a ScrubControl,
    pub(crate) commit: &'a dyn Fn(HealthRows) -> Result<()>,
    pub(crate) progress: &'a mut dyn FnMut(Progress),
}

/// A scrub that runs.
struct Running<'a> {
    scrub: Scrub<'a>,
    report: ScrubReport,
    /// The damage that is recorded.
    known: BTreeMap<Digest, DamageKind>,
    pending: Vec<(String, FolderHealth)>,
    saved: Instant,
    pace: Pace,
    progress: Progress,
    unreadable: usize,
}

impl Scrub<'_> {
    /// Verifies the blobs that were not verified within `older_than`; without it, all blobs, or the rest of those of a pass
    /// that was interrupted.
    pub(crate) fn run(self, older_than: Option<Duration>) -> Result<ScrubReport> {
        let now = milliseconds();
        let (folders, unfinished, recorded) = self.readers.with(|connection| {
            let folders: BTreeMap<_, _> = health::folders(connection)?.into_iter().collect();
            Ok((folders, health::unfinished(connection)?, health::recorded(connection)?))
        })?;
        let (replaced, known): (Vec<_>, Vec<_>) =
            recorded.into_iter().partition(|damage| health::is_replaced(self.layout, damage));
        if !replaced.is_empty() {
            (self.commit)(HealthRows::Intact(replaced.into_iter().map(|damage| damage.digest).collect()))?;
        }
        let unfinished = unfinished.filter(|began| *began <= now);
        let cutoff = cutoff(now, older_than, unfinished);
        if older_than.is_none() && unfinished.is_none() {
            (self.commit)(HealthRows::Began(now))?;
        }
        let state = |folder: Folder| folders.get(&folder.name()).cloned().unwrap_or_default();
        let due: Vec<(Folder, FolderHealth)> = Folder::all()
            .map(|folder| (folder, state(folder)))
            .filter(|(_, s)| is_due(s, now, cutoff))
            .collect();
        let total = due.iter().map(|(folder, state)| left_in(*folder, state, cutoff, self.layout)).sum();
        let mut running = Running {
            pace: Pace::new(),
            report: ScrubReport::default(),
            known: known.into_iter().map(|damage| (damage.digest, damage.kind)).collect(),
            pending: Vec::new(),
            saved: Instant::now(),
            progress: Progress { done: 0, total },
            unreadable: 0,
            scrub: self,
        };
        let walked = due.into_iter().try_fold(true, |goes_on, (folder, state)| {
            if goes_on { running.folder(folder, &state, cutoff) } else { Ok(false) }
        });
        running.save()?;
        running.report.stopped = !walked?;
        if older_than.is_none() && !running.report.stopped {
            (running.scrub.commit)(HealthRows::Completed)?;
        }
        Ok(running.report)
    }
}

impl Running<'_> {
    /// Verifies the blobs of a folder; returns whether to go on.
    fn folder(&mut self, folder: Folder, state: &FolderHealth, cutoff: u64) -> Result<bool> {
        let now = milliseconds();
        let resumed = resumed(state, cutoff);
        let (after, began) =
            resumed.map_or((None, now), |(position, began)| (Some(position.clone()), *began));
        let needed = |connection: &_| health::needed_in(connection, folder.algorithm, folder.byte);
        let mut blobs = folder.blobs(self.scrub.layout)?;
        blobs.extend(self.scrub.readers.with(needed)?);
        let mut position = after.clone();
        for digest in blobs.iter().filter(|digest| after.as_deref().is_none_or(|after| digest.hex() > after))
        {
            let goes_on = !self.scrub.control.is_stopped() && self.blob(digest)?;
            if goes_on {
                position = Some(digest.hex().to_owned());
            }
            if !goes_on || self.saved.elapsed() >= SAVE {
                let unfinished = position.clone().map(|position| (position, began));
                self.pending.push((folder.name(), FolderHealth { at: state.at, unfinished }));
                self.save()?;
            }
            if !goes_on {
                return Ok(false);
            }
        }
        self.pending.push((folder.name(), FolderHealth { at: began, unfinished: None }));
        Ok(true)
    }

    fn save(&mut self) -> Result<()> {
        self.saved = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() { Ok(()) } else { (self.scrub.commit)(HealthRows::Verified(pending)) }
    }

    /// Verifies a blob; returns whether to go on.
    fn blob(&mut self, digest: &Digest) -> Result<bool> {
        let path = self.scrub.layout.blob(digest);
        for _ in 0..ATTEMPTS {
            let was_restored = restore_mode(&path);
            let file = match open_blob(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return self.missing(digest).map(|()| true);
                }
                Err(error) if is_of_the_file(&error) => {
                    self.scrub.readers.inspector().cannot_open(digest, &error);
                    return self.found(digest, DamageKind::Unreadable).map(|()| true);
                }
                opened => opened.map_err(Error::io("open", &path))?,
            };
            if self.is_unfinished(digest, &file)? {
                return Ok(true);
            }
            let was_cached =
                preadv2(&file, &mut [std::io::IoSliceMut::new(&mut [0])], 0, ReadWriteFlags::NOWAIT).is_ok();
            let (control, pace, progress) = (self.scrub.control, &mut self.pace, &mut self.progress);
            let mut bytes = 0;
            let mut watch = |count: u64| {
                bytes += count;
                progress.done += count;
                (self.scrub.progress)(*progress);
                pace.keep(count, control)
            };
            let verdict = self.scrub.readers.inspector().inspect(digest, &file, &mut watch)?;
            if !was_cached {
                // Blobs that are in use stay in the page cache, those that only the scrub reads do not.
                let _ = fadvise(&file, 0, None, Advice::DontNeed);
            }
            match verdict {
                Verdict::Stopped => return Ok(false),
                Verdict::Sound | Verdict::Unhashed => {
                    self.unreadable = 0;
                    self.report.blobs += 1;
                    self.report.bytes += bytes;
                    self.report.permissions += u64::from(was_restored);
                    return Ok(true);
                }
                // Another file has replaced it, or its change time is new.
                Verdict::Damaged(kind) if kind != DamageKind::Unreadable && path.exists() => {}
                Verdict::Damaged(kind) => return self.found(digest, kind).map(|()| true),
            }
        }
        Ok(true)
    }

    /// Whether a small file has no name yet: it may not be flushed, and a crash during a push may have damaged it. The next
    /// push of that blob replaces it.
    fn is_unfinished(&self, digest: &Digest, file: &fs::File) -> Result<bool> {
        let size = file.metadata().map_err(Error::io("read", &self.scrub.layout.blob(digest)))?.len();
        Ok(size <= SMALL && !self.scrub.readers.is_named(digest)?)
    }

    fn found(&mut self, digest: &Digest, kind: DamageKind) -> Result<()> {
        self.unreadable = if kind == DamageKind::Unreadable { self.unreadable + 1 } else { 0 };
        if self.unreadable >= IN_A_ROW {
            return Err(Error::DiskFails(IN_A_ROW));
        }
        self.report.blobs += u64::from(kind != DamageKind::Missing);
        self.report.found.push(Damage::now(digest, kind, None));
        Ok(())
    }

    /// Finds that a blob has no file, unless nothing needs it.
    fn missing(&mut self, digest: &Digest) -> Result<()> {
        let is_needed = self.scrub.readers.with(|connection| health::is_needed(connection, digest))?;
        if !is_needed || self.scrub.layout.blob(digest).symlink_metadata().is_ok() {
            return Ok(());
        }
        // A blob in quarantine is missing, too, and was reported when it was moved there.
        if !self.known.contains_key(digest) {
            tracing::error!(%digest, "the file of a blob is missing; push, mirror or import it again");
            self.scrub.readers.inspector().report(Damage::now(digest, DamageKind::Missing, None));
            self.found(digest, DamageKind::Missing)?;
        }
        Ok(())
    }
}

/// Gives a file the mode that a store's files have; returns whether it had another one.
fn restore_mode(path: &Path) -> bool {
    let is_wrong = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o777 != MODE);
    is_wrong && private::restrict(path).is_ok()
}

/// Blobs whose verification began before this time are due.
fn cutoff(now: u64, older_than: Option<Duration>, unfinished: Option<u64>) -> u64 {
    match older_than {
        Some(age) => now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        None => unfinished.unwrap_or(now),
    }
}

/// Whether a folder is due. A time in the future counts as none.
fn is_due(state: &FolderHealth, now: u64, cutoff: u64) -> bool {
    state.at < cutoff || state.at > now
}

/// The position from which the verification of a folder goes on.
fn resumed(state: &FolderHealth, cutoff: u64) -> Option<&(String, u64)> {
    state.unfinished.as_ref().filter(|(_, began)| *began >= cutoff)
}

/// The number of bytes in a folder that are left to read.
fn left_in(folder: Folder, state: &FolderHealth, cutoff: u64, layout: &Layout) -> u64 {
    let after = resumed(state, cutoff).map(|(position, _)| position.as_str());
    let entries = fs::read_dir(folder.path(layout)).into_iter().flatten().flatten();
    let left = entries.filter(|entry| after.is_none_or(|after| entry.file_name().to_str() > Some(after)));
    left.filter_map(|entry| entry.metadata().ok()).map(|found| found.len()).sum()
}

fn milliseconds() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_depends_on_the_age_and_on_a_pass_that_was_interrupted() {
        let age = Duration::from_millis(100);
        assert_eq!(cutoff(1000, None, None), 1000);
        assert_eq!(cutoff(1000, None, Some(700)), 700);
        assert_eq!(cutoff(1000, Some(age), Some(700)), 900);
        assert_eq!(cutoff(1000, Some(Duration::MAX), None), 0);
        let at = |at| FolderHealth { at, unfinished: None };
        assert!(is_due(&at(0), 1000, 900) && is_due(&at(899), 1000, 900));
        assert!(!is_due(&at(900), 1000, 900) && !is_due(&at(1000), 1000, 900));
        assert!(is_due(&at(1001), 1000, 900), "a clock was wrong");
        let unfinished = FolderHealth { at: 5, unfinished: Some(("ab".to_owned(), 900)) };
        assert!(resumed(&unfinished, 900).is_some() && resumed(&unfinished, 901).is_none());
    }

    #[test]
    fn there_is_one_folder_for_each_first_byte() {
        let names: BTreeSet<String> = Folder::all().map(Folder::name).collect();
        assert!(names.len() == 512 && names.contains("sha256/00") && names.contains("sha512/ff"));
    }
}
