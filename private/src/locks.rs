//! Locks on files. Every wait has a timeout; the error then names the holder.
//!
//! The system does the waiting and gives a lock to the process that has waited longest: a process that takes a lock often
//! cannot starve the others.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use error_class::{Class, Classified};

/// How long a command waits for another command's lock.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How many characters of a holder's command line are shown.
const COMMAND: usize = 120;

/// Clock ticks per second in `/proc`, the same on every Linux.
const TICKS: u64 = 100;

/// The mode in which a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Shared with other holders.
    Shared,
    /// Exclusive.
    Alone,
}

/// The errors of taking a lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system call failed.
    #[error("cannot lock `{path}`")]
    Io {
        /// The file to lock.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Another process held the lock until the timeout.
    #[error(transparent)]
    Locked(#[from] Locked),
}

/// A lock was not released within the timeout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waited {seconds} s for the lock on `{path}`, which is held by {holders}")]
pub struct Locked {
    /// The locked file.
    pub path: PathBuf,
    /// How long the caller waited.
    pub seconds: u64,
    /// The processes that hold the lock.
    pub holders: Holders,
}

impl Locked {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "wait for that process to end, or end it, then run the same command again"
    }
}

impl Classified for Locked {
    fn class(&self) -> Class {
        Class::Other
    }
}

impl Hold {
    fn try_on(self, file: &File) -> Result<(), TryLockError> {
        match self {
            Self::Shared => file.try_lock_shared(),
            Self::Alone => file.try_lock(),
        }
    }

    fn wait_on(self, file: &File) -> io::Result<()> {
        match self {
            Self::Shared => file.lock_shared(),
            Self::Alone => file.lock(),
        }
    }
}

/// Takes a lock if it is free, and returns whether it was.
///
/// # Errors
/// [`Error::Io`].
pub fn try_hold(file: &File, path: &Path, hold: Hold) -> Result<bool, Error> {
    loop {
        match hold.try_on(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(source)) => return Err(Error::Io { path: path.to_owned(), source }),
        }
    }
}

/// Waits for a lock, but no longer than `limit`. The lock is held as long as the returned file is open.
///
/// # Errors
/// [`Error::Locked`] when the lock was not released within the limit, or [`Error::Io`].
pub fn hold(file: File, path: &Path, hold: Hold, limit: Duration) -> Result<File, Error> {
    if try_hold(&file, path, hold)? {
        return Ok(file);
    }
    let begun = Instant::now();
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let (sender, receiver) = mpsc::channel();
    // The system's queue has no timeout, so a separate thread waits in it and can be abandoned. A thread that gets the
    // lock too late finds the channel closed, and closes the file.
    let wait = move || {
        let outcome = loop {
            match hold.wait_on(&file) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome.map(|()| file),
            }
        };
        let _ = sender.send(outcome);
    };
    std::thread::Builder::new().name("lock".to_owned()).spawn(wait).map_err(failed)?;
    match receiver.recv_timeout(limit) {
        Ok(outcome) => outcome.map_err(failed),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let holders = Holders::of(&[path]);
            Err(Locked { path: path.to_owned(), seconds: begun.elapsed().as_secs(), holders }.into())
        }
    }
}

/// The processes that hold locks on a file, as far as the system shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders(Vec<Holder>);

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    process: u32,
    command: String,
    /// How long it has been running, in seconds.
    age: Option<u64>,
}

impl Holders {
    /// Finds the processes that hold locks on any of the files.
    #[must_use]
    pub fn of(paths: &[&Path]) -> Self {
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        let mut found: Vec<u32> = Vec::new();
        for inode in paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.ino()) {
            found.extend(locks.lines().filter_map(|line| holder(line, inode)));
        }
        found.sort_unstable();
        found.dedup();
        let holder = |process| Holder { process, command: command(process), age: age(process) };
        Self(found.into_iter().map(holder).collect())
    }
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("a process that is not visible from here, for example in another container");
        }
        for (index, Holder { process, command, age }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}process {process} (`{command}`")?;
            match age {
                Some(seconds) => write!(f, ", running for {})", span(*seconds))?,
                None => f.write_str(")")?,
            }
        }
        Ok(())
    }
}

/// Formats a duration in its two largest units.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The process in a line such as `1: FLOCK  ADVISORY  WRITE 708 08:01:131090 0 EOF`, if the line is for the inode. Lines
/// with an arrow are processes that wait.
fn holder(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, _, process, device_and_inode, ..] = words[..] else { return None };
    let found: u64 = device_and_inode.rsplit(':').next()?.parse().ok()?;
    (found == inode).then(|| process.parse().ok()).flatten().filter(|process| *process > 0)
}

/// The command line of a process, without characters that could control a terminal.
fn command(process: u32) -> String {
    let line = fs::read(PathBuf::from(format!("/proc/{process}/cmdline"))).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let text = words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    let shown = text.chars().take(COMMAND);
    let shown: String = shown.map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if shown.is_empty() { "unknown".to_owned() } else { shown }
}

/// How long a process has been running, in seconds.
fn age(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may contain anything; the start time is the twentieth word after it.
    let start: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: u64 = uptime.split(['.', ' ']).next()?.parse().ok()?;
    Some(uptime.saturating_sub(start / TICKS))
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Io { source, .. } => source.class(),
            Self::Locked(error) => error.class(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
    }

    #[test]
    fn a16_waiting_ends_at_the_limit_and_names_the_holder_and_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = hold(opened(&path), &path, Hold::Alone, PATIENCE).unwrap();
        for kind in [Hold::Alone, Hold::Shared] {
            let Err(Error::Locked(refused)) = hold(opened(&path), &path, kind, Duration::from_millis(200))
            else {
                panic!("the lock was granted twice")
            };
            let text = refused.to_string();
            assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
            assert!(text.contains("running for"), "{text}");
        }
        drop(held);
        // Abandoned waiters must not keep the lock.
        hold(opened(&path), &path, Hold::Alone, Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn a16_a_waiter_gets_the_lock_although_another_thread_takes_it_all_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let held = hold(opened(&path), &path, Hold::Alone, PATIENCE).unwrap();
                    std::thread::sleep(Duration::from_millis(3));
                    drop(held);
                }
            });
            for _ in 0..50 {
                hold(opened(&path), &path, Hold::Alone, Duration::from_secs(5)).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn holders_are_read_from_the_systems_list() {
        assert_eq!(holder("1: FLOCK  ADVISORY  WRITE 708 08:01:131090 0 EOF", 131_090), Some(708));
        for line in ["1: -> FLOCK  ADVISORY  WRITE 709 08:01:131090 0 EOF", "", "1: FLOCK"] {
            assert_eq!(holder(line, 131_090), None);
        }
        assert_eq!(
            [span(59), span(61), span(7260), span(90_000)],
            ["59 s", "1 min 1 s", "2 h 1 min", "1 d 1 h"]
        );
    }
}
