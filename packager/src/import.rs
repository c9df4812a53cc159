//! Imports volumes into a store. The signature and the log are verified before any payload is read. Each byte is read once
//! and written once. Names are written last, in one transaction.
//!
//! Write order: each blob durably under its digest, then repositories, manifests and tags together. This last commit is
//! the only one: a crash before it leaves blobs without names, which the next run reuses.

pub(crate) mod in_turn;
pub(crate) mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use evidence::tag_update;
pub use mirror::MovedTag;
use mirror::reporter::Reporter;
use oci::{Digest, Hasher, Manifest};
use serde::Serialize;
use store::{BlobHasher, BlobWriter, Change, Store, UnhashedBlob};

pub use self::in_turn::{SequentialMedia, import_in_turn};
use self::walk::{Chunk, Payloads, Sink, Volumes, walk_volumes};
use crate::bundle::error::of_store;
use crate::bundle::{BundleManifest, Entry, EntryKind, Error};
use crate::complete::SetCheck;
use crate::media::Media;
use crate::witness::{Admitted, LogVerdict};

/// The maximum number of chunks that wait to be hashed; less than the number of buffers.
const HASH_QUEUE: usize = 12;

/// The maximum number of blobs that wait to be flushed while the next ones are read.
const PUBLISH_QUEUE: usize = 4;

/// The error of the stages before the one that failed; the error of the failed stage is reported.
const STOPPED: Error = Error::Inconsistent("a later stage of the import stopped");

/// A bug in this program.
const DIED: Error = Error::Inconsistent("a thread of the import ended unexpectedly");

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// The set.
    pub set: String,
    /// Its name.
    pub name: String,
    /// The key that signed it, by its name in the trust file.
    pub signer: String,
    /// The blobs that were written.
    pub imported: Count,
    /// The blobs that were already in the store; they are still read from the drive and checked.
    pub present: Count,
    /// Of these, the blobs that were damaged in the store and were replaced.
    pub healed: Count,
    /// The number of repositories with imported content.
    pub repositories: u64,
    /// The number of manifests in them.
    pub manifests: u64,
    /// The number of tags that were set.
    pub tags: u64,
    /// Of these, the number of tags that pointed to another digest before.
    pub moved_tags: u64,
    /// These moved tags.
    pub moved: Vec<MovedTag>,
    /// The verdict on the sender's log.
    pub log: Option<LogVerdict>,
}

/// A number of blobs and their total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The number of blobs.
    pub blobs: u64,
    /// Their total size in bytes.
    pub bytes: u64,
}

impl Count {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.blobs += 1;
        self.bytes += bytes;
    }
}

/// The expected result of an import.
///
/// # Errors
/// When the store cannot be read.
pub fn plan(admitted: &Admitted, media: &Media, store: &Store) -> Result<ImportReport, Error> {
    let manifest = admitted.manifest();
    let mut report = ImportReport {
        set: media.set().to_string(),
        name: manifest.get().name.clone(),
        signer: manifest.signer().name().to_owned(),
        log: Some(admitted.log().clone()),
        ..ImportReport::default()
    };
    for entry in manifest.get().entries.iter().filter(|entry| entry.kind == EntryKind::Blob) {
        let present = store.has_blob(&entry.digest)? == Some(entry.size);
        if present { report.present.add(entry.size) } else { report.imported.add(entry.size) }
    }
    for repository in &manifest.get().repositories {
        report.repositories += 1;
        report.manifests += repository.manifests.len() as u64;
        report.tags += repository.tags.len() as u64;
        for tag in &repository.tags {
            let from = tag_update::moves(store, &repository.name, &tag.tag, &tag.digest);
            let from = from.map_err(|error| of_store(error, store))?;
            let (repository, tag, to) = (repository.name.clone(), tag.tag.clone(), tag.digest.clone());
            report.moved.extend(from.map(|from| MovedTag { repository, tag, from, to }));
        }
    }
    report.moved_tags = report.moved.len() as u64;
    // The commit would refuse it, too, but only after everything was read.
    let rules = store.rules()?;
    let is_immutable = |moved: &&MovedTag| rules.are_immutable(&moved.repository, &moved.tag);
    if let Some(MovedTag { repository, tag, .. }) = report.moved.iter().find(is_immutable) {
        let (repository, tag) = (repository.clone(), tag.clone());
        return Err(store::Error::TagImmutable { repository, tag }.into());
    }
    Ok(report)
}

/// Imports an admitted set into the store.
///
/// # Errors
/// When a volume differs from the manifest, or the store fails. The store may then have more blobs than before, but no name
/// in it has changed.
pub fn import(
    media: &Media,
    admitted: &Admitted,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<ImportReport, Error> {
    let mut report = plan(admitted, media, store)?;
    let manifest = admitted.manifest().get();
    media.with_copies(manifest, || {
        reporter.begin("import", manifest.content_size());
        let volumes = Volumes::all(manifest, media);
        let payloads = &mut |number| media.payload(number);
        report.healed = load(manifest, None, &volumes, payloads, store, reporter)?;
        Ok(())
    })?;
    for warning in media.warnings() {
        reporter.warn(&warning);
    }
    check(manifest, store)?;
    store.commit(changes(manifest, store)?)?;
    reporter.end();
    Ok(report)
}

/// Streams the volumes into the store, or only the blobs `wanted` of them: this thread reads and writes, a second one hashes, a third one makes
/// finished blobs durable.
pub(crate) fn load(
    manifest: &BundleManifest,
    wanted: Option<&BTreeSet<Digest>>,
    volumes: &Volumes,
    payloads: &mut Payloads<'_>,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<Count, Error> {
    std::thread::scope(|scope| {
        let (queue, steps) = sync_channel(HASH_QUEUE);
        let (whole, finished) = sync_channel(PUBLISH_QUEUE);
        let hashing = scope.spawn(move || hash_all(&steps, &whole));
        let publishing = scope.spawn(move || publish_all(&finished, reporter));
        let mut loader = Loader { store, wanted, queue, reporter, current: Current::None };
        let walked = walk_volumes(manifest, volumes, payloads, &mut loader);
        drop(loader);
        let hashed = hashing.join().unwrap_or(Err(DIED));
        let published = publishing.join().unwrap_or(Err(DIED));
        // A later stage that fails stops the earlier ones, so its error is the cause.
        let healed = published?;
        hashed.and(walked)?;
        Ok(healed)
    })
}

/// The steps for the hashing thread, in the order of the walk.
enum Step {
    Begin(Box<BlobHasher>),
    Bytes(Chunk),
    Finish(Box<(UnhashedBlob, Entry)>),
}

struct Finished {
    writer: BlobWriter,
    entry: Entry,
}

fn hash_all(steps: &Receiver<Step>, whole: &SyncSender<Finished>) -> Result<(), Error> {
    let mut current: Option<Box<BlobHasher>> = None;
    for step in steps {
        match (step, &mut current) {
            (Step::Begin(hasher), _) => current = Some(hasher),
            (Step::Bytes(chunk), Some(hasher)) => hasher.update(chunk.bytes()),
            (Step::Finish(finished), _) => {
                let (blob, entry) = *finished;
                let hasher = current.take().ok_or(STOPPED)?;
                let writer = blob.join(*hasher)?;
                whole.send(Finished { writer, entry }).map_err(|_| STOPPED)?;
            }
            (Step::Bytes(_), None) => return Err(STOPPED),
        }
    }
    Ok(())
}

/// Publishes finished blobs; returns the blobs that were damaged in the store and are replaced.
fn publish_all(finished: &Receiver<Finished>, reporter: &dyn Reporter) -> Result<Count, Error> {
    let mut healed = Count::default();
    for Finished { writer, entry } in finished {
        if writer.differs() {
            healed.add(entry.size);
        }
        match writer.publish(Some(&entry.digest)) {
            Ok(_) => reporter.advance(entry.size),
            Err(store::Error::DigestMismatch { expected, found }) => {
                return Err(Error::Content { name: entry.path(), found, expected });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(healed)
}

struct Loader<'a> {
    store: &'a Store,
    /// The blobs to load; none for everything.
    wanted: Option<&'a BTreeSet<Digest>>,
    queue: SyncSender<Step>,
    reporter: &'a dyn Reporter,
    current: Current,
}

/// How the current entry is handled.
enum Current {
    /// No entry is being read, or one that is not wanted.
    None,
    /// It goes into the store. An existing blob is compared, and replaced if it differs.
    Blob(UnhashedBlob),
    /// It belongs to the layout on the medium, and is only checked.
    Checked(Hasher),
}

impl Loader<'_> {
    fn send(&self, step: Step) -> Result<(), Error> {
        self.queue.send(step).map_err(|_| STOPPED)
    }
}

impl Sink for Loader<'_> {
    fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        let algorithm = entry.digest.algorithm();
        let is_wanted =
            self.wanted.is_none_or(|wanted| entry.kind == EntryKind::Blob && wanted.contains(&entry.digest));
        self.current = if !is_wanted {
            Current::None
        } else if entry.kind == EntryKind::Blob {
            let (blob, hasher) = self.store.writer_over(&entry.digest)?.split();
            self.send(Step::Begin(Box::new(hasher)))?;
            Current::Blob(blob)
        } else {
            Current::Checked(Hasher::new(algorithm))
        };
        Ok(())
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), Error> {
        match &mut self.current {
            Current::None => {}
            Current::Blob(blob) => {
                // These bytes are hashed while they are being written.
                self.queue.send(Step::Bytes(chunk.clone())).map_err(|_| STOPPED)?;
                blob.write(chunk.bytes())?;
            }
            Current::Checked(hasher) => hasher.update(chunk.bytes()),
        }
        Ok(())
    }

    fn finish(&mut self, entry: &Entry) -> Result<(), Error> {
        match std::mem::replace(&mut self.current, Current::None) {
            Current::None => Ok(()),
            Current::Blob(blob) => self.send(Step::Finish(Box::new((blob, entry.clone())))),
            Current::Checked(hasher) => {
                let found = hasher.finish();
                if found != entry.digest {
                    return Err(Error::Content { name: entry.path(), found, expected: entry.digest.clone() });
                }
                self.reporter.advance(entry.size);
                Ok(())
            }
        }
    }
}

/// Checks that the set is complete, before any name is written.
pub(crate) fn check(set: &BundleManifest, store: &Store) -> Result<(), Error> {
    let mut check = SetCheck::new(set);
    let digests: BTreeSet<_> = set
        .repositories
        .iter()
        .flat_map(|repository| &repository.manifests)
        .map(|bundled| &bundled.digest)
        .collect();
    for digest in digests {
        check.add(digest, read_blob(store, digest)?)?;
    }
    check.finish()
}

/// The changes that write names: for each repository, its manifests, then its tags.
fn changes(manifest: &BundleManifest, store: &Store) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    let blobs = manifest.entries.iter().filter(|entry| entry.kind == EntryKind::Blob);
    let blobs: BTreeSet<&Digest> = blobs.map(|entry| &entry.digest).collect();
    for repository in &manifest.repositories {
        let mut gathering = BTreeMap::new();
        for bundled in &repository.manifests {
            let bytes = read_blob(store, &bundled.digest)?;
            let (repository, digest) = (repository.name.clone(), bundled.digest.clone());
            let manifest = Manifest::parse(bytes.into(), Some(&bundled.media_type))?;
            gathering.insert(digest.clone(), manifest.clone());
            // The set contains them, apart from content that it declares absent.
            let expected = manifest.blobs().filter(|blob| blobs.contains(&blob.digest));
            changes.extend(
                expected.map(|blob| Change::Expect {
                    repository: repository.clone(),
                    digest: blob.digest.clone(),
                }),
            );
            changes.push(Change::PutManifest { repository, digest, manifest });
        }
        for tag in &repository.tags {
            let (name, digest) = (&repository.name, &tag.digest);
            // Signatures that were added here are kept, in addition to those on the drive.
            let set = if let Some(manifest) = gathering.get(digest) {
                let set = tag_update::changes(store, name, &tag.tag, digest, manifest);
                set.map_err(|error| of_store(error, store))?
            } else {
                let (repository, tag, digest) = (name.clone(), tag.tag.clone(), digest.clone());
                vec![Change::SetTag { repository, tag, digest }]
            };
            changes.extend(set);
        }
    }
    Ok(changes)
}

/// Reads a manifest's bytes from the store.
pub(crate) fn read_blob(store: &Store, digest: &Digest) -> Result<Vec<u8>, Error> {
    use std::io::Read as _;
    let mut blob = store.blob(digest)?.ok_or_else(|| Error::NotInStore(digest.clone()))?;
    let mut bytes = Vec::new();
    blob.file.read_to_end(&mut bytes).map_err(Error::io("read", store.root()))?;
    Ok(bytes)
}
