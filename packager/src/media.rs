//! Finds and opens volumes on media: reads their heads, checks that the set is complete, and verifies the signature. No
//! payload is read here. If there are several copies of a volume, an undamaged one is used, whatever its name (`copies`).

mod beneath;
mod copies;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bundle_signer::{Claims, Gate, TrustFile, Verified, verify_blob};
use oci::Digest;
use serde::{Deserialize, Serialize};

pub(crate) use self::beneath::Beneath;
use self::copies::Copies;
use crate::bundle::head::Head;
use crate::bundle::{BundleManifest, Error, Limits, layout};

/// The maximum size of a completion mark.
const MOST_MARK: u64 = 64 << 10;

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
}

/// A volume file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// The number of volumes that its header states; the signature does not cover the header.
    pub total: u32,
}

/// The mark that `pack` writes next to the volumes after it has read them back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// The set.
    pub set: Digest,
    /// The time after the last volume was read back, RFC 3339.
    pub completed_at: String,
    /// Whether the medium was read back.
    pub read_back: bool,
    /// The program that wrote it.
    pub created_by: String,
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
        for path in candidates(paths)? {
            let mut file = open(&path, &named).map_err(Error::io("open", &path))?;
            let size = file.metadata().map_err(Error::io("read", &path))?.len();
            let head = match Head::read(&mut file, &path, &limits) {
                Ok(Some(head)) => head,
                Ok(None) => continue,
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
        let names =
            || paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ");
        media.map(|media| Self { folders, named, ..media }).ok_or_else(|| Error::NoVolume(names()))
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

    /// Verifies the signature, parses the manifest, and checks that every volume exists with its exact size.
    ///
    /// # Errors
    /// [`Error::NoTrust`], [`Error::Unsigned`], [`Error::Signature`], also when the trust file's rules for the gate `import`
    /// are not met; then the errors in the volumes.
    pub fn verify(&self, trust: Option<&TrustFile>) -> Result<Verified<BundleManifest>, Error> {
        let manifest = self.verify_head(trust)?;
        self.check_volumes(manifest.get())?;
        Ok(manifest)
    }

    /// Like [`Self::verify`], but without the volumes, which may be inserted one after the other.
    ///
    /// # Errors
    /// The errors of [`Self::verify`] about the signature.
    pub fn verify_head(&self, trust: Option<&TrustFile>) -> Result<Verified<BundleManifest>, Error> {
        if self.copies.signatures().all(<[u8]>::is_empty) {
            return Err(Error::Unsigned);
        }
        let trust = trust.ok_or(Error::NoTrust)?;
        let verified = self.copies.verified(|signature| {
            verify_blob(trust, self.manifest.clone(), signature).map_err(Error::Signature)
        })?;
        let decision = trust.decide(Gate::Import, &Claims::drive(&verified, None));
        let reasons: Vec<_> = decision.reasons.iter().map(ToString::to_string).collect();
        if !decision.allowed {
            return Err(Error::Signature(bundle_signer::Error::NotAllowed(reasons.join("; "))));
        }
        if !decision.satisfied {
            tracing::warn!("this drive does not meet the trust file's rules: {}", reasons.join("; "));
        }
        verified.try_map(|bytes| BundleManifest::parse(&bytes, &self.limits))
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
        self.head_len() + layout::payload_len(manifest, number)
    }

    /// Checks that all volumes exist with exactly the size that the manifest implies.
    pub(crate) fn check_volumes(&self, manifest: &BundleManifest) -> Result<(), Error> {
        self.copies.choose(manifest, |number| self.volume_len(manifest, number))
    }

    fn head_len(&self) -> u64 {
        crate::bundle::head::head_len(self.manifest.len() as u64)
    }

    /// Opens a volume at its payload.
    pub(crate) fn payload(&self, number: u32) -> Result<Payload, Error> {
        let volume =
            self.copies.chosen().remove(&number).ok_or(Error::Inconsistent("a volume is missing"))?;
        let path = volume.path;
        let mut file = open(&path, &self.named).map_err(Error::io("open", &path))?;
        let offset = self.head_len();
        file.seek(SeekFrom::Start(offset)).map_err(Error::io("read", &path))?;
        // This is only a hint to the kernel.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
        Ok(Payload { file, path, offset, read: Arc::clone(&self.payload_read) })
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

/// Reads a mark. The mark is not signed, and anyone who had the drive may have made it. So pipes, links and huge files are
/// not read, and other characters in the time, which could put any text into a report, are refused.
fn read_mark(folder: &Path, name: &str) -> Option<Completion> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let bytes = Beneath::open(folder).ok()?.read(Path::new(name), MOST_MARK).ok()??;
    let mark: Completion = serde_json::from_slice(&bytes).ok()?;
    let of_time = |byte: u8| byte.is_ascii_digit() || b"TZ:.+-".contains(&byte);
    (mark.completed_at.len() <= 40 && mark.completed_at.bytes().all(of_time)).then_some(mark)
}

/// The completion mark's file name.
#[must_use]
pub fn mark_name(name: &str) -> String {
    format!("{name}.complete.json")
}

/// A volume being read after its head.
pub(crate) struct Payload {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    read: Arc<AtomicU64>,
}

impl Payload {
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact(bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                Error::Truncated { path: self.path.clone(), missing: bytes.len() as u64 }
            } else {
                Error::io("read", &self.path)(error)
            }
        })?;
        self.offset += bytes.len() as u64;
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// Opens a volume. A volume that was found in a folder must not be a link.
fn open(path: &Path, named: &BTreeSet<PathBuf>) -> std::io::Result<File> {
    if named.contains(path) {
        return input::open(path);
    }
    let folder = Beneath::open(&beside(path)).map_err(|error| match error {
        Error::Io { source, .. } => source,
        other => std::io::Error::other(other),
    })?;
    folder.file(Path::new(path.file_name().unwrap_or_default()))
}

/// The folder of a file.
fn beside(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The named files, and the `*.tar` files in the named folders, sorted by name.
fn candidates(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let listing = fs::read_dir(path).map_err(Error::io("read", path))?;
        let mut files: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| is_tar(file));
        files.sort();
        found.extend(files);
    }
    Ok(found)
}

fn is_tar(path: &Path) -> bool {
    let is_file = || fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar")) && is_file()
}
