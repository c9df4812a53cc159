//! An index of the entries in a tar file. Links are followed within the archive, and never out of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::Slice;
use super::layout::Files;
use crate::Error;

/// The maximum number of entries in an archive.
const MOST_ENTRIES: usize = 100_000;
/// The maximum length of a chain of links.
const MOST_LINKS: usize = 16;
/// The maximum size of an unpacked archive.
const MOST_UNPACKED: u64 = 256 << 30;

/// A file that is removed with its last user.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new file in a folder. The name begins with `tmp-`, so that the store removes it after a killed run.
    fn create(folder: &Path) -> io::Result<(Self, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        std::fs::create_dir_all(folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("tmp-archive-{}-{number}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Self(path), file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An entry of the archive.
enum Entry {
    File {
        offset: u64,
        len: u64,
    },
    /// The target of a link; `None` if it is outside the archive.
    Link(Option<String>),
}

pub(super) struct Archive {
    path: PathBuf,
    unpacked: Option<Arc<Scratch>>,
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Reads the headers only. A compressed archive is unpacked first.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.display().to_string(), source };
        let broken = |what| Error::Archive { path: path.to_owned(), what };
        let mut file = input::open(path).map_err(failed)?;
        if let Some(what) = unknown_compression(&mut file).map_err(failed)? {
            return Err(broken(what));
        }
        let (file, unpacked) = plain(file, scratch).map_err(failed)?;
        let mut entries = BTreeMap::new();
        let mut archive = tar::Archive::new(file);
        for entry in archive.entries_with_seek().map_err(|_| broken("no tar archive in it"))? {
            let mut entry = entry.map_err(|_| broken("a damaged or truncated tar archive in it"))?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_sparse() || is_sparse(&mut entry) {
                return Err(broken(
                    "a sparse file, which is not stored byte for byte: create the archive without `--sparse`",
                ));
            }
            let Some(name) = entry.path().ok().and_then(|path| inside("", &path)) else { continue };
            let target = || entry.link_name().ok().flatten();
            let found = if kind.is_file() {
                Entry::File { offset: entry.raw_file_position(), len: entry.size() }
            } else if kind.is_symlink() {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                Entry::Link(target().and_then(|target| inside(folder, &target)))
            } else if kind.is_hard_link() {
                Entry::Link(target().and_then(|target| inside("", &target)))
            } else {
                continue;
            };
            if entries.insert(name, found).is_some() || entries.len() > MOST_ENTRIES {
                return Err(broken("a duplicate entry, or too many entries"));
            }
        }
        Ok(Self { path: path.to_owned(), unpacked, entries })
    }
}

impl Files for Archive {
    fn slice(&self, name: &str) -> Option<Slice> {
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match self.entries.get(name)? {
                Entry::File { offset, len } => {
                    let (path, unpacked) = (self.path.clone(), self.unpacked.clone());
                    return Some(Slice { path, offset: *offset, len: *len, unpacked });
                }
                Entry::Link(target) => name = target.as_deref()?,
            }
        }
        None
    }
}

/// Whether PAX headers state that the file is sparse.
fn is_sparse(entry: &mut tar::Entry<'_, File>) -> bool {
    let headers = entry.pax_extensions().ok().flatten();
    headers.into_iter().flatten().flatten().any(|header| header.key_bytes().starts_with(b"GNU.sparse."))
}

/// Detects compressions that are not supported.
fn unknown_compression(file: &mut File) -> io::Result<Option<&'static str>> {
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(match magic[..] {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Some("xz compression, which is not supported: unpack the archive with `unxz`")
        }
        [b'B', b'Z', b'h', ..] => {
            Some("bzip2 compression, which is not supported: unpack the archive with `bunzip2`")
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => {
            Some("lz4 compression, which is not supported: unpack the archive with `unlz4`")
        }
        _ => None,
    })
}

/// Resolves a path from a folder of the archive; `None` if the result is outside the archive.
fn inside(folder: &str, path: &Path) -> Option<String> {
    use std::path::Component;
    let mut parts: Vec<String> =
        folder.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?.to_owned()),
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// The file itself, or an unpacked copy if it is compressed with gzip or zstd.
fn plain(mut file: File, scratch: &Path) -> io::Result<(File, Option<Arc<Scratch>>)> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    let reader = BufReader::new(file);
    let mut decoder: Box<dyn Read> = match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(reader)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(reader)?),
        _ => return Ok((reader.into_inner(), None)),
    };
    let (scratch, mut unpacked) = Scratch::create(scratch)?;
    let size = io::copy(&mut decoder.by_ref().take(MOST_UNPACKED + 1), &mut unpacked)?;
    if size > MOST_UNPACKED {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    unpacked.seek(SeekFrom::Start(0))?;
    let file = File::open(scratch.path())?;
    Ok((file, Some(Arc::new(scratch))))
}
