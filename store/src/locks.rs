//! Locks on files. Whoever waits for one waits within a limit, and is then told who holds it.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::commit::{Disk, Step};
use crate::{Error, Result};

/// How long a command waits for another one.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two tries, at most.
const PAUSE: Duration = Duration::from_millis(50);

/// How much of a holder's command line is shown.
const COMMAND: usize = 120;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Beside others that share it.
    Shared,
    /// Alone.
    Alone,
}

/// Takes a lock if it is free; says whether it was.
pub(crate) fn try_hold(file: &File, path: &Path, hold: Hold) -> Result<bool> {
    loop {
        let tried = match hold {
            Hold::Shared => file.try_lock_shared(),
            Hold::Alone => file.try_lock(),
        };
        match tried {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
}

/// Waits for a lock, but no longer than `limit`.
pub(crate) fn hold(file: &File, path: &Path, hold: Hold, limit: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !try_hold(file, path, hold)? {
        let waited = begun.elapsed();
        if waited >= limit {
            let (path, holders) = (path.to_owned(), Holders::of(&[path]));
            return Err(Error::Locked { path, seconds: waited.as_secs(), holders });
        }
        std::thread::sleep(pause.min(limit.saturating_sub(waited)));
        pause = (pause * 2).min(PAUSE);
    }
    Ok(())
}

/// Opens a file and takes its lock alone, so that the name leads to the file that is locked: one that was opened and
/// then published or removed by another holder is not touched. `None` where there is no such file.
///
/// # Errors
/// As `busy` says where somebody else holds the lock.
pub(crate) fn open_alone(
    disk: &Disk,
    path: &Path,
    options: &mut OpenOptions,
    busy: impl Fn() -> Error,
) -> Result<Option<File>> {
    loop {
        disk.step(Step::Open, path).map_err(Error::io("open", path))?;
        let file = match crate::private::open(options, path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        disk.step(Step::Lock, path).map_err(Error::io("lock", path))?;
        if !try_hold(&file, path, Hold::Alone)? {
            return Err(busy());
        }
        disk.step(Step::Verify, path).map_err(Error::io("read", path))?;
        // Only the holder of the lock removes or renames the file, so this stays true.
        if leads_to(path, &file)? {
            return Ok(Some(file));
        }
    }
}

/// Whether a name leads to the file that is open.
pub(crate) fn leads_to(path: &Path, file: &File) -> Result<bool> {
    let open = file.metadata().map_err(Error::io("read", path))?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// The processes that hold locks on a file, as far as the system tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders(Vec<Holder>);

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    process: u32,
    command: String,
}

impl Holders {
    /// Asks the system who holds locks on one of the files.
    pub(crate) fn of(paths: &[&Path]) -> Self {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let mut found: Vec<u32> = Vec::new();
        for inode in paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.ino()) {
            found.extend(locks.lines().filter_map(|line| holder(line, inode)));
        }
        found.sort_unstable();
        found.dedup();
        Self(found.into_iter().map(|process| Holder { process, command: command(process) }).collect())
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("a process that cannot be seen from here, as in another container");
        }
        for (index, Holder { process, command }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}process {process} (`{command}`)")?;
        }
        Ok(())
    }
}

/// The process of a line such as `1: FLOCK  ADVISORY  WRITE 708 08:01:131090 0 EOF`, if it is about the inode. Lines
/// with an arrow are processes that wait.
fn holder(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, _, process, place, ..] = words[..] else { return None };
    let found: u64 = place.rsplit(':').next()?.parse().ok()?;
    (found == inode).then(|| process.parse().ok()).flatten().filter(|process| *process > 0)
}

/// What a process was started as, with nothing in it that could change a terminal.
fn command(process: u32) -> String {
    let line = fs::read(PathBuf::from(format!("/proc/{process}/cmdline"))).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let text = words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let shown = text.chars().take(COMMAND);
    let shown: String = shown.map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if shown.is_empty() { "unknown".to_owned() } else { shown }
}
