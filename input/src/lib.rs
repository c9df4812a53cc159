//! Files that a user names: keys, values, certificates, configurations, charts.
//!
//! Invariants:
//! - Every read has a limit.
//! - No read waits for a writer that may never come: FIFOs, sockets and devices are rejected. A pipe that the process
//!   inherited, for example from a shell's `<(command)`, is read, and `/dev/null` is an empty file.
//!
//! `path -> File | bytes`

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use error_class::{Class, Message};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// The size limit for files that have no smaller limit.
pub const MAX_SIZE: u64 = 64 << 20;

/// Opens a regular file, or a pipe that the process inherited.
///
/// # Errors
/// Any I/O error, or the file has another type.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a device can have side effects, so the file type is checked first.
    let inherited = is_inherited(path);
    check(&path.metadata()?, inherited)?;
    // The path may have become a FIFO in the meantime. Opening it must not wait either.
    let nonblocking = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(nonblocking.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    check(&file.metadata()?, inherited)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], or the file is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_from(open(path)?, limit)
}

/// Reads a whole text file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], or the text is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    text(read(path, limit)?)
}

/// Reads a stream, such as standard input, to its end, but at most `limit` bytes.
///
/// # Errors
/// Any error of the reader, or the stream is longer.
pub fn read_from(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it is larger than {}", size(limit));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, Message::new(Class::Usage, message)));
    }
    Ok(bytes)
}

/// Converts bytes to text.
///
/// # Errors
/// The bytes are not UTF-8.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, Message::new(Class::Usage, "it is not UTF-8".to_owned()))
    })
}

/// The folder in which relative paths of a file start: the folder of a regular file, and the current folder for a pipe.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.filter(|_| !path.exists() || path.is_file()).unwrap_or(Path::new("."))
}

fn size(bytes: u64) -> String {
    match bytes {
        mib if mib >= 1 << 20 && mib % (1 << 20) == 0 => format!("{} MiB", mib >> 20),
        kib if kib >= 1 << 10 && kib % (1 << 10) == 0 => format!("{} KiB", kib >> 10),
        other => format!("{other} bytes"),
    }
}

/// Whether a path names a file that the process already has open.
fn is_inherited(path: &Path) -> bool {
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];
    path == Path::new("/dev/stdin")
        || path.parent().is_some_and(|folder| folders.iter().any(|known| folder == Path::new(known)))
}

fn check(found: &Metadata, inherited: bool) -> io::Result<()> {
    let kind = found.file_type();
    // Users name `/dev/null` for an empty file. Linux assigns it these numbers (admin-guide/devices.txt).
    let is_null = kind.is_char_device() && found.rdev() == rustix::fs::makedev(1, 3);
    if kind.is_file() || is_null || inherited && kind.is_fifo() {
        return Ok(());
    }
    if kind.is_dir() {
        let message = Message::new(Class::Usage, "it is a folder, not a file".to_owned());
        return Err(io::Error::new(io::ErrorKind::IsADirectory, message));
    }
    let message = format!("it is {}, not a regular file", type_name(kind));
    Err(io::Error::new(io::ErrorKind::InvalidInput, Message::new(Class::Usage, message)))
}

fn type_name(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixListener;

    use error_class::Classified as _;
    use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};

    use super::*;

    #[test]
    fn the_null_device_is_an_empty_file() {
        assert_eq!(read(Path::new("/dev/null"), MAX_SIZE).unwrap(), b"");
    }

    #[test]
    fn a10_a_fifo_a_socket_and_a_device_are_rejected_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, socket) = (folder.path().join("fifo"), folder.path().join("socket"));
        mknodat(CWD, &fifo, Kind::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for (path, word) in [
            (fifo.as_path(), "a FIFO"),
            (&link, "a FIFO"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let refused = read(path, MAX_SIZE).unwrap_err();
            assert_eq!(refused.class(), Class::Usage);
            assert_eq!(refused.to_string(), format!("it is {word}, not a regular file"));
        }
    }

    #[test]
    fn a10_a_file_is_read_up_to_its_limit_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        let refused = read(&path, 4).unwrap_err();
        assert_eq!(
            (refused.class(), refused.to_string().as_str()),
            (Class::Usage, "it is larger than 4 bytes")
        );
        // A sparse file of one terabyte uses no memory.
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path, MAX_SIZE).unwrap_err().to_string(), "it is larger than 64 MiB");
        assert_eq!(read(&folder.path().join("none"), 4).unwrap_err().class(), Class::Missing);
        assert_eq!(read(folder.path(), 4).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(folder.path(), 4).unwrap_err().class(), Class::Usage);
        assert_eq!(text(vec![0xff]).unwrap_err().class(), Class::Usage);
    }

    #[test]
    fn o14_relative_paths_start_in_the_folder_of_a_regular_file_and_not_in_that_of_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(folder_of(&path), folder.path());
        std::fs::write(&path, "").unwrap();
        assert_eq!(folder_of(&path), folder.path());
        assert_eq!(folder_of(Path::new("file")), Path::new("."));
        let (reader, _writer) = io::pipe().unwrap();
        let pipe = format!("/proc/self/fd/{}", reader.as_raw_fd());
        assert_eq!(folder_of(Path::new(&pipe)), Path::new("."));
    }

    #[test]
    fn a10_a_pipe_that_the_process_inherited_is_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let waiting = std::thread::spawn(move || read_text(Path::new(&path), MAX_SIZE));
        std::thread::sleep(std::time::Duration::from_millis(20));
        writer.write_all(b"later").unwrap();
        drop(writer);
        assert_eq!(waiting.join().unwrap().unwrap(), "later");
    }
}
