//! A packaged chart: gzip over tar over one directory, as `helm package` writes it.
//!
//! Decompression stops at the limit on the bytes of all archives, so a decompression bomb costs no more than that
//! limit.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use gostd::limits::Limits;
use tar::EntryType;

use super::path;
use crate::error::Error;

/// One file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Relative to its chart, with `/`.
    pub(crate) name: String,
    /// Without a byte order mark.
    pub(crate) data: Vec<u8>,
}

/// The bytes and files that may still be read of one chart, sub-charts included.
pub(super) struct Budget<'a> {
    pub(super) limits: &'a Limits,
    bytes: Cell<u64>,
    files: Cell<usize>,
}

impl<'a> Budget<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, bytes: Cell::new(limits.archive_bytes), files: Cell::new(limits.files) }
    }

    /// Accounts for one more file.
    pub(super) fn file(&self) -> Result<(), Error> {
        let left = self.files.get().checked_sub(1).ok_or(Error::Limit { name: "files" })?;
        self.files.set(left);
        Ok(())
    }

    /// Accounts for `count` bytes.
    pub(super) fn take(&self, count: u64) -> Result<(), Error> {
        let left = self.bytes.get().checked_sub(count).ok_or(Error::Limit { name: "archive_bytes" })?;
        self.bytes.set(left);
        Ok(())
    }
}

/// The files of an archive, in its order.
pub(super) fn read(archive: impl Read, budget: &Budget<'_>) -> Result<Vec<File>, Error> {
    let mut compressed = BufReader::new(archive);
    let magic = io::BufRead::fill_buf(&mut compressed).map_err(Error::Archive)?;
    if !magic.starts_with(&[0x1f, 0x8b]) {
        return Err(Error::NotGzip);
    }
    let exceeded = Cell::new(false);
    let metered = Metered { inner: MultiGzDecoder::new(compressed), budget, exceeded: &exceeded };
    let explain = |error| {
        if exceeded.get() { Error::Limit { name: "archive_bytes" } } else { Error::Archive(error) }
    };
    let mut files: Vec<File> = Vec::new();
    for entry in tar::Archive::new(metered).entries().map_err(explain)? {
        let mut entry = entry.map_err(explain)?;
        let raw = entry.path_bytes().into_owned();
        if entry.header().entry_type().is_dir() || raw.ends_with(b"/") {
            budget.file()?;
            continue;
        }
        if is_extension(entry.header().entry_type()) {
            continue;
        }
        check_kind(entry.header().entry_type(), &raw)?;
        let name = path::in_archive(&raw)?;
        budget.file()?;
        if entry.size() > budget.limits.file_bytes {
            return Err(Error::LargeFile { path: name, bound: budget.limits.file_bytes });
        }
        let mut data = Vec::new();
        entry.read_to_end(&mut data).map_err(explain)?;
        if (data.len() as u64) < entry.size() {
            return Err(Error::Archive(io::ErrorKind::UnexpectedEof.into()));
        }
        files.push(File { name, data: without_mark(data) });
    }
    if files.is_empty() { Err(Error::NoFiles) } else { Ok(files) }
}

fn is_extension(kind: EntryType) -> bool {
    kind.is_pax_global_extensions() || kind.is_pax_local_extensions()
}

fn check_kind(kind: EntryType, name: &[u8]) -> Result<(), Error> {
    let path = || String::from_utf8_lossy(name).into_owned();
    match kind {
        EntryType::Regular | EntryType::Continuous => Ok(()),
        EntryType::Symlink => Err(Error::SymbolicLink { path: path() }),
        EntryType::Link => Err(Error::HardLink { path: path() }),
        _ => Err(Error::Irregular { path: path() }),
    }
}

/// The bytes without the UTF-8 byte order mark that some editors write.
pub(super) fn without_mark(mut data: Vec<u8>) -> Vec<u8> {
    if data.starts_with(b"\xef\xbb\xbf") {
        data.drain(..3);
    }
    data
}

/// Deducts every decompressed byte from the budget.
struct Metered<'a, R> {
    inner: R,
    budget: &'a Budget<'a>,
    exceeded: &'a Cell<bool>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if self.budget.take(count as u64).is_err() {
            self.exceeded.set(true);
            return Err(io::Error::other("too many bytes"));
        }
        Ok(count)
    }
}

/// Packages `files`, below one directory with the chart's name.
pub(super) fn write(name: &str, files: &[File]) -> Result<Vec<u8>, Error> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut archive = tar::Builder::new(gzip);
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive
            .append_data(&mut header, format!("{name}/{}", file.name), file.data.as_slice())
            .map_err(Error::Archive)?;
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(Error::Archive)
}

#[cfg(test)]
pub(crate) mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Builds an archive of `files` with unchecked names.
    pub(crate) fn pack(files: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, kind, data) in files {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, *data).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn load(archive: &[u8], limits: &Limits) -> Result<Vec<File>, Error> {
        read(archive, &Budget::new(limits))
    }

    #[test]
    fn files_come_out_without_directory_and_byte_order_mark() {
        let archive = pack(&[
            ("c/", EntryType::Directory, b""),
            ("c/Chart.yaml", EntryType::Regular, b"\xef\xbb\xbfname: c"),
        ]);
        let files = load(&archive, &Limits::default()).unwrap();
        assert_eq!(files, [File { name: "Chart.yaml".into(), data: b"name: c".into() }]);
    }

    #[test]
    fn links_and_devices_are_rejected_by_name() {
        let refused = |kind| load(&pack(&[("c/x", kind, b"")]), &Limits::default()).unwrap_err();
        assert!(matches!(refused(EntryType::Symlink), Error::SymbolicLink { path } if path == "c/x"));
        assert!(matches!(refused(EntryType::Link), Error::HardLink { .. }));
        assert!(matches!(refused(EntryType::Block), Error::Irregular { .. }));
        assert!(matches!(refused(EntryType::Fifo), Error::Irregular { .. }));
    }

    #[test]
    fn a_bomb_exceeds_the_limit_on_all_bytes() {
        let limits = Limits { archive_bytes: 100_000, file_bytes: 1 << 30, ..Limits::default() };
        let zeros = vec![0; 50_000_000];
        let bomb = pack(&[("c/x", EntryType::Regular, &zeros)]);
        assert!(bomb.len() < 1_000_000);
        assert!(matches!(load(&bomb, &limits), Err(Error::Limit { name: "archive_bytes" })));
    }

    #[test]
    fn large_and_many_files_exceed_their_limits() {
        let mut limits = Limits { file_bytes: 3, ..Limits::default() };
        let archive = pack(&[("c/x", EntryType::Regular, b"four")]);
        assert!(matches!(load(&archive, &limits), Err(Error::LargeFile { bound: 3, .. })));
        limits.files = 1;
        let archive = pack(&[("c/x", EntryType::Regular, b"1"), ("c/y", EntryType::Regular, b"2")]);
        assert!(matches!(load(&archive, &limits), Err(Error::Limit { name: "files" })));
    }

    #[test]
    fn invalid_archives_are_reported() {
        assert!(matches!(load(b"apiVersion: v2", &Limits::default()), Err(Error::NotGzip)));
        assert!(matches!(load(&[0x1f, 0x8b, 9, 9], &Limits::default()), Err(Error::Archive(_))));
        assert!(matches!(load(&pack(&[]), &Limits::default()), Err(Error::NoFiles)));
        let whole = pack(&[("c/x", EntryType::Regular, &[7; 4000])]);
        let cut = whole.get(..whole.len() / 2).unwrap();
        assert!(matches!(load(cut, &Limits::default()), Err(Error::Archive(_))));
    }
}
