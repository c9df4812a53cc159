//! Reads a blob's file to its end, and tells wrong bytes from a file that cannot be read. Bytes are wrong only if two
//! readings say so; a reading that fails is repeated after a pause.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use oci::{Digest, Hasher};
use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::Errno;

use crate::blob::BUFFER;

/// The pauses before a reading that failed is repeated.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// What the readings of a file show.
#[derive(Debug)]
pub(crate) enum Reading {
    /// It hashes to its name.
    Sound,
    /// It is a file, but its bytes hash to other digests; the last one.
    Wrong(Digest),
    /// The disk or the file system refuses to read it.
    Unreadable(io::Error),
    /// The caller stopped.
    Stopped,
}

/// Opens a blob's file. Whatever is in its place, this does not wait, as it would for a FIFO.
pub(crate) fn open_blob(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Reads an open file without changing its position. `watch` gets the number of bytes of each piece, and returns whether to
/// go on.
///
/// # Errors
/// When the process cannot read at all, which says nothing about the file.
pub(crate) fn read_blob(
    file: &File,
    digest: &Digest,
    watch: &mut dyn FnMut(u64) -> bool,
) -> io::Result<Reading> {
    let mut pauses = PAUSES.iter();
    let mut is_second = false;
    loop {
        match hash(file, digest, watch) {
            Ok(None) => return Ok(Reading::Stopped),
            Ok(Some(found)) if found == *digest => return Ok(Reading::Sound),
            Ok(Some(found)) if is_second => return Ok(Reading::Wrong(found)),
            Ok(Some(found)) => {
                tracing::warn!(%digest, %found, "a blob does not match its digest; reading it again");
                is_second = true;
                // From the disk, if the system can drop the pages.
                let _ = fadvise(file, 0, None, Advice::DontNeed);
            }
            Err(error) if !is_of_the_file(&error) => return Err(error),
            Err(error) => match pauses.next() {
                Some(pause) => std::thread::sleep(*pause),
                None => return Ok(Reading::Unreadable(error)),
            },
        }
    }
}

/// Whether an error says that this file cannot be read, and not that the process has too few resources.
pub(crate) fn is_of_the_file(error: &io::Error) -> bool {
    let known = [
        Errno::IO,
        Errno::ACCESS,
        Errno::PERM,
        Errno::LOOP,
        Errno::NXIO,
        Errno::NODEV,
        Errno::ISDIR,
        Errno::BADMSG,
        Errno::UCLEAN,
    ];
    Errno::from_io_error(error).is_some_and(|error| known.contains(&error))
}

/// Hashes the file from its beginning; none if `watch` stops.
fn hash(file: &File, digest: &Digest, watch: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Digest>> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                at += count as u64;
                if !watch(count as u64) {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_file_itself_count_against_it() {
        for errno in [Errno::IO, Errno::ACCESS, Errno::ISDIR] {
            assert!(is_of_the_file(&errno.into()), "{errno:?}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOENT, Errno::STALE] {
            assert!(!is_of_the_file(&errno.into()), "{errno:?}");
        }
    }

    #[test]
    fn wrong_bytes_are_read_twice_and_a_folder_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        std::fs::write(&path, b"content").unwrap();
        let file = open_blob(&path).unwrap();
        let mut seen = 0;
        let mut watch = |count| {
            seen += count;
            true
        };
        let sound = read_blob(&file, &Digest::sha256(b"content"), &mut watch).unwrap();
        assert!(matches!(sound, Reading::Sound));
        let wrong = read_blob(&file, &Digest::sha256(b"other"), &mut watch).unwrap();
        assert!(matches!(wrong, Reading::Wrong(found) if found == Digest::sha256(b"content")));
        assert_eq!(seen, 7 + 2 * 7);
        let stopped = read_blob(&file, &Digest::sha256(b"other"), &mut |_| false).unwrap();
        assert!(matches!(stopped, Reading::Stopped));
        let folder = open_blob(folder.path()).unwrap();
        let unreadable = read_blob(&folder, &Digest::sha256(b""), &mut |_| true).unwrap();
        assert!(matches!(unreadable, Reading::Unreadable(_)));
    }

    #[test]
    fn opening_a_fifo_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        assert!(!open_blob(&path).unwrap().metadata().unwrap().is_file());
    }
}
