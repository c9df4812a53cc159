//! Verifies the log on a drive: its signature, all entries and tiles, the growth since the known state, and the set's own
//! entry.
//!
//! The log is first copied from the drive to a local folder, and only the copy is read: a drive may return other bytes at
//! the second read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bundle_signer::{TrustFile, trusted_root};
use serde::Serialize;
use tlog::folder::CHECKPOINT;
use tlog::tile::{self, WIDTH};
use tlog::{Checkpoint, Folder, Note, Policy, VerifierKey, check, cosignature, merkle};

pub use super::claimed::ClaimedLog;
use super::replay::SignedState;
use super::write::check_size;
use super::{
    AlarmKind, DriveLogError, FOLDER, MOST_TRUSTED_ROOT, MOST_WITNESSES, TRUSTED_ROOT, WITNESS, is_of_set,
};
use crate::bundle::{BundleManifest, Error};
use crate::media::{Beneath, Media};
use crate::witness::set_tags::SetTags;

/// The known state of a sender's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// The checkpoint, signed by the log.
    pub note: Note,
    /// The parsed checkpoint.
    pub checkpoint: Checkpoint,
    /// For each set name, the number of the newest accepted drive.
    pub drives: BTreeMap<String, u64>,
    /// The tags that drives set.
    pub tags: SetTags,
}

/// A verified log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The log's name.
    pub origin: String,
    /// The number of its entries.
    pub size: u64,
    /// Its root, base64.
    pub root: String,
    /// The number of entries that were known before.
    pub known: u64,
    /// The first entry on the drive.
    pub begin: u64,
    /// The drive's number: the index of the set's log entry.
    pub number: u64,
    /// The sites that saw the same log, by their names in the trust file, each with the size that it saw.
    pub witnesses: Vec<(String, u64)>,
    /// The time and alarm of another copy of the set, if one is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The files of `pack` that are missing on the drive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The checkpoint.
    #[serde(skip)]
    pub note: Note,
}

/// The inputs of an examination.
pub(crate) struct Examination<'a> {
    pub(crate) media: &'a Media,
    pub(crate) manifest: &'a BundleManifest,
    pub(crate) trust: &'a TrustFile,
    pub(crate) known: Option<&'a KnownLog>,
    /// An empty folder for the copy.
    pub(crate) stage: &'a Path,
}

impl Examination<'_> {
    /// Examines the log `origin` of the manifest.
    pub(crate) fn run(&self, origin: &str) -> Result<Finding, Error> {
        let (folder, note) = self.find(origin)?;
        let log = self.trust.log(origin);
        let key = log.map_err(|source| DriveLogError::Key { origin: origin.to_owned(), source })?.key();
        let checkpoint = self.checkpoint(&note, key)?;
        let state = SignedState { note: &note, checkpoint: &checkpoint, known: self.known };
        state.check_size()?;
        let missing = check_trusted_root(&folder, key)?;
        let begin = self.stage(&folder, &state)?;
        let number = self.check_entries(&folder, begin, key)?;
        let staged = Folder::new(self.stage, checkpoint.size);
        state.check_history(&staged)?;
        let known = self.known.map_or(0, |known| known.checkpoint.size);
        if begin > known {
            return Err(DriveLogError::BeginsLater { begin, known }.into());
        }
        let number =
            number.ok_or_else(|| state.alarm(AlarmKind::Unlogged { set: self.media.set().clone() }))?;
        state.check_not_replayed(self.manifest, self.media.set(), number)?;
        let witnesses = self.witnesses(&folder, key, &state, &staged)?;
        let Checkpoint { origin, size, root } = checkpoint;
        // Keep the log's own signature only.
        let note = note.only(&[key]);
        let root = root.to_string();
        let missing = missing.into_iter().map(str::to_owned).collect();
        Ok(Finding { origin, size, root, known, begin, number, witnesses, held: None, missing, note })
    }

    /// The folder of the log, and its checkpoint, not yet verified.
    fn find(&self, origin: &str) -> Result<(PathBuf, Note), Error> {
        let mut found: Option<(PathBuf, Vec<u8>)> = None;
        for folder in self.media.folders() {
            let path = Path::new(FOLDER).join(CHECKPOINT);
            let Some(bytes) = read_on(folder, &path, tlog::note::MAX_LEN as u64)? else { continue };
            match &found {
                Some((_, other)) if *other != bytes => return Err(DriveLogError::Several.into()),
                Some(_) => {}
                None => found = Some((folder.clone(), bytes)),
            }
        }
        let (folder, bytes) = found.ok_or_else(|| DriveLogError::Missing(origin.to_owned()))?;
        let note = Note::parse(&bytes).map_err(DriveLogError::Log)?;
        let claimed = Checkpoint::read(&note).map_err(DriveLogError::Log)?.origin;
        if claimed != origin {
            return Err(DriveLogError::OtherLog { found: claimed, expected: origin.to_owned() }.into());
        }
        Ok((folder, note))
    }

    fn checkpoint(&self, note: &Note, key: &VerifierKey) -> Result<Checkpoint, Error> {
        let checkpoint = Checkpoint::verify(note, key).map_err(DriveLogError::Log)?;
        let limit = self.media.limits().log_entries;
        if checkpoint.size > limit {
            return Err(DriveLogError::TooLarge { what: "entries", found: checkpoint.size, limit }.into());
        }
        Ok(checkpoint)
    }

    /// Copies the log from the drive, and returns the first entry on it. Only bundles at the beginning may be missing:
    /// entries that all sites already have need not be on the drive.
    fn stage(&self, drive: &Path, state: &SignedState<'_>) -> Result<u64, Error> {
        let size = state.checkpoint.size;
        let medium = Beneath::open(drive)?;
        let (mut bytes, mut first) = (0, None);
        for place in tile::ids(size) {
            let most = if place.level.is_some() { 32 * WIDTH } else { WIDTH * (2 + tile::MAX_ENTRY as u64) };
            let path = place.path();
            let Some(content) = medium.read(&Path::new(FOLDER).join(&path), most)? else {
                let missing = path.display().to_string();
                if place.level.is_none() && first.is_none() && (place.index + 1) * WIDTH < size {
                    continue;
                }
                return Err(state.alarm(AlarmKind::Truncated { size, missing }));
            };
            if place.level.is_none() {
                first.get_or_insert(place.index);
            }
            bytes += content.len() as u64;
            check_size(bytes, self.media.limits())?;
            let copy = self.stage.join(&path);
            let folder = copy.parent().unwrap_or(self.stage);
            private::create_folders(folder).map_err(Error::io("create", folder))?;
            write(&copy, &content)?;
        }
        let copy = self.stage.join(CHECKPOINT);
        write(&copy, state.note.to_string().as_bytes())?;
        Ok(first.unwrap_or(0) * WIDTH)
    }

    /// Checks all entries and tiles, and returns the index of the set's last entry.
    fn check_entries(&self, drive: &Path, begin: u64, key: &VerifierKey) -> Result<Option<u64>, Error> {
        let set = self.media.set().to_string();
        let mut number = None;
        let mut each = |index: u64, entry: &[u8]| {
            if is_of_set(entry, &set) {
                number = Some(index);
            }
        };
        let on_drive = |error| DriveLogError::Log(on_drive(error, self.stage, &drive.join(FOLDER)));
        check::since(self.stage, begin, &Policy::of_log(key.clone()), &mut each).map_err(on_drive)?;
        Ok(number)
    }

    /// Checks that this log contains the states that other sites saw. Cosignatures of unknown witnesses are ignored.
    fn witnesses(
        &self,
        drive: &Path,
        key: &VerifierKey,
        state: &SignedState<'_>,
        staged: &Folder,
    ) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        for witness in self.trust.witnesses().iter().take(MOST_WITNESSES) {
            let path = Path::new(FOLDER).join(WITNESS).join(witness.key().name());
            if !super::is_file_name(witness.key().name()) || self.trust.log_revocation(witness).is_some() {
                continue;
            }
            let Some(bytes) = read_on(drive, &path, tlog::note::MAX_LEN as u64)? else { continue };
            let witnessed = (|| {
                let note = Note::parse(&bytes)?;
                let checkpoint = Checkpoint::verify(&note, key)?;
                cosignature::verify(&note, witness.key())?;
                Ok(checkpoint)
            })()
            .map_err(|source| DriveLogError::OtherSite { site: witness.name().to_owned(), source })?;
            let (site, known) = (witness.name().to_owned(), witnessed.size);
            let same = known <= state.checkpoint.size
                && merkle::root(staged, known).map_err(DriveLogError::Log)? == witnessed.root;
            if !same {
                return Err(state.alarm(AlarmKind::WitnessedOther { site, known }));
            }
            found.push((site, known));
        }
        Ok(found)
    }
}

/// Writes a file of the copy.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    private::create(path).and_then(|mut file| file.write_all(bytes)).map_err(Error::io("write", path))
}

/// Changes the paths in an error from the copy to the drive, because the copy is deleted afterwards.
fn on_drive(error: tlog::Error, stage: &Path, log: &Path) -> tlog::Error {
    let moved = |path: PathBuf| path.strip_prefix(stage).map_or(path.clone(), |within| log.join(within));
    match error {
        tlog::Error::Damaged { path, defect } => tlog::Error::Damaged { path: moved(path), defect },
        tlog::Error::Io { action, path, source } => tlog::Error::Io { action, path: moved(path), source },
        tlog::Error::Absent(path) => tlog::Error::Absent(moved(path)),
        other => other,
    }
}

/// Checks `trusted_root.json`: a changed file would make standard tools trust another log, and a missing one is reported.
fn check_trusted_root(drive: &Path, key: &VerifierKey) -> Result<Option<&'static str>, Error> {
    let path = drive.join(TRUSTED_ROOT);
    if fs::symlink_metadata(&path).is_err() {
        return Ok(Some(TRUSTED_ROOT));
    }
    let expected = trusted_root::write(std::slice::from_ref(key)).unwrap_or_default();
    match read_on(drive, Path::new(TRUSTED_ROOT), MOST_TRUSTED_ROOT)? {
        Some(found) if found == expected.as_bytes() => Ok(None),
        _ => Err(DriveLogError::TrustedRoot.into()),
    }
}

/// Reads a file of a drive, without following links.
fn read_on(drive: &Path, below: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    Beneath::open(drive)?.read(below, limit)
}
