//! Files that the user names: read within a size limit, and written atomically or to standard output.

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use private::{Existing, Readers};

use crate::failure::Usage;
use crate::printer::Printer;

/// Reads a text file, up to the limit for such files.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    input::read_text(path, input::MAX_SIZE).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Writes a file atomically. An existing file is replaced.
pub(crate) fn write(path: &Path, bytes: &[u8], readers: Readers) -> anyhow::Result<()> {
    private::publish(path, bytes, Existing::Replace, readers)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// Writes a file atomically. An existing file is not replaced.
pub(crate) fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> anyhow::Result<()> {
    match private::publish(path, bytes, Existing::Keep, readers) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(existing(path).into()),
        written => written.with_context(|| format!("cannot write `{}`", path.display())),
    }
}

/// The error for a file that exists and is not replaced.
pub(crate) fn existing(path: &Path) -> Usage {
    let message = format!("`{}` already exists and is not overwritten", path.display());
    Usage { message, hint: "give another file name, or move this file" }
}

/// Locks the folder of a file that is read and then replaced, so that no other process changes the file meanwhile.
pub(crate) fn lock_folder_of(path: &Path) -> anyhow::Result<File> {
    let folder = private::folder_of(path);
    let opened = File::open(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    Ok(private::hold(opened, folder, private::Hold::Alone, private::PATIENCE)?)
}

/// Checks that a path, if it exists, is a folder.
pub(crate) fn check_folder(path: &Path) -> anyhow::Result<()> {
    if path.exists() && !path.is_dir() {
        let message = format!("`{}` is not a folder", path.display());
        return Err(Usage { message, hint: "give the path of a folder" }.into());
    }
    Ok(())
}

/// Where a command writes its one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output<'a> {
    /// Standard output, which then has nothing else.
    Stdout,
    File(&'a Path),
}

impl<'a> Output<'a> {
    /// `-` is standard output. Folders, devices and pipes are refused: a file cannot be written to them atomically.
    pub(crate) fn of(path: &'a Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let hint = "give a file, or `-` for standard output";
        let kind = match path.metadata() {
            _ if is_stream(path) => "a device or a pipe",
            Ok(found) if found.is_dir() => "a folder",
            Ok(found) if !found.is_file() => "a device or a pipe",
            _ => return Ok(Self::File(path)),
        };
        Err(Usage { message: format!("`{}` is {kind}, not a file", path.display()), hint }.into())
    }

    pub(crate) fn path(self) -> &'a Path {
        match self {
            Self::Stdout => Path::new("-"),
            Self::File(path) => path,
        }
    }

    /// Writes a new file. Text for standard output is printed later, with the result: [`Printer::written`].
    pub(crate) fn create(self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(path) => write_new(path, text.as_bytes(), Readers::All),
        }
    }

    /// Like [`Self::create`], but an existing file is replaced.
    pub(crate) fn replace(self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(path) => write(path, text.as_bytes(), Readers::All),
        }
    }
}

/// Whether a path names an open stream of this process, whatever the stream is.
fn is_stream(path: &Path) -> bool {
    let streams = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];
    streams.iter().any(|stream| path == Path::new(stream))
        || path.parent().is_some_and(|folder| folders.iter().any(|known| folder == Path::new(known)))
}

/// Standard output for the bytes of a file. A terminal is refused: the bytes could control it.
pub(crate) fn stdout_for_bytes() -> anyhow::Result<impl std::io::Write> {
    let out = std::io::stdout().lock();
    if out.is_terminal() {
        let message = "a file's content is not printed to a terminal".to_owned();
        return Err(Usage { message, hint: "give a file, or redirect standard output" }.into());
    }
    Ok(out)
}

/// A folder that is deleted on drop.
pub(crate) fn temporary_folder(what: &str) -> anyhow::Result<tempfile::TempDir> {
    tempfile::tempdir().with_context(|| {
        let within = std::env::temp_dir();
        format!(
            "cannot create a folder for {what} in `{}`; to use another folder, set TMPDIR",
            within.display()
        )
    })
}

/// Files that a command created. They are removed on drop, unless they are kept.
#[derive(Debug, Default)]
pub(crate) struct NewFiles(Vec<std::path::PathBuf>);

impl NewFiles {
    pub(crate) fn add(&mut self, path: &Path) {
        self.0.push(path.to_owned());
    }

    /// Keeps the files.
    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        for path in &self.0 {
            // The error that made the command fail is reported, not this one.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Warns about a private key that other users of the machine can read.
pub(crate) fn warn_of_readable(path: &Path, text: &str, printer: &Printer) {
    use std::os::unix::fs::PermissionsExt as _;
    let is_readable = || path.metadata().is_ok_and(|found| found.permissions().mode() & 0o044 != 0);
    if text.contains("PRIVATE KEY-----") && is_readable() {
        let path = path.display();
        printer.say(&format!(
            "warning: other users can read the private key `{path}`; to keep it secret, run `chmod 600`"
        ));
    }
}
