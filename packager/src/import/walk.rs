//! Reads every payload byte of a set once, compares all that the manifest fixes, and hands content on.

use oci::{Algorithm, Hasher};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

use crate::bundle::layout::{self, Piece};
use crate::bundle::tar::{self, TRAILER};
use crate::bundle::{BundleManifest, Encoding, Entry, Error};
use crate::media::{Media, Payload};

/// The unit of reading.
const BUFFER: usize = 1 << 20;

/// Takes the content of entries, one after another.
pub(crate) trait Sink {
    /// An entry begins; says whether its content is wanted.
    fn begin(&mut self, entry: &Entry) -> Result<bool, Error>;
    /// The next bytes of content.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// The entry ends: all bytes have come. Checks that they hash to the entry's digest.
    fn finish(&mut self, entry: &Entry) -> Result<(), Error>;
}

/// Reads all volumes in order.
pub(crate) fn walk(media: &Media, manifest: &BundleManifest, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut walker = Walker {
        manifest,
        sink,
        content: None,
        buffer: vec![0; BUFFER],
        output: vec![0; BUFFER / 4],
        window_log: media.limits().window_log,
    };
    for number in 1..=manifest.volumes {
        let mut payload = media.payload(number)?;
        for piece in layout::pieces(manifest, number) {
            walker.piece(&mut payload, piece)?;
        }
        zeros(&mut payload, TRAILER)?;
    }
    Ok(())
}

struct Walker<'a> {
    manifest: &'a BundleManifest,
    sink: &'a mut dyn Sink,
    /// The entry being read; `None` while a skipped one passes.
    content: Option<Content>,
    buffer: Vec<u8>,
    output: Vec<u8>,
    window_log: u32,
}

/// What has to be known of an entry between its extents.
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
            self.content = if self.sink.begin(entry)? { Some(self.start(entry)?) } else { None };
        }
        if self.content.is_some() {
            let mut left = extent.length;
            while left > 0 {
                let count = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
                payload.fill(&mut self.buffer[..count])?;
                self.feed(entry, count)?;
                left -= count as u64;
            }
        } else {
            payload.skip(extent.length)?;
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

    /// Takes `count` bytes from the buffer, as written.
    fn feed(&mut self, entry: &Entry, count: usize) -> Result<(), Error> {
        let Some(content) = &mut self.content else { return Ok(()) };
        let bytes = &self.buffer[..count];
        let Some(decoder) = &mut content.decoder else {
            content.len += count as u64;
            return self.sink.write(bytes);
        };
        decoder.encoded.update(bytes);
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(&mut self.output[..]);
            let remaining = decoder
                .zstd
                .run(&mut input, &mut output)
                .map_err(|source| Error::Compression { name: entry.path(), source })?;
            let produced = output.as_slice();
            content.len += produced.len() as u64;
            if content.len > entry.size {
                return Err(Error::DecompressionBomb { name: entry.path(), size: entry.size });
            }
            self.sink.write(produced)?;
            decoder.complete = remaining == 0;
            let full = produced.len() == BUFFER / 4;
            if input.pos() == bytes.len() && !full {
                return Ok(());
            }
        }
    }
}

/// Compares bytes that must be zero.
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
pub(crate) struct Proof<'a> {
    hasher: Option<Hasher>,
    reporter: &'a dyn crate::reporter::Reporter,
}

impl<'a> Proof<'a> {
    pub(crate) fn new(reporter: &'a dyn crate::reporter::Reporter) -> Self {
        Self { hasher: None, reporter }
    }
}

impl Sink for Proof<'_> {
    fn begin(&mut self, entry: &Entry) -> Result<bool, Error> {
        self.hasher = Some(Hasher::new(entry.digest.algorithm()));
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
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
