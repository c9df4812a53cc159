//! A drive proved without importing it: every byte of every volume.

use mirror::reporter::Reporter;
use serde::Serialize;

use crate::bundle::{Entry, Error};
use crate::complete::SetCheck;
use crate::import::Turns;
use crate::import::in_turn::Reader;
use crate::import::walk::{Chunk, Proof, Sink, Volumes, walk, walk_volumes};
use crate::media::{Completion, Media};
use crate::witness::{Admitted, LogVerdict};

/// What was proved.
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
    /// How many volumes.
    pub volumes: u32,
    /// Bytes on the volumes.
    pub bytes: u64,
    /// How many entries.
    pub entries: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// The completion mark, if there is one.
    pub completion: Option<Completion>,
    /// What became of the sender's log.
    pub log: LogVerdict,
}

/// Checks volumes, and the digest of every entry, of a set whose signature and log were checked.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(media: &Media, admitted: &Admitted, reporter: &dyn Reporter) -> Result<VerifyReport, Error> {
    let manifest = admitted.manifest().get();
    media.with_copies(manifest, || {
        reporter.begin("verify", manifest.content_size());
        let mut proof = Whole { proof: Proof::new(reporter), check: SetCheck::new(manifest), manifest: None };
        walk(media, manifest, &mut proof)?;
        proof.check.finish()
    })?;
    reporter.end();
    for warning in media.warnings() {
        reporter.warn(&warning);
    }
    let bytes = media.volumes().values().map(|volume| volume.size).sum();
    Ok(report(admitted, (media.set().to_string(), bytes), media.completion(manifest)))
}

/// As [`verify`], volume by volume. `media` is what is there now; nothing is kept of a volume that was read.
///
/// # Errors
/// The first thing that is wrong; [`Error::NotInserted`] when a volume is needed and nobody is there.
pub fn verify_in_turn(
    media: Media,
    admitted: &Admitted,
    reporter: &dyn Reporter,
    turns: &Turns<'_>,
) -> Result<VerifyReport, Error> {
    let manifest = admitted.manifest().get();
    let set = media.set().to_string();
    let bytes = (1..=manifest.volumes).map(|number| media.volume_len(manifest, number)).sum();
    let volumes = Volumes::all(manifest, &media);
    reporter.begin("verify", manifest.content_size());
    let mut reader = Reader::new(media, admitted, turns);
    let mut proof = Whole { proof: Proof::new(reporter), check: SetCheck::new(manifest), manifest: None };
    walk_volumes(manifest, (&volumes, &mut |number| reader.payload(number)), &mut proof)?;
    proof.check.finish()?;
    reporter.end();
    let completion = reader.last().and_then(|media| media.completion(manifest));
    Ok(report(admitted, (set, bytes), completion))
}

fn report(admitted: &Admitted, (set, bytes): (String, u64), completion: Option<Completion>) -> VerifyReport {
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

/// Hashes every entry, and reads those that are manifests to learn whether the set holds all that they name.
struct Whole<'a> {
    proof: Proof<'a>,
    check: SetCheck<'a>,
    /// The bytes so far, of an entry that is a manifest.
    manifest: Option<Vec<u8>>,
}

impl Sink for Whole<'_> {
    fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        self.manifest = self.check.is_manifest(&entry.digest).then(Vec::new);
        self.proof.begin(entry)
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if let Some(bytes) = &mut self.manifest {
            bytes.extend_from_slice(chunk.bytes());
        }
        self.proof.write(chunk)
    }

    fn finish(&mut self, entry: &Entry) -> Result<(), Error> {
        self.proof.finish(entry)?;
        self.manifest.take().map_or(Ok(()), |bytes| self.check.look(&entry.digest, bytes))
    }
}
