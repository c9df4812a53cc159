//! The content of a download: text and parts of files in order, taken piece by piece, and hashed if it is a whole blob.
//!
//! Bytes in the page cache are read without waiting; everything else is read on the blocking pool, so that no task waits
//! for a disk. The last piece of a whole blob is given out only if the hash matches. A file that was hashed before is not
//! hashed again as long as its pages stay in the page cache: only the disk could return other bytes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

use bytes::Bytes;
use oci::{Digest, Hasher};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

/// Content up to this size is sent from memory.
const SMALL: u64 = 16 * 1024;

/// The distance of the bytes that are probed in the page cache. The kernel reads and drops pages in groups, so few gaps are
/// missed; each of these makes one task wait for the disk.
const PROBE: u64 = 32 * 1024;

/// A part of a file.
#[derive(Clone, Debug)]
pub(super) struct FilePart {
    pub(super) file: Arc<File>,
    pub(super) at: u64,
    pub(super) len: u64,
}

/// A part of a response body.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(Bytes),
    File(FilePart),
}

/// Learns what reading the content showed. Called on the blocking pool.
pub(super) trait Findings: Send {
    /// The whole content was hashed and matches its digest.
    fn is_sound(&self);
    /// The content cannot be read, or does not match its digest.
    fn is_damaged(&self, error: &io::Error);
}

/// The rest of a response body.
pub(super) struct Content {
    parts: VecDeque<Part>,
    left: u64,
    digest: Digest,
    hash: Hash,
    findings: Box<dyn Findings>,
}

/// How the content is checked.
enum Hash {
    /// It is not a whole blob.
    Off,
    /// The whole blob was hashed before; these parts of it were in the page cache.
    Known(Vec<FilePart>),
    Running(Hasher),
}

impl Part {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Text(bytes) => bytes.len() as u64,
            Self::File(part) => part.len,
        }
    }
}

impl FilePart {
    /// Removes and returns the first `len` bytes.
    fn split_to(&mut self, len: u64) -> Self {
        let first = Self { file: Arc::clone(&self.file), at: self.at, len };
        self.at += len;
        self.len -= len;
        first
    }

    /// Whether it is in the page cache, as far as probes show.
    pub(super) fn is_cached(&self) -> bool {
        let end = self.at + self.len;
        let mut probes =
            (self.at..end).step_by(usize::try_from(PROBE).unwrap_or(usize::MAX)).chain([end - 1]);
        probes.all(|at| read_cached(&self.file, at, &mut [0]))
    }

    /// Reads it into a buffer of its length, if it is in the page cache.
    pub(super) fn read_cached(&self, buffer: &mut [u8]) -> bool {
        read_cached(&self.file, self.at, buffer)
    }

    /// Reads it in pieces of the buffer's size. A blob never changes, so fewer bytes mean a damaged file.
    fn read(&self, buffer: &mut [u8], mut with: impl FnMut(&[u8])) -> io::Result<()> {
        let mut rest = self.clone();
        while rest.len > 0 {
            let most = usize::try_from(rest.len).unwrap_or(usize::MAX).min(buffer.len());
            let piece = &mut buffer[..most];
            read_exact(&rest.file, rest.at, piece)?;
            with(piece);
            rest.split_to(most as u64);
        }
        Ok(())
    }
}

fn read_cached(file: &File, at: u64, buffer: &mut [u8]) -> bool {
    let mut done = 0;
    while done < buffer.len() {
        let rest = &mut [IoSliceMut::new(&mut buffer[done..])];
        match preadv2(file, rest, at + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(count) if count > 0 => done += count,
            Err(Errno::INTR) => {}
            // Pages that are not in the cache, the end of the file, errors, and file systems without this flag.
            _ => return false,
        }
    }
    true
}

fn read_exact(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match pread(file, &mut buffer[done..], at + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Content {
    /// Content that is only a part of what has a digest.
    pub(super) fn partial(mut parts: Vec<Part>, digest: Digest, findings: Box<dyn Findings>) -> Self {
        parts.retain(|part| part.len() > 0);
        let left = parts.iter().map(Part::len).sum();
        Self { parts: parts.into(), left, digest, hash: Hash::Off, findings }
    }

    /// Exactly the content that has the digest. `hashed` states whether it was hashed before in this state.
    pub(super) fn whole(parts: Vec<Part>, digest: Digest, hashed: bool, findings: Box<dyn Findings>) -> Self {
        let hash =
            if hashed { Hash::Known(Vec::new()) } else { Hash::Running(Hasher::new(digest.algorithm())) };
        Self { hash, ..Self::partial(parts, digest, findings) }
    }

    /// The number of bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The whole rest if it is small, in the page cache and, for a whole blob, matches the digest. A blob that does not is
    /// hashed again when it is read.
    pub(super) fn small(&mut self) -> Option<Bytes> {
        if self.left > SMALL {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(self.left).ok()?];
        let mut at = 0;
        for part in &self.parts {
            let end = at + usize::try_from(part.len()).ok()?;
            match part {
                Part::Text(text) => bytes[at..end].copy_from_slice(text),
                Part::File(part) if part.read_cached(&mut bytes[at..end]) => {}
                Part::File(_) => return None,
            }
            at = end;
        }
        if matches!(self.hash, Hash::Off) || Digest::of(self.digest.algorithm(), &bytes) == self.digest {
            return Some(Bytes::from(bytes));
        }
        self.hash = Hash::Running(Hasher::new(self.digest.algorithm()));
        None
    }

    /// Takes the next piece, of at most `most` bytes if it is part of a file. A piece of a file must then be passed to
    /// [`Content::is_sent_from_cache`] or [`Content::read`].
    pub(super) fn next(&mut self, most: u64) -> Option<Part> {
        let piece = match self.parts.front_mut()? {
            Part::File(part) if part.len > most => Part::File(part.split_to(most)),
            Part::File(_) | Part::Text(_) => self.parts.pop_front()?,
        };
        self.left -= piece.len();
        Some(piece)
    }

    /// Whether pieces must be read even if they are in the page cache.
    pub(super) fn is_hashing(&self) -> bool {
        matches!(self.hash, Hash::Running(_))
    }

    /// Records that a piece is sent from the page cache.
    pub(super) fn is_sent_from_cache(&mut self, piece: &FilePart) {
        let Hash::Known(sent) = &mut self.hash else { return };
        match sent.last_mut() {
            Some(last) if Arc::ptr_eq(&last.file, &piece.file) && last.at + last.len == piece.at => {
                last.len += piece.len;
            }
            _ => sent.push(piece.clone()),
        }
    }

    /// Reads a piece, and checks the hash if it is the last one of a whole blob. Blocks. If the buffer has the piece's length,
    /// it contains the piece then.
    pub(super) fn read(&mut self, piece: &FilePart, buffer: &mut [u8]) -> io::Result<()> {
        let read = self.read_and_hash(piece, buffer);
        match &read {
            Ok(true) => self.findings.is_sound(),
            Ok(false) => {}
            Err(error) => self.findings.is_damaged(error),
        }
        read.map(drop)
    }

    /// Returns whether the whole content was hashed.
    fn read_and_hash(&mut self, piece: &FilePart, buffer: &mut [u8]) -> io::Result<bool> {
        if let Hash::Known(sent) = &mut self.hash {
            let mut hasher = Hasher::new(self.digest.algorithm());
            for part in sent {
                part.read(buffer, |bytes| hasher.update(bytes))?;
            }
            self.hash = Hash::Running(hasher);
        }
        let Hash::Running(hasher) = &mut self.hash else { return piece.read(buffer, |_| ()).map(|()| false) };
        piece.read(buffer, |bytes| hasher.update(bytes))?;
        if self.left > 0 {
            return Ok(false);
        }
        if hasher.clone().finish() == self.digest {
            return Ok(true);
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the content does not match its digest"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<bool>>>);

    impl Findings for Notes {
        fn is_sound(&self) {
            self.0.lock().unwrap().push(true);
        }

        fn is_damaged(&self, _: &io::Error) {
            self.0.lock().unwrap().push(false);
        }
    }

    fn file(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    fn part(file: &Arc<File>, at: u64, len: u64) -> Part {
        Part::File(FilePart { file: Arc::clone(file), at, len })
    }

    fn bytes() -> Vec<u8> {
        (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    /// Takes all pieces; reads those for which `is_read` returns true, and takes the others from the page cache.
    fn take(content: &mut Content, is_read: impl Fn(usize) -> bool) -> io::Result<Vec<u8>> {
        let mut taken = Vec::new();
        let mut at = 0;
        while let Some(piece) = content.next(70_000) {
            match piece {
                Part::Text(bytes) => taken.extend_from_slice(&bytes),
                Part::File(piece) => {
                    let mut buffer = vec![0; usize::try_from(piece.len).unwrap()];
                    if is_read(at) || content.is_hashing() {
                        content.read(&piece, &mut buffer)?;
                    } else {
                        assert!(piece.is_cached() && piece.read_cached(&mut buffer));
                        content.is_sent_from_cache(&piece);
                    }
                    taken.extend_from_slice(&buffer);
                    at += 1;
                }
            }
        }
        assert_eq!(content.left(), 0);
        Ok(taken)
    }

    #[test]
    fn text_and_parts_of_files_are_taken_in_order_and_completely() {
        let (notes, bytes) = (Notes::default(), bytes());
        let (one, two) = (file(&bytes), file(&bytes[..1000]));
        let parts = vec![
            Part::Text(Bytes::from_static(b"begin")),
            part(&one, 5, 200_000),
            part(&one, 7, 0),
            Part::Text(Bytes::new()),
            part(&two, 0, 1000),
            Part::Text(Bytes::from_static(b"end")),
        ];
        let expected = [b"begin", &bytes[5..200_005], &bytes[..1000], b"end"].concat();
        for is_read in [true, false] {
            let mut content =
                Content::partial(parts.clone(), Digest::sha256(b"other"), Box::new(notes.clone()));
            assert_eq!(content.left(), expected.len() as u64);
            assert_eq!(content.small(), None);
            assert!(take(&mut content, |_| is_read).unwrap() == expected);
        }
        assert!(notes.0.lock().unwrap().is_empty(), "a part has no digest");
    }

    #[test]
    fn a_whole_blob_is_hashed_and_its_last_piece_withheld_if_the_hash_is_wrong() {
        let bytes = bytes();
        let parts = vec![part(&file(&bytes), 0, bytes.len() as u64)];
        for (digest, hashed, first_read, expected) in [
            (Digest::sha256(&bytes), false, 0, Some(true)),
            (Digest::sha256(b"other"), false, 0, Some(false)),
            // Hashed before: again only from the first piece on that left the page cache.
            (Digest::sha256(b"other"), true, 99, None),
            (Digest::sha256(&bytes), true, 3, Some(true)),
            (Digest::sha256(b"other"), true, 3, Some(false)),
            (Digest::sha256(b"other"), true, 5, Some(false)),
        ] {
            let notes = Notes::default();
            let mut content = Content::whole(parts.clone(), digest, hashed, Box::new(notes.clone()));
            let taken = take(&mut content, |at| at >= first_read);
            assert_eq!(taken.is_ok(), expected != Some(false), "{hashed} {first_read}");
            assert_eq!(notes.0.lock().unwrap().first().copied(), expected);
        }
    }

    #[test]
    fn small_content_is_taken_at_once_unless_it_is_damaged() {
        let bytes = &bytes()[..10_000];
        let parts = vec![part(&file(bytes), 0, 10_000)];
        for hashed in [true, false] {
            let whole = |digest| Content::whole(parts.clone(), digest, hashed, Box::new(Notes::default()));
            assert_eq!(whole(Digest::sha256(bytes)).small().unwrap(), bytes);
            let mut damaged = whole(Digest::sha256(b"other"));
            assert_eq!(damaged.small(), None);
            assert!(take(&mut damaged, |_| false).is_err(), "it is hashed although it was hashed before");
        }
        let longer = vec![part(&file(bytes), 0, 10_001)];
        let mut longer = Content::partial(longer, Digest::sha256(bytes), Box::new(Notes::default()));
        assert_eq!(longer.small(), None, "the file is too short");
    }

    #[test]
    fn a_file_that_is_too_short_is_damaged() {
        let (notes, bytes) = (Notes::default(), bytes());
        let parts = vec![part(&file(&bytes), 0, bytes.len() as u64 + 1)];
        let mut content = Content::partial(parts, Digest::sha256(&bytes), Box::new(notes.clone()));
        assert!(take(&mut content, |_| true).is_err());
        assert_eq!(*notes.0.lock().unwrap(), [false]);
    }
}
