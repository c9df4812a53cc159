//! Verifies a drive without importing it: every byte of every volume. Before that, [`Media::verify`] verifies its signature
//! (`media/signature.rs`), and [`crate::witness::admit()`] its log.

use mirror::reporter::Reporter;
use serde::Serialize;

use crate::bundle::{Entry, Error};
use crate::complete::SetCheck;
use crate::import::SequentialMedia;
use crate::import::in_turn::Reader;
use crate::import::walk::{Chunk, HashSink, Sink, Volumes, walk, walk_volumes};
use crate::media::{Completion, Media};
use crate::witness::{Admitted, LogVerdict};

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// The set: the digest of its manifest.
    pub set: String,
    /// Its name.
    pub name: String,
    /// The key that signed it, by its name in the trust file.
    pub signer: String,
    /// The key's hint.
    pub key_hint: String,
    /// The number of volumes.
    pub volumes: u32,
    /// The size of the volumes in bytes.
    pub bytes: u64,
    /// The number of entries.
    pub entries: u64,
    /// The size of the content in bytes.
    pub content_bytes: u64,
    /// The completion mark, if it exists.
    pub completion: Option<Completion>,
    /// The verdict on the sender's log.
    pub log: LogVerdict,
}

/// Verifies the volumes of an admitted set, and the digest of every entry.
///
/// # Errors
/// The first error that is found.
pub fn verify(media: &Media, admitted: &Admitted, reporter: &dyn Reporter) -> Result<VerifyReport, Error> {
    let manifest = admitted.manifest().get();
    media.with_copies(manifest, || {
        reporter.begin("verify", manifest.content_size());
        let mut sink =
            SetSink { hashes: HashSink::new(reporter), check: SetCheck::new(manifest), manifest: None };
        walk(media, manifest, &mut sink)?;
        sink.check.finish()
    })?;
    reporter.end();
    for warning in media.warnings() {
        reporter.warn(&warning);
    }
    let bytes = media.volumes().values().map(|volume| volume.size).sum();
    Ok(report(admitted, media.set().to_string(), bytes, media.completion(manifest)))
}

/// Like [`verify`], but volume by volume. `media` is the current medium. No content of a volume is kept.
///
/// # Errors
/// The first error that is found; [`Error::NotInserted`] when a needed volume is not inserted.
pub fn verify_in_turn(
    media: Media,
    admitted: &Admitted,
    reporter: &dyn Reporter,
    sequence: &SequentialMedia<'_>,
) -> Result<VerifyReport, Error> {
    let manifest = admitted.manifest().get();
    let set = media.set().to_string();
    let bytes = (1..=manifest.volumes).map(|number| media.volume_len(manifest, number)).sum();
    let volumes = Volumes::all(manifest, &media);
    reporter.begin("verify", manifest.content_size());
    let mut reader = Reader::new(media, admitted, sequence);
    let mut sink =
        SetSink { hashes: HashSink::new(reporter), check: SetCheck::new(manifest), manifest: None };
    walk_volumes(manifest, &volumes, &mut |number| reader.payload(number), &mut sink)?;
    sink.check.finish()?;
    reporter.end();
    let completion = reader.last().and_then(|media| media.completion(manifest));
    Ok(report(admitted, set, bytes, completion))
}

fn report(admitted: &Admitted, set: String, bytes: u64, completion: Option<Completion>) -> VerifyReport {
    let verified = admitted.manifest();
    let manifest = verified.get();
    VerifyReport {
        set,
        name: manifest.name.clone(),
        signer: verified.signer().name().to_owned(),
        key_hint: verified.signer().hint().to_owned(),
        volumes: manifest.volumes,
        bytes,
        entries: manifest.entries.len() as u64,
        content_bytes: manifest.content_size(),
        completion,
        log: admitted.log().clone(),
    }
}

/// Hashes every entry, and reads manifests to check that the set is complete.
struct SetSink<'a> {
    hashes: HashSink<'a>,
    check: SetCheck<'a>,
    /// The bytes so far, if the entry is a manifest.
    manifest: Option<Vec<u8>>,
}

impl Sink for SetSink<'_> {
    fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        self.manifest = self.check.is_manifest(&entry.digest).then(Vec::new);
        self.hashes.begin(entry)
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if let Some(bytes) = &mut self.manifest {
            bytes.extend_from_slice(chunk.bytes());
        }
        self.hashes.write(chunk)
    }

    fn finish(&mut self, entry: &Entry) -> Result<(), Error> {
        self.hashes.finish(entry)?;
        self.manifest.take().map_or(Ok(()), |bytes| self.check.add(&entry.digest, bytes))
    }
}
