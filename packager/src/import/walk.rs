//! Reads every payload byte of a set once, compares it with the manifest, and passes the content on.

use std::sync::Arc;

use oci::{Algorithm, Hasher};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use crate::bundle::extents::{self, Piece};
use crate::bundle::tar::{self, TRAILER};
use crate::bundle::{BundleManifest, Encoding, Entry, Error};
use crate::media::{Media, Payload};

/// The size of a read.
const BUFFER: usize = 256 << 10;

/// The number of buffers that other threads may be using.
const BUFFERS: usize = 16;

/// Bytes that are shared between threads.
#[derive(Clone)]
pub(crate) struct Chunk {
    buffer: Arc<Vec<u8>>,
    len: usize,
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// A ring of buffers. A buffer that is still in use is left to its reader and replaced.
struct Buffers {
    ring: Vec<Arc<Vec<u8>>>,
    next: usize,
}

impl Buffers {
    fn new() -> Self {
        Self { ring: vec![Arc::default(); BUFFERS], next: 0 }
    }

    /// A chunk of the bytes that `fill` writes to a buffer; `fill` returns their number.
    fn chunk<E>(&mut self, fill: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<Chunk, E> {
        self.next = (self.next + 1) % BUFFERS;
        let slot = &mut self.ring[self.next];
        if Arc::get_mut(slot).is_none_or(|buffer| buffer.is_empty()) {
            *slot = Arc::new(vec![0; BUFFER]);
        }
        let buffer: &mut Vec<u8> = Arc::make_mut(slot);
        let len = fill(buffer)?;
        Ok(Chunk { buffer: Arc::clone(slot), len })
    }
}

/// Receives the content of entries, one after another.
pub(crate) trait Sink {
    /// An entry begins.
    fn begin(&mut self, entry: &Entry) -> Result<(), Error>;
    /// The next bytes of content.
    fn write(&mut self, chunk: &Chunk) -> Result<(), Error>;
    /// The entry ends. Checks that its bytes match its digest.
    fn finish(&mut self, entry: &Entry) -> Result<(), Error>;
}

/// The volumes to read.
pub(crate) struct Volumes {
    /// Their numbers, in order.
    pub(crate) numbers: Vec<u32>,
    /// The binary logarithm of the maximum zstd window.
    pub(crate) window_log: u32,
}

impl Volumes {
    /// All volumes of a set.
    pub(crate) fn all(manifest: &BundleManifest, media: &Media) -> Self {
        Self { numbers: (1..=manifest.volumes).collect(), window_log: media.limits().window_log }
    }
}

/// Opens a volume at its payload.
pub(crate) type Payloads<'a> = dyn FnMut(u32) -> Result<Payload, Error> + 'a;

/// Reads all volumes in order.
pub(crate) fn walk(media: &Media, manifest: &BundleManifest, sink: &mut dyn Sink) -> Result<(), Error> {
    let volumes = Volumes::all(manifest, media);
    walk_volumes(manifest, &volumes, &mut |number| media.payload(number), sink)
}

/// Reads volumes in order. Skips the rest of an entry that began on a volume that is left out.
pub(crate) fn walk_volumes(
    manifest: &BundleManifest,
    volumes: &Volumes,
    payloads: &mut Payloads<'_>,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    let window_log = volumes.window_log;
    let mut walker = Walker { manifest, sink, content: None, buffers: Buffers::new(), window_log };
    let mut last = 0;
    for number in volumes.numbers.iter().copied() {
        if number != last + 1 {
            walker.content = None;
        }
        last = number;
        let mut payload = payloads(number)?;
        for piece in extents::pieces(manifest, number) {
            walker.piece(&mut payload, piece)?;
        }
        zeros(&mut payload, TRAILER)?;
    }
    Ok(())
}

struct Walker<'a> {
    manifest: &'a BundleManifest,
    sink: &'a mut dyn Sink,
    /// The entry being read.
    content: Option<Content>,
    buffers: Buffers,
    window_log: u32,
}

/// The state of an entry between its extents.
struct Content {
    decoder: Option<Decompressor>,
    len: u64,
}

struct Decompressor {
    zstd: Decoder<'static>,
    encoded: Hasher,
    complete: bool,
}

impl Walker<'_> {
    fn piece(&mut self, payload: &mut Payload, piece: Piece) -> Result<(), Error> {
        let entry = &self.manifest.entries[piece.entry];
        let extent = entry.extents[piece.extent];
        self.header(payload, piece, extent.length)?;
        if piece.extent == 0 {
            self.sink.begin(entry)?;
            self.content = Some(self.start(entry)?);
        }
        let mut left = extent.length;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let chunk = self.buffers.chunk(|buffer| {
                payload.fill(&mut buffer[..count])?;
                Ok::<_, Error>(count)
            })?;
            self.feed(entry, &chunk)?;
            left -= count as u64;
        }
        zeros(payload, tar::padding(extent.length))?;
        if piece.extent + 1 == entry.extents.len()
            && let Some(content) = self.content.take()
        {
            finish(entry, content)?;
            self.sink.finish(entry)?;
        }
        Ok(())
    }

    /// Compares the tar header with the one that the manifest implies.
    fn header(&mut self, payload: &mut Payload, piece: Piece, length: u64) -> Result<(), Error> {
        let entry = &self.manifest.entries[piece.entry];
        let name = entry.tar_name(piece.extent);
        let expected = tar::header(&name, length);
        let mut found = vec![0; expected.len()];
        let offset = payload.offset;
        payload.fill(&mut found)?;
        if found == expected {
            return Ok(());
        }
        let earlier = &self.manifest.entries[..piece.entry];
        let seen = |name: &str| {
            earlier.iter().any(|entry| (0..entry.extents.len()).any(|n| entry.tar_name(n) == name))
        };
        let defect = tar::diagnose(&found, &name, length, seen);
        Err(Error::Header { path: payload.path.clone(), offset, defect })
    }

    fn start(&self, entry: &Entry) -> Result<Content, Error> {
        let failed = |source| Error::Compression { name: entry.path(), source };
        let decoder = match entry.encoding {
            Encoding::Identity => None,
            Encoding::Zstd => {
                let mut zstd = Decoder::new().map_err(failed)?;
                zstd.set_parameter(DParameter::WindowLogMax(self.window_log)).map_err(failed)?;
                Some(Decompressor { zstd, encoded: Hasher::new(Algorithm::Sha256), complete: false })
            }
        };
        Ok(Content { decoder, len: 0 })
    }

    /// Processes bytes as they are on the medium.
    fn feed(&mut self, entry: &Entry, chunk: &Chunk) -> Result<(), Error> {
        let Some(content) = &mut self.content else { return Ok(()) };
        let bytes = chunk.bytes();
        let Some(decoder) = &mut content.decoder else {
            content.len += bytes.len() as u64;
            return self.sink.write(chunk);
        };
        decoder.encoded.update(bytes);
        let mut input = InBuffer::around(bytes);
        loop {
            let plain = self
                .buffers
                .chunk(|buffer| decoder.run(&mut input, buffer))
                .map_err(|source| Error::Compression { name: entry.path(), source })?;
            content.len += plain.len as u64;
            if content.len > entry.size {
                return Err(Error::DecompressionBomb { name: entry.path(), size: entry.size });
            }
            self.sink.write(&plain)?;
            // After the end of the frame there is nothing to flush, and another call would begin a new frame.
            if input.pos() == bytes.len() && (plain.len < BUFFER || decoder.complete) {
                return Ok(());
            }
        }
    }
}

impl Decompressor {
    /// Writes the next decoded bytes to `buffer`; returns their number.
    fn run(&mut self, input: &mut InBuffer<'_>, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut output = OutBuffer::around(buffer);
        self.complete = self.zstd.run(input, &mut output)? == 0;
        Ok(output.pos())
    }
}

/// Checks bytes that must be zero.
fn zeros(payload: &mut Payload, length: u64) -> Result<(), Error> {
    let offset = payload.offset;
    let mut rest = vec![0; usize::try_from(length).unwrap_or(0)];
    payload.fill(&mut rest)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Error::Padding { path: payload.path.clone(), offset });
    }
    Ok(())
}

fn finish(entry: &Entry, content: Content) -> Result<(), Error> {
    if let Some(decoder) = content.decoder {
        let found = decoder.encoded.finish();
        if let Some(expected) = entry.encoded_digest.clone()
            && found != expected
        {
            return Err(Error::Content { name: entry.tar_name(0), found, expected });
        }
        if !decoder.complete {
            let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
            return Err(Error::Compression { name: entry.path(), source });
        }
    }
    if content.len != entry.size {
        return Err(Error::WrongSize { name: entry.path(), found: content.len, expected: entry.size });
    }
    Ok(())
}

/// A sink that only hashes.
pub(crate) struct HashSink<'a> {
    hasher: Option<Hasher>,
    reporter: &'a dyn mirror::reporter::Reporter,
}

impl<'a> HashSink<'a> {
    pub(crate) fn new(reporter: &'a dyn mirror::reporter::Reporter) -> Self {
        Self { hasher: None, reporter }
    }
}

impl Sink for HashSink<'_> {
    fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        self.hasher = Some(Hasher::new(entry.digest.algorithm()));
        Ok(())
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let bytes = chunk.bytes();
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.reporter.advance(bytes.len() as u64);
        Ok(())
    }

    fn finish(&mut self, entry: &Entry) -> Result<(), Error> {
        match self.hasher.take().map(Hasher::finish) {
            Some(found) if found != entry.digest => {
                Err(Error::Content { name: entry.path(), found, expected: entry.digest.clone() })
            }
            _ => Ok(()),
        }
    }
}
