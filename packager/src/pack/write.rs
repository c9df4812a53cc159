//! Writes a planned set in one pass over the medium, from the first byte to the last.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use bundle_signer::{PrivateKey, sign_blob};
use mirror::reporter::Reporter;
use oci::{Algorithm, Digest, Hasher};
use serde::Serialize;
use store::{Store, write_behind};

use super::plan::{PackPlan, PlannedVolume, Source};
use super::targets::{Targets, partial_name};
use crate::bundle::extents::{self, Piece};
use crate::bundle::head::{VolumeHeader, head_bytes};
use crate::bundle::tar::{self, TRAILER};
use crate::bundle::{Entry, EntryKind, Error, Limits};
use crate::drive_log::{self, SenderLog, WrittenLog};
use crate::import::walk::{HashSink, walk};
use crate::media::{Beneath, Completion, Media, mark_name};
use crate::witness::{Acknowledged, Witness};

/// The size of a write.
const BUFFER: usize = 1 << 20;

/// Options for writing.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The target folders on media.
    pub targets: Vec<PathBuf>,
    /// Whether to read the volumes back from the medium.
    pub read_back: bool,
    /// The time for the completion mark, RFC 3339.
    pub now: String,
}

/// The result of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackReport {
    /// The set: the digest of its manifest.
    pub set: String,
    /// The volumes.
    pub volumes: Vec<PlannedVolume>,
    /// The size of the volumes in bytes.
    pub bytes: u64,
    /// The size of the content in bytes.
    pub content_bytes: u64,
    /// Whether the medium was read back.
    pub read_back: bool,
    /// The sender's log, if it was written to the drive.
    pub log: Option<WrittenLog>,
}

/// Writes, flushes, reads back, logs and marks a set. The plan must have been made for this log.
///
/// # Errors
/// Before the first byte: too little space, volumes that are too large, volumes of another set. Later: errors of the medium
/// or the store; the same command then starts from the beginning.
pub fn write(
    plan: &PackPlan,
    store: &Store,
    key: &PrivateKey,
    options: &WriteOptions,
    log: Option<&dyn SenderLog>,
    reporter: &dyn Reporter,
) -> Result<PackReport, Error> {
    let manifest = plan.manifest.to_bytes();
    let set = Digest::sha256(&manifest);
    let targets = Targets::open(plan, &set, &options.targets, reporter)?;
    let acknowledged = log.map(|log| Witness::of(store).acknowledged(log.verifier().name()));
    let acknowledged = acknowledged.transpose()?.unwrap_or_default();
    for medium in targets.media() {
        prepare(medium, store, log, &acknowledged, options)?;
    }
    let signature = sign_blob(key, &manifest).map_err(Error::Sign)?;
    reporter.begin("pack", bytes(plan));
    let mut writer = Writer::new(plan, store, reporter);
    for (number, volume) in (1..).zip(&plan.volumes) {
        let header = VolumeHeader::new(set.clone(), number, plan.manifest.volumes);
        let medium = targets.medium(number);
        writer.volume(medium, &volume.name, number, &head_bytes(&header, &manifest, &signature))?;
    }
    for medium in targets.media() {
        medium.flush(Path::new(""))?;
    }
    reporter.end();
    if options.read_back {
        read_back(plan, &targets, reporter)?;
    }
    let media: Vec<&Beneath> = targets.media().collect();
    finish(plan, &set, log, &acknowledged, &media, options)
}

/// The size of all volumes in bytes.
pub(super) fn bytes(plan: &PackPlan) -> u64 {
    plan.volumes.iter().map(|volume| volume.size).sum()
}

/// Checks that the log may be written to a medium, before anything is written there.
pub(super) fn prepare(
    medium: &Beneath,
    store: &Store,
    log: Option<&dyn SenderLog>,
    acknowledged: &[Acknowledged],
    options: &WriteOptions,
) -> Result<(), Error> {
    let prepared = log.map_or(Ok(()), |log| drive_log::write::prepare(medium, log, acknowledged));
    if let Err(Error::Alarm(alarm)) = &prepared {
        Witness::of(store).keep_proof(alarm, &options.now)?;
    }
    prepared
}

/// Logs the set, and writes the log and the mark to all media: any one of them is enough to admit the set.
pub(super) fn finish(
    plan: &PackPlan,
    set: &Digest,
    log: Option<&dyn SenderLog>,
    acknowledged: &[Acknowledged],
    media: &[&Beneath],
    options: &WriteOptions,
) -> Result<PackReport, Error> {
    let log = log.map(|log| write_log(plan, set, log, acknowledged, media, options)).transpose()?;
    let created_by = plan.manifest.created_by.clone();
    let mark = Completion {
        set: set.clone(),
        completed_at: options.now.clone(),
        read_back: options.read_back,
        created_by,
    };
    for medium in media {
        write_mark(medium, &mark_name(&plan.manifest.name), &mark)?;
        medium.flush(Path::new(""))?;
    }
    Ok(PackReport {
        set: set.to_string(),
        volumes: plan.volumes.clone(),
        bytes: bytes(plan),
        content_bytes: plan.manifest.content_size(),
        read_back: options.read_back,
        log: log.flatten(),
    })
}

/// Logs that the volumes are written, then writes the log next to them, so that it has an entry for the set.
fn write_log(
    plan: &PackPlan,
    set: &Digest,
    log: &dyn SenderLog,
    acknowledged: &[Acknowledged],
    media: &[&Beneath],
    options: &WriteOptions,
) -> Result<Option<WrittenLog>, Error> {
    log.packed(set, &plan.manifest.name).map_err(Error::Unlogged)?;
    let mut last = None;
    for medium in media {
        let written = drive_log::write::write(medium, log, acknowledged, drive_log::write::WHOLE)?;
        if options.read_back {
            drive_log::write::read_back(medium, log, &written)?;
        }
        last = Some(written);
    }
    Ok(last)
}

/// Writes volumes one after the other.
pub(super) struct Writer<'a> {
    plan: &'a PackPlan,
    store: &'a Store,
    reporter: &'a dyn Reporter,
    /// The entry being written, which may continue on the next volume.
    source: Option<Source>,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(plan: &'a PackPlan, store: &'a Store, reporter: &'a dyn Reporter) -> Self {
        Self { plan, store, reporter, source: None, buffer: vec![0; BUFFER] }
    }

    /// Writes a volume, and returns the digest of its file.
    pub(super) fn volume(
        &mut self,
        medium: &Beneath,
        name: &str,
        number: u32,
        head: &[u8],
    ) -> Result<Digest, Error> {
        let below = partial_name(name);
        let file = medium.new_file(&below, 0o666)?;
        let partial = medium.path(&below);
        let mut out = Output { file: &file, path: &partial, len: 0, hasher: Hasher::new(Algorithm::Sha256) };
        out.write(head)?;
        self.reporter.advance(head.len() as u64);
        for piece in extents::pieces(&self.plan.manifest, number) {
            self.piece(piece, &mut out)?;
        }
        out.zeros(TRAILER)?;
        self.reporter.advance(TRAILER);
        file.sync_all().map_err(Error::io("flush", &partial))?;
        medium.rename(&below, Path::new(name))?;
        Ok(out.hasher.finish())
    }

    fn piece(&mut self, piece: Piece, out: &mut Output<'_>) -> Result<(), Error> {
        let entry = &self.plan.manifest.entries[piece.entry];
        let extent = entry.extents[piece.extent];
        let header = tar::header(&entry.tar_name(piece.extent), extent.length);
        out.write(&header)?;
        match entry.kind {
            EntryKind::OciLayout | EntryKind::Index => {
                let content = self.plan.layout_files.get(&entry.digest);
                out.write(content.ok_or_else(|| Error::NotInStore(entry.digest.clone()))?)?;
            }
            EntryKind::Blob => self.blob(entry, piece.extent, extent.length, out)?,
        }
        let padding = tar::padding(extent.length);
        out.zeros(padding)?;
        self.reporter.advance(header.len() as u64 + extent.length + padding);
        Ok(())
    }

    fn blob(&mut self, entry: &Entry, extent: usize, length: u64, out: &mut Output<'_>) -> Result<(), Error> {
        let mut source = match self.source.take() {
            Some(source) if extent > 0 => source,
            _ => self.begin(entry, extent)?,
        };
        let mut left = length;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let count =
                source.read(&mut self.buffer[..want]).map_err(Error::io("read", self.store.root()))?;
            if count == 0 {
                return Err(self.damaged(entry, source.digest()));
            }
            out.write(&self.buffer[..count])?;
            left -= count as u64;
        }
        if extent + 1 < entry.extents.len() {
            self.source = Some(source);
            return Ok(());
        }
        // The compressor may read the last bytes of the content only when it is read past its own end.
        let rest = source.read(&mut self.buffer[..1]).map_err(Error::io("read", self.store.root()))?;
        let found = source.digest();
        if rest != 0 || found != entry.digest {
            return Err(self.damaged(entry, found));
        }
        Ok(())
    }

    /// Opens an entry at an extent; the extents before it are on volumes that an earlier run wrote.
    fn begin(&mut self, entry: &Entry, extent: usize) -> Result<Source, Error> {
        let mut source = Source::open(self.store, entry)?;
        let mut left: u64 = entry.extents.iter().take(extent).map(|extent| extent.length).sum();
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let count =
                source.read(&mut self.buffer[..want]).map_err(Error::io("read", self.store.root()))?;
            if count == 0 {
                return Err(self.damaged(entry, source.digest()));
            }
            left -= count as u64;
        }
        Ok(source)
    }

    /// Makes the store remove the damaged blob, so that the next mirror or import replaces it.
    fn damaged(&self, entry: &Entry, found: Digest) -> Error {
        match self.store.verify_blob(&entry.digest) {
            Ok(_) => Error::StoreDamaged { expected: entry.digest.clone(), found },
            Err(error) => error.into(),
        }
    }
}

struct Output<'a> {
    file: &'a File,
    path: &'a Path,
    len: u64,
    hasher: Hasher,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
        self.hasher.update(bytes);
        let before = self.len;
        self.len += bytes.len() as u64;
        write_behind(self.file, before, self.len);
        Ok(())
    }

    fn zeros(&mut self, length: u64) -> Result<(), Error> {
        self.write(&vec![0; usize::try_from(length).unwrap_or(0)])
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io("write", self.path)(error)
    }
}

/// Reads the volumes from the medium, not from the page cache, and checks every byte.
fn read_back(plan: &PackPlan, targets: &Targets, reporter: &dyn Reporter) -> Result<(), Error> {
    let mut paths = Vec::new();
    for (number, volume) in (1..).zip(&plan.volumes) {
        let (name, medium) = (Path::new(&volume.name), targets.medium(number));
        let file = medium.file(name).map_err(Error::io("open", &medium.path(name)))?;
        // This is a hint, which file systems in user space may ignore.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        paths.push(medium.path(name));
    }
    reporter.begin("read back", plan.manifest.content_size());
    let media = Media::open(&paths, Limits::default())?;
    media.check_volumes(&plan.manifest)?;
    walk(&media, &plan.manifest, &mut HashSink::new(reporter))?;
    reporter.end();
    Ok(())
}

fn write_mark(medium: &Beneath, name: &str, mark: &Completion) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec_pretty(mark).unwrap_or_default();
    bytes.push(b'\n');
    medium.write(Path::new(name), &bytes, true)
}
