//! Finds and opens volumes on media: reads their heads, verifies the signature (`signature`), and checks that the set is
//! complete. If there are several copies of a volume, an undamaged one is used, whatever its name (`copies`).
//!
//! `volume`: the volume files; `completion`: the completion mark next to them; `beneath`: opens files without following links

mod beneath;
mod completion;
mod copies;
mod signature;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oci::Digest;

pub(crate) use self::beneath::Beneath;
use self::completion::read_mark;
pub use self::completion::{Completion, mark_name};
use self::copies::Copies;
pub(crate) use self::volume::Payload;
pub use self::volume::{OtherFile, Volume};
use self::volume::{beside, candidates, content_kind, open};
use crate::bundle::head::Head;
use crate::bundle::{BundleManifest, Error, Limits, extents};

/// All volumes of one set, by number.
pub struct Media {
    copies: Copies,
    set: Digest,
    manifest: Vec<u8>,
    limits: Limits,
    payload_read: Arc<AtomicU64>,
    folders: BTreeSet<PathBuf>,
    /// Files that the user named: these may be links.
    named: BTreeSet<PathBuf>,
    /// What is only named like a volume.
    others: Vec<OtherFile>,
}

/// Requests media that are inserted one after the other.
pub trait Changer {
    /// Requests the medium with this volume, and returns when it should be inserted; `name` is the volume's file name.
    ///
    /// # Errors
    /// [`Error::NotInserted`] when no one inserts it.
    fn change(&self, volume: u32, of: u32, name: &str) -> Result<(), Error>;

    /// Reports that the inserted medium is not the requested one, with the reason. The medium is requested again.
    fn unfit(&self, reason: &Error);
}

impl Media {
    /// Finds the volumes among files and in folders (not in their subfolders) and reads their heads.
    ///
    /// # Errors
    /// When no volume is found, volumes of two sets are found, or a head is malformed or damaged and there is no other copy
    /// of its volume.
    pub fn open(paths: &[PathBuf], limits: Limits) -> Result<Self, Error> {
        let mut media: Option<Self> = None;
        let mut damaged = Vec::new();
        let folder = |path: &PathBuf| if path.is_dir() { path.clone() } else { beside(path) };
        let folders: BTreeSet<_> = paths.iter().map(folder).collect();
        let named: BTreeSet<PathBuf> = paths.iter().filter(|path| !path.is_dir()).cloned().collect();
        let (found, mut others) = candidates(paths)?;
        for path in found {
            let mut file = open(&path, &named).map_err(Error::io("open", &path))?;
            let size = file.metadata().map_err(Error::io("read", &path))?.len();
            let head = match Head::read(&mut file, &path, &limits) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    let is_named = named.contains(&path);
                    others.push(OtherFile { path, kind: content_kind(size), is_named });
                    continue;
                }
                Err(error) => {
                    damaged.push((path, error));
                    continue;
                }
            };
            let (number, total) = (head.header.volume, head.header.volumes);
            let media = media.get_or_insert_with(|| Self::new(&head, limits));
            if head.header.set != media.set {
                let (found, expected) = (head.header.set, media.set.clone());
                return Err(Error::OtherSet { path, found, expected });
            }
            media.copies.add(number, Volume { path, size, total }, head.signature);
        }
        if let Some((path, error)) = damaged.pop() {
            let Some(media) = media.as_mut().filter(|media| media.copies.are_complete()) else {
                return Err(damaged.into_iter().next().map_or(error, |(_, first)| first));
            };
            damaged.push((path, error));
            for (path, error) in &damaged {
                media.copies.warn(copies::ignored(path, error));
            }
        }
        let Some(media) = media else {
            if let Some(other) = others.into_iter().next() {
                return Err(Error::NotVolume(other));
            }
            let names: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
            return Err(Error::NoVolume(names.join(", ")));
        };
        Ok(Self { folders, named, others, ..media })
    }

    fn new(head: &Head, limits: Limits) -> Self {
        Self {
            copies: Copies::default(),
            set: head.header.set.clone(),
            manifest: head.manifest.clone(),
            limits,
            payload_read: Arc::default(),
            folders: BTreeSet::new(),
            named: BTreeSet::new(),
            others: Vec::new(),
        }
    }

    /// The set: the digest of its manifest.
    #[must_use]
    pub fn set(&self) -> &Digest {
        &self.set
    }

    /// The folders of the volumes, and the folders that the user named: one of them contains the log.
    pub(crate) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// The signature, a sigstore bundle.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        self.copies.signature()
    }

    /// The volumes that were found, one copy of each.
    #[must_use]
    pub fn volumes(&self) -> BTreeMap<u32, Volume> {
        self.copies.chosen()
    }

    /// The copies that are ignored, and why.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.copies.warnings()
    }

    /// Runs `work`, and again with another copy of a damaged volume, as long as there is one.
    pub(crate) fn with_copies<T>(
        &self,
        manifest: &BundleManifest,
        mut work: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match work() {
                Err(error) if self.copies.try_another(manifest, &error) => {}
                outcome => return outcome,
            }
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The number of payload bytes read so far.
    #[must_use]
    pub fn payload_read(&self) -> u64 {
        self.payload_read.load(Ordering::Relaxed)
    }

    /// The manifest without verification of its signature, for display only.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn unverified_manifest(&self) -> Result<BundleManifest, Error> {
        BundleManifest::parse(&self.manifest, &self.limits)
    }

    /// Whether the sender's log is next to the volumes.
    #[must_use]
    pub fn has_log(&self) -> bool {
        let checkpoint = Path::new(crate::drive_log::FOLDER).join(tlog::folder::CHECKPOINT);
        self.folders
            .iter()
            .any(|folder| Beneath::open(folder).is_ok_and(|medium| medium.file(&checkpoint).is_ok()))
    }

    /// Whether a volume exists with exactly the size that the manifest implies.
    pub(crate) fn has_volume(&self, manifest: &BundleManifest, number: u32) -> Result<bool, Error> {
        self.copies.choose_one(manifest, number, self.volume_len(manifest, number))
    }

    /// The size of a volume that the manifest implies.
    pub(crate) fn volume_len(&self, manifest: &BundleManifest, number: u32) -> u64 {
        self.head_len() + extents::payload_len(manifest, number)
    }

    /// Checks that all volumes exist with exactly the size that the manifest implies.
    pub(crate) fn check_volumes(&self, manifest: &BundleManifest) -> Result<(), Error> {
        let chosen = self.copies.choose(manifest, |number| self.volume_len(manifest, number));
        chosen.map_err(|error| {
            let found = self.volumes();
            let mut missing = (1..=manifest.volumes).filter(|number| !found.contains_key(number));
            let other = missing.find_map(|number| self.in_place_of(&manifest.volume_name(number)));
            match error {
                Error::MissingVolumes { .. } => other.cloned().map_or(error, Error::NotVolume),
                error => error,
            }
        })
    }

    /// What is in the place of a volume that was not found.
    fn in_place_of(&self, name: &str) -> Option<&OtherFile> {
        self.others.iter().find(|other| other.has_name(name))
    }

    /// The kind of the file in the place of a volume that was not found, if there is one.
    #[must_use]
    pub fn kind_in_place_of(&self, name: &str) -> Option<&'static str> {
        self.in_place_of(name).map(|other| other.kind)
    }

    fn head_len(&self) -> u64 {
        crate::bundle::head::head_len(self.manifest.len() as u64)
    }

    /// Opens a volume at its payload.
    pub(crate) fn payload(&self, number: u32) -> Result<Payload, Error> {
        let volume =
            self.copies.chosen().remove(&number).ok_or(Error::Inconsistent("a volume is missing"))?;
        Payload::open(volume.path, &self.named, self.head_len(), Arc::clone(&self.payload_read))
    }

    /// The completion mark of this set next to one of the volumes, if it exists.
    #[must_use]
    pub fn completion(&self, manifest: &BundleManifest) -> Option<Completion> {
        let volumes = self.copies.chosen();
        let folders: BTreeSet<_> = volumes.values().filter_map(|volume| volume.path.parent()).collect();
        let mut marks = folders.iter().filter_map(|folder| read_mark(folder, &mark_name(&manifest.name)));
        marks.find(|mark| mark.set == self.set)
    }
}
