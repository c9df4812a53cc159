//! The log on a drive, proved: signature, every entry and tile, growth since what was known, the set's own entry.
//!
//! Everything is copied off the drive first, into a folder of this machine, and only the copy is looked at: a drive may
//! give other bytes at the second reading.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bundle_signer::{TrustFile, trusted_root};
use serde::Serialize;
use tlog::folder::CHECKPOINT;
use tlog::tile::{self, WIDTH};
use tlog::{Checkpoint, Folder, Note, Policy, VerifierKey, check, cosignature, merkle};

use super::write::check_size;
use super::{
    Alarm, AlarmKind, DriveLogError, FOLDER, MOST_TRUSTED_ROOT, TRUSTED_ROOT, WITNESS, Whose, is_of_set,
};
use crate::bundle::{BundleManifest, Error};
use crate::media::{Beneath, Media};
use crate::witness::order::SetTags;

/// More cosigned checkpoints than this are not looked at.
const MOST_WITNESSES: usize = 100;

/// What is known of a sender's log from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The checkpoint, signed by the log.
    pub note: Note,
    /// What it says.
    pub checkpoint: Checkpoint,
    /// For each name of a set, the number of the newest drive that came.
    pub drives: BTreeMap<String, u64>,
    /// The tags that drives set.
    pub tags: SetTags,
}

/// A log that was proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The log's name.
    pub origin: String,
    /// How many entries it has.
    pub size: u64,
    /// Its root, base64.
    pub root: String,
    /// How many of them were known before.
    pub known: u64,
    /// The first entry that was on the drive.
    pub begin: u64,
    /// The drive's number: the index of the entry that tells of the set.
    pub number: u64,
    /// Sites that saw this same log, by their names in the trust file, with the size that each saw.
    pub witnesses: Vec<(String, u64)>,
    /// Since when, and why, another copy of the set is kept out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// What is not beside the volumes, though `pack` writes it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The checkpoint.
    #[serde(skip)]
    pub note: Note,
}

/// What to examine, and by what.
pub(crate) struct Examination<'a> {
    pub(crate) media: &'a Media,
    pub(crate) manifest: &'a BundleManifest,
    pub(crate) trust: &'a TrustFile,
    pub(crate) known: Option<&'a Known>,
    /// An empty folder for the copy.
    pub(crate) stage: &'a Path,
}

impl Examination<'_> {
    /// Examines the log `origin`, which the manifest names.
    pub(crate) fn run(&self, origin: &str) -> Result<Finding, Error> {
        let (folder, note) = self.find(origin)?;
        let log = self.trust.log(origin);
        let key = log.map_err(|source| DriveLogError::Key { origin: origin.to_owned(), source })?.key();
        let checkpoint = self.checkpoint(&note, key)?;
        let seen = Seen { note: &note, checkpoint: &checkpoint, known: self.known };
        seen.is_not_smaller()?;
        let missing = check_trusted_root(&folder, key)?;
        let begin = self.stage(&folder, &seen)?;
        let number = self.leaves(&folder, begin, key)?;
        let staged = Folder::new(self.stage, checkpoint.size);
        seen.goes_on(&staged)?;
        let known = self.known.map_or(0, |known| known.checkpoint.size);
        if begin > known {
            return Err(DriveLogError::BeginsLater { begin, known }.into());
        }
        let number =
            number.ok_or_else(|| seen.alarm(AlarmKind::Unlogged { set: self.media.set().clone() }))?;
        self.is_not_replayed(number, &seen)?;
        let witnesses = self.witnesses(&folder, key, &seen, &staged)?;
        let Checkpoint { origin, size, root } = checkpoint;
        // Whatever else stands below the checkpoint is nobody's word.
        let note = note.only(&[key]);
        let root = root.to_string();
        let missing = missing.into_iter().map(str::to_owned).collect();
        Ok(Finding { origin, size, root, known, begin, number, witnesses, held: None, missing, note })
    }

    /// The folder that has the log, and its checkpoint, unchecked.
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

    /// Copies the log off the drive; gives the first entry that was there. Bundles may be missing at the beginning
    /// alone: what everybody has already need not travel.
    fn stage(&self, drive: &Path, seen: &Seen<'_>) -> Result<u64, Error> {
        let size = seen.checkpoint.size;
        let medium = Beneath::open(drive)?;
        let (mut bytes, mut first) = (0, None);
        for place in tile::places(size) {
            let most = if place.level.is_some() { 32 * WIDTH } else { WIDTH * (2 + tile::MAX_ENTRY as u64) };
            let path = place.path();
            let Some(content) = medium.read(&Path::new(FOLDER).join(&path), most)? else {
                let missing = path.display().to_string();
                if place.level.is_none() && first.is_none() && (place.index + 1) * WIDTH < size {
                    continue;
                }
                return Err(seen.alarm(AlarmKind::Truncated { size, missing }));
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
        write(&copy, seen.note.to_string().as_bytes())?;
        Ok(first.unwrap_or(0) * WIDTH)
    }

    /// Checks every entry and tile; gives the last entry that tells of the set.
    fn leaves(&self, drive: &Path, begin: u64, key: &VerifierKey) -> Result<Option<u64>, Error> {
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

    fn is_not_replayed(&self, number: u64, seen: &Seen<'_>) -> Result<(), Error> {
        let name = &self.manifest.name;
        match self.known.and_then(|known| known.drives.get(name)) {
            Some(known) if number < *known => Err(seen.alarm(AlarmKind::Replayed {
                set: self.media.set().clone(),
                name: name.clone(),
                found: number,
                known: *known,
            })),
            _ => Ok(()),
        }
    }

    /// What other sites saw of this log must be a part of it. What unknown witnesses say is not heard.
    fn witnesses(
        &self,
        drive: &Path,
        key: &VerifierKey,
        seen: &Seen<'_>,
        staged: &Folder,
    ) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        for witness in self.trust.witnesses().iter().take(MOST_WITNESSES) {
            let path = Path::new(FOLDER).join(WITNESS).join(witness.key().name());
            if !super::is_file_name(witness.key().name()) || self.trust.log_revocation(witness).is_some() {
                continue;
            }
            let Some(bytes) = read_on(drive, &path, tlog::note::MAX_LEN as u64)? else { continue };
            let seen_there = (|| {
                let note = Note::parse(&bytes)?;
                let checkpoint = Checkpoint::verify(&note, key)?;
                cosignature::verify(&note, witness.key())?;
                Ok(checkpoint)
            })()
            .map_err(|source| DriveLogError::OtherSite { site: witness.name().to_owned(), source })?;
            let (site, known) = (witness.name().to_owned(), seen_there.size);
            let same = known <= seen.checkpoint.size
                && merkle::root(staged, known).map_err(DriveLogError::Log)? == seen_there.root;
            if !same {
                return Err(seen.alarm(AlarmKind::WitnessedOther { site, known }));
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

/// An error about the copy, told of the file on the drive: the copy is gone when somebody looks.
fn on_drive(error: tlog::Error, stage: &Path, log: &Path) -> tlog::Error {
    let moved = |path: PathBuf| path.strip_prefix(stage).map_or(path.clone(), |within| log.join(within));
    match error {
        tlog::Error::Damaged { path, defect } => tlog::Error::Damaged { path: moved(path), defect },
        tlog::Error::Io { action, path, source } => tlog::Error::Io { action, path: moved(path), source },
        tlog::Error::Absent(path) => tlog::Error::Absent(moved(path)),
        other => other,
    }
}

/// A log's signed state, beside what was known of it.
struct Seen<'a> {
    note: &'a Note,
    checkpoint: &'a Checkpoint,
    known: Option<&'a Known>,
}

impl Seen<'_> {
    fn alarm(&self, kind: AlarmKind) -> Error {
        let (origin, found) = (self.checkpoint.origin.clone(), self.note.to_string());
        let known = self.known.map(|known| known.note.to_string());
        Alarm { kind, whose: Whose::Sender, origin, found, known }.into()
    }

    /// What the checkpoints alone tell, before anything else is read.
    fn is_not_smaller(&self) -> Result<(), Error> {
        let Some(known) = self.known else { return Ok(()) };
        let (found, known) = (self.checkpoint, &known.checkpoint);
        if found.size < known.size {
            return Err(self.alarm(AlarmKind::RolledBack { found: found.size, known: known.size }));
        }
        if found.size == known.size && found.root != known.root {
            return Err(self.alarm(AlarmKind::Forked { known: known.size }));
        }
        Ok(())
    }

    fn goes_on(&self, staged: &Folder) -> Result<(), Error> {
        let Some(known) = self.known else { return Ok(()) };
        let known = (known.checkpoint.size, known.checkpoint.root);
        match check::goes_on(staged, self.checkpoint, known) {
            Ok(_) => Ok(()),
            Err(tlog::Error::RolledBack { found, known, .. }) => {
                Err(self.alarm(AlarmKind::RolledBack { found, known }))
            }
            Err(tlog::Error::Forked { known, .. }) => Err(self.alarm(AlarmKind::Forked { known })),
            Err(error) => Err(DriveLogError::Log(error).into()),
        }
    }
}

/// A file that would have stock tools trust another log must not go unseen; nor that it was taken away.
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

/// Reads a file of a drive that is no link.
fn read_on(drive: &Path, below: &Path, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    Beneath::open(drive)?.read(below, limit)
}

/// What a drive says of its log, unproved: for showing only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimedLog {
    /// The log that the manifest names.
    pub origin: String,
    /// How many entries the checkpoint says, if there is one of this log.
    pub size: Option<u64>,
    /// The root, base64.
    pub root: Option<String>,
    /// The sizes that sites are said to have acknowledged.
    pub acknowledged: Vec<(String, u64)>,
}

/// Shows what a drive says of its log.
pub(crate) fn claimed(media: &Media, manifest: &BundleManifest) -> Result<Option<ClaimedLog>, Error> {
    let Some(origin) = manifest.log.clone() else { return Ok(None) };
    let read = |medium: &Beneath, path: &Path| -> Result<Option<Checkpoint>, Error> {
        let bytes = medium.read(path, tlog::note::MAX_LEN as u64)?;
        let note = bytes.and_then(|bytes| Note::parse(&bytes).ok());
        Ok(note.and_then(|note| Checkpoint::read(&note).ok()).filter(|found| found.origin == origin))
    };
    let mut claimed = ClaimedLog { origin: origin.clone(), size: None, root: None, acknowledged: Vec::new() };
    for folder in media.folders() {
        let (medium, log) = (Beneath::open(folder)?, Path::new(FOLDER));
        let Some(checkpoint) = read(&medium, &log.join(CHECKPOINT))? else { continue };
        claimed.size = Some(checkpoint.size);
        claimed.root = Some(checkpoint.root.to_string());
        let sites = medium.names(&log.join(WITNESS))?.into_iter().take(MOST_WITNESSES);
        let sites = sites.filter_map(|name| name.into_string().ok()).filter(|name| super::is_file_name(name));
        for site in sites {
            if let Some(seen) = read(&medium, &log.join(WITNESS).join(&site))? {
                claimed.acknowledged.push((site, seen.size));
            }
        }
        break;
    }
    Ok(Some(claimed))
}
