//! Writes a planned set: one pass over the medium, from first byte to last.

use std::fs::{File, TryLockError};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

use bundle_signer::{PrivateKey, sign_blob};
use oci::Digest;
use serde::Serialize;
use store::{Store, write_behind};

use super::plan::{PackPlan, PlannedVolume, Source};
use crate::bundle::head::{Head, VolumeHeader, head_bytes};
use crate::bundle::layout::{self, Piece};
use crate::bundle::tar::{self, TRAILER};
use crate::bundle::{Entry, EntryKind, Error, Limits};
use crate::drive_log::{self, CarriedLog, SenderLog};
use crate::import::walk::{Proof, walk};
use crate::media::{Beneath, Completion, Media, mark_name};
use crate::reporter::Reporter;
use crate::witness::{Acknowledged, Witness};

/// The unit of writing.
const BUFFER: usize = 1 << 20;
/// FAT's file system type, and its largest file.
const MSDOS_MAGIC: u64 = 0x4d44;
const FAT_LARGEST: u64 = (4 << 30) - 1;

/// How to write.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// The folder on the medium.
    pub target: PathBuf,
    /// Whether to read everything back from the medium.
    pub read_back: bool,
    /// The time for the completion mark, RFC 3339.
    pub now: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PackReport {
    /// The set: the digest of its manifest.
    pub set: String,
    /// The volumes.
    pub volumes: Vec<PlannedVolume>,
    /// Bytes on the medium.
    pub bytes: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Whether the medium was read back.
    pub read_back: bool,
    /// The sender's log, if it went with them.
    pub log: Option<CarriedLog>,
}

/// Writes, flushes, reads back, logs and marks a set. The plan must have been made for this log.
///
/// # Errors
/// Before the first byte: too little room, too large volumes, volumes of another set. Later: what the medium or
/// the store says; the same command starts the set anew.
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
    let target = &options.target;
    let medium = Beneath::create(target)?;
    lock(&medium, target)?;
    remove_own(plan, &set, &medium)?;
    check_room(plan, target, reporter)?;
    let acknowledged = log.map(|log| Witness::of(store).acknowledged(log.verifier().name()));
    let acknowledged = acknowledged.transpose()?.unwrap_or_default();
    let prepared = log.map_or(Ok(()), |log| drive_log::write::prepare(&medium, log, &acknowledged));
    if let Err(Error::Alarm(alarm)) = &prepared {
        Witness::of(store).keep_proof(alarm, &options.now)?;
    }
    prepared?;
    let signature = sign_blob(key, &manifest).map_err(Error::Sign)?;
    let bytes = plan.volumes.iter().map(|volume| volume.size).sum();
    reporter.begin("pack", bytes);
    let mut writer = Writer { plan, store, medium: &medium, reporter, source: None, buffer: vec![0; BUFFER] };
    for (number, volume) in (1..).zip(&plan.volumes) {
        let header = VolumeHeader::new(set.clone(), number, plan.manifest.volumes);
        writer.volume(&volume.name, number, &head_bytes(&header, &manifest, &signature))?;
    }
    medium.flush(Path::new(""))?;
    reporter.end();
    if options.read_back {
        read_back(plan, &medium, reporter)?;
    }
    let log = log.map(|log| carry(plan, &set, log, (&medium, options), &acknowledged)).transpose()?;
    let created_by = plan.manifest.created_by.clone();
    let mark = Completion {
        set: set.clone(),
        completed_at: options.now.clone(),
        read_back: options.read_back,
        created_by,
    };
    write_mark(&medium, &mark_name(&plan.manifest.name), &mark)?;
    medium.flush(Path::new(""))?;
    Ok(PackReport {
        set: set.to_string(),
        volumes: plan.volumes.clone(),
        bytes,
        content_bytes: plan.manifest.content_size(),
        read_back: options.read_back,
        log,
    })
}

/// Logs that the volumes are there, and puts the log beside them, in that order: the log on the drive tells of it.
fn carry(
    plan: &PackPlan,
    set: &Digest,
    log: &dyn SenderLog,
    (medium, options): (&Beneath, &WriteOptions),
    acknowledged: &[Acknowledged],
) -> Result<CarriedLog, Error> {
    log.packed(set, &plan.manifest.name).map_err(Error::Unlogged)?;
    let carried = drive_log::write::write(medium, log, acknowledged, drive_log::write::WHOLE)?;
    if options.read_back {
        drive_log::write::read_back(medium, log, &carried)?;
    }
    Ok(carried)
}

struct Writer<'a> {
    plan: &'a PackPlan,
    store: &'a Store,
    medium: &'a Beneath,
    reporter: &'a dyn Reporter,
    /// The entry being written, which may go on in the next volume.
    source: Option<Source>,
    buffer: Vec<u8>,
}

impl Writer<'_> {
    fn volume(&mut self, name: &str, number: u32, head: &[u8]) -> Result<(), Error> {
        let below = partial_name(name);
        let file = self.medium.new_file(&below, 0o666)?;
        let partial = self.medium.path(&below);
        let mut out = Output { file: &file, path: &partial, len: 0 };
        out.write(head)?;
        self.reporter.advance(head.len() as u64);
        for piece in layout::pieces(&self.plan.manifest, number) {
            self.piece(piece, &mut out)?;
        }
        out.zeros(TRAILER)?;
        self.reporter.advance(TRAILER);
        file.sync_all().map_err(Error::io("flush", &partial))?;
        self.medium.rename(&below, Path::new(name))
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
            _ => Source::open(self.store, entry)?,
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
        // The compressor may hold back the content's last bytes until it is asked for more than its own last.
        let rest = source.read(&mut self.buffer[..1]).map_err(Error::io("read", self.store.root()))?;
        let found = source.digest();
        if rest != 0 || found != entry.digest {
            return Err(self.damaged(entry, found));
        }
        Ok(())
    }

    /// Has the store move the blob away, so that the next mirror or import brings it back.
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
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
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

/// Keeps other packs out of the folder as long as it is open, and leaves no file there. File systems without locks go
/// without.
fn lock(medium: &Beneath, target: &Path) -> Result<(), Error> {
    match medium.folder().try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::TargetBusy(target.to_owned())),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

fn partial_name(name: &str) -> PathBuf {
    Path::new(name).with_extension("tar.partial")
}

/// Removes what an earlier pack of this set left; refuses to touch another set's volumes.
fn remove_own(plan: &PackPlan, set: &Digest, medium: &Beneath) -> Result<(), Error> {
    for name in volumes_named(&plan.manifest.name, medium)? {
        let path = medium.path(&name);
        // A link in a volume's place is nobody's volume.
        let head = medium.file(&name).ok().map(|mut file| Head::read(&mut file, &path, &Limits::default()));
        match head {
            Some(Ok(Some(head))) if head.header.set == *set => {}
            _ => return Err(Error::WouldOverwrite(path)),
        }
    }
    medium.remove(Path::new(&mark_name(&plan.manifest.name)))?;
    for volume in &plan.volumes {
        medium.remove(Path::new(&volume.name))?;
        medium.remove(&partial_name(&volume.name))?;
    }
    Ok(())
}

/// Volumes of a name, also those of a set with more or fewer of them: two sets of one name share the mark, and a
/// folder that holds both is refused by whoever reads it.
fn volumes_named(name: &str, medium: &Beneath) -> Result<Vec<PathBuf>, Error> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_volume = |file: &str| {
        file.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".tar")?.split_once("-of-"))
            .is_some_and(|(number, total)| is_number(number) && is_number(total))
    };
    let names = medium.names(Path::new(""))?.into_iter();
    Ok(names.filter(|file| file.to_str().is_some_and(is_volume)).map(PathBuf::from).collect())
}

/// That the medium has room, and can hold files of this size.
fn check_room(plan: &PackPlan, target: &Path, reporter: &dyn Reporter) -> Result<(), Error> {
    let needed: u64 = plan.volumes.iter().map(|volume| volume.size).sum();
    let size = plan.volumes.iter().map(|volume| volume.size).max().unwrap_or(0);
    let failed = |error: rustix::io::Errno| Error::io("examine", target)(error.into());
    let room = rustix::fs::statvfs(target).map_err(failed)?;
    let kind = rustix::fs::statfs(target).map_err(failed)?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let path = target.to_owned();
    if u64::try_from(kind.f_type).ok() == Some(MSDOS_MAGIC) && size > FAT_LARGEST {
        return Err(Error::FileTooLarge { path, limit: FAT_LARGEST, size });
    }
    if room.f_blocks == 0 {
        reporter.warn("the file system does not say how much room it has; this is not checked");
    } else if free < needed {
        return Err(Error::NoSpace { path, free, needed });
    }
    Ok(())
}

/// Reads the volumes from the medium, not from the page cache, and checks every byte.
fn read_back(plan: &PackPlan, medium: &Beneath, reporter: &dyn Reporter) -> Result<(), Error> {
    for volume in &plan.volumes {
        let name = Path::new(&volume.name);
        let file = medium.file(name).map_err(Error::io("open", &medium.path(name)))?;
        // A hint, which file systems in user space may ignore.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    reporter.begin("read back", plan.manifest.content_size());
    let paths: Vec<PathBuf> =
        plan.volumes.iter().map(|volume| medium.path(Path::new(&volume.name))).collect();
    let media = Media::open(&paths, Limits::default())?;
    media.check_volumes(&plan.manifest)?;
    walk(&media, &plan.manifest, &mut Proof::new(reporter))?;
    reporter.end();
    Ok(())
}

fn write_mark(medium: &Beneath, name: &str, mark: &Completion) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec_pretty(mark).unwrap_or_default();
    bytes.push(b'\n');
    medium.write(Path::new(name), &bytes, true)
}
