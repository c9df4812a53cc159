//! Writes the sender's log next to the volumes.
//!
//! Write order: entries and tiles, proofs, the key for standard verifiers, all flushed; then the checkpoint. A crash before
//! that leaves no checkpoint, or the older one, for which all files still exist: pack again.

use std::fs;
use std::path::Path;

use bundle_signer::trusted_root;
use oci::Digest;
use serde::Serialize;
use tlog::folder::CHECKPOINT;
use tlog::tile::{self, TileId, WIDTH};
use tlog::{Checkpoint, Consistency, Folder, Note, Policy, VerifierKey, check};

use super::{CONSISTENCY, DriveLogError, FOLDER, LogOwner, Publish, TRUSTED_ROOT, WITNESS, file_name};
use crate::bundle::{Error, Limits};
use crate::media::Beneath;
use crate::witness::Acknowledged;
use crate::witness::acknowledge::{check_contains, check_seen_by_site};
use crate::witness::returned::{FOLDER as RETURNED, LOGS};

/// If a log has more bytes of entries than this, entries that all sites have acknowledged are left out.
pub const WHOLE: u64 = 64 << 20;

/// The maximum number of sites on a medium that are read.
const MOST_SITES: usize = 1000;

/// The error of the log's implementation, which is in another crate.
pub type LogFailure = Box<dyn std::error::Error + Send + Sync>;

/// The operations on the sender's log that packing needs.
pub trait SenderLog {
    /// The folder, in the layout of crate `tlog`.
    fn folder(&self) -> &Path;

    /// The key that signs its checkpoints.
    fn verifier(&self) -> VerifierKey;

    /// Checkpoints that this log's key signed before, each with its location. None may be ahead of the log.
    fn past(&self) -> Vec<(String, Note)> {
        Vec::new()
    }

    /// Logs that this set was written. On return, the entry is durable and covered by a signed checkpoint. The entry is a
    /// JSON object with `event` `pack`, the set's digest in `object.digests`, and `outcome.result` `success`.
    ///
    /// # Errors
    /// When logging fails.
    fn packed(&self, set: &Digest, name: &str) -> Result<(), LogFailure>;
}

/// The part of a log that was written to a drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WrittenLog {
    /// The log's name.
    pub origin: String,
    /// The number of its entries.
    pub size: u64,
    /// The first entry on the drive.
    pub begin: u64,
    /// The sizes with a consistency proof, each with the site that acknowledged it.
    pub acknowledged: Vec<(String, u64)>,
}

/// Checks, before anything is written, that the log may be written to this folder, and that it continues all states that
/// sites acknowledged.
pub(crate) fn prepare(
    medium: &Beneath,
    log: &dyn SenderLog,
    acknowledged: &[Acknowledged],
) -> Result<(), Error> {
    let (note, folder) = own(log)?;
    for site in acknowledged {
        check_seen_by_site(&folder, &note, &site.note, &site.checkpoint, &site.site)?;
    }
    check_free(medium, log.verifier().name())?;
    for (place, seen) in log.past().into_iter().chain(on_medium(medium, log.verifier().name())?) {
        // Ignore checkpoints that this log's key did not sign.
        if let Ok(checkpoint) = Checkpoint::verify(&seen, &log.verifier()) {
            check_contains(&folder, &note, &seen, &checkpoint, LogOwner::Past { place })?;
        }
    }
    Ok(())
}

/// Checkpoints of a log on a medium: from an earlier drive, and those that sites cosigned and returned.
fn on_medium(medium: &Beneath, origin: &str) -> Result<Vec<(String, Note)>, Error> {
    let mut paths = vec![Path::new(FOLDER).join(CHECKPOINT)];
    let sites = medium.names(Path::new(RETURNED))?.into_iter().take(MOST_SITES);
    paths.extend(sites.map(|site| Path::new(RETURNED).join(site).join(LOGS).join(file_name(origin))));
    let mut found = Vec::new();
    for path in paths {
        let Some(bytes) = medium.read(&path, tlog::note::MAX_LEN as u64)? else { continue };
        if let Ok(note) = Note::parse(&bytes) {
            found.push((medium.path(&path).display().to_string(), note));
        }
    }
    Ok(found)
}

/// Writes the log next to the volumes. If its entries have more than `whole` bytes, entries that all sites have
/// acknowledged are left out.
pub(crate) fn write(
    medium: &Beneath,
    log: &dyn SenderLog,
    acknowledged: &[Acknowledged],
    whole: u64,
) -> Result<WrittenLog, Error> {
    let (note, folder) = own(log)?;
    let key = log.verifier();
    let begin = begin(log.folder(), folder.size(), acknowledged, whole);
    let root = Path::new(FOLDER);
    // Without a checkpoint, the folder may not belong to a log.
    if medium.file(&root.join(CHECKPOINT)).is_ok() {
        remove_proofs(medium)?;
    }
    let mut publish = Publish::to(medium);
    let mut bytes = 0;
    for place in places(folder.size(), begin) {
        let content = content(&folder, place).map_err(DriveLogError::Own)?;
        bytes += content.len() as u64;
        check_size(bytes, &Limits::default())?;
        publish.put(&root.join(place.path()), &content)?;
    }
    for site in acknowledged {
        let size = site.checkpoint.size;
        let proof = Consistency::of(&folder, note.clone(), size).map_err(DriveLogError::Own)?;
        publish.put(&root.join(format!("{CONSISTENCY}{size}")), proof.to_string().as_bytes())?;
        publish.put(&root.join(WITNESS).join(&site.site), site.note.to_string().as_bytes())?;
    }
    let origin = key.name().to_owned();
    let trusted = trusted_root::write(std::slice::from_ref(&key));
    let trusted = trusted.map_err(|source| DriveLogError::Key { origin: origin.clone(), source })?;
    publish.put(Path::new(TRUSTED_ROOT), trusted.as_bytes())?;
    publish.flush()?;
    medium.write(&root.join(CHECKPOINT), note.to_string().as_bytes(), true)?;
    medium.flush(root)?;
    let acknowledged = acknowledged.iter().map(|site| (site.site.clone(), site.checkpoint.size)).collect();
    Ok(WrittenLog { origin, size: folder.size(), begin, acknowledged })
}

/// The log at its signed checkpoint.
fn own(log: &dyn SenderLog) -> Result<(Note, Folder), Error> {
    let note = Folder::checkpoint(log.folder()).map_err(DriveLogError::Own)?;
    let checkpoint = Checkpoint::verify(&note, &log.verifier()).map_err(DriveLogError::Own)?;
    Ok((note, Folder::signed(log.folder(), &checkpoint)))
}

/// Reads the log on the drive back, like a receiver.
pub(crate) fn read_back(medium: &Beneath, log: &dyn SenderLog, written: &WrittenLog) -> Result<(), Error> {
    let root = Path::new(FOLDER);
    for place in places(written.size, written.begin) {
        if let Ok(file) = medium.file(&root.join(place.path())) {
            // This is a hint, which file systems in user space may ignore.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }
    let policy = Policy::of_log(log.verifier());
    check::since(&medium.path(root), written.begin, &policy, &mut |_, _| {}).map_err(DriveLogError::Log)?;
    Ok(())
}

pub(super) fn check_size(bytes: u64, limits: &Limits) -> Result<(), Error> {
    if bytes > limits.log {
        return Err(DriveLogError::TooLarge { what: "bytes", found: bytes, limit: limits.log }.into());
    }
    Ok(())
}

/// The files of a log, without the bundles before that of entry `begin`.
fn places(size: u64, begin: u64) -> impl Iterator<Item = TileId> {
    let kept = move |place: &TileId| place.level.is_some() || place.index >= begin / WIDTH;
    tile::ids(size).into_iter().filter(kept)
}

/// The first entry to write: 0 for a log of usual size, otherwise the first bundle that some known site lacks.
fn begin(log: &Path, size: u64, acknowledged: &[Acknowledged], whole: u64) -> u64 {
    let length = |place: TileId| fs::metadata(log.join(place.path())).map_or(0, |file| file.len());
    let bundles = tile::ids(size).into_iter().filter(|place| place.level.is_none());
    let bytes: u64 = bundles.map(length).sum();
    let least = acknowledged.iter().map(|site| site.checkpoint.size).min();
    match least {
        Some(least) if bytes > whole => least / WIDTH * WIDTH,
        _ => 0,
    }
}

/// The content of a file at exactly its width, even if the log has grown since.
fn content(folder: &Folder, place: TileId) -> tlog::Result<Vec<u8>> {
    if let Some(level) = place.level {
        return Ok(tile::encode_hashes(&folder.tile(level, place.index)?));
    }
    let mut bytes = Vec::new();
    for entry in folder.bundle(place.index)? {
        tile::encode_entry(&entry, &mut bytes)?;
    }
    Ok(bytes)
}

/// Refuses to overwrite another log.
fn check_free(medium: &Beneath, origin: &str) -> Result<(), Error> {
    let checkpoint = Path::new(FOLDER).join(CHECKPOINT);
    let Some(bytes) = medium.read(&checkpoint, tlog::note::MAX_LEN as u64)? else { return Ok(()) };
    let found = Note::parse(&bytes).and_then(|note| Checkpoint::read(&note));
    if found.is_ok_and(|found| found.origin == origin) {
        Ok(())
    } else {
        Err(Error::WouldOverwrite(medium.path(Path::new(FOLDER))))
    }
}

/// Removes the proofs and cosigned checkpoints of an earlier pack, which may be outdated.
fn remove_proofs(medium: &Beneath) -> Result<(), Error> {
    let root = Path::new(FOLDER);
    for folder in [root.to_owned(), root.join(WITNESS)] {
        for name in medium.names(&folder)? {
            let path = folder.join(&name);
            if (folder != *root || name.to_string_lossy().starts_with(CONSISTENCY))
                && !medium.is_folder(&path)
            {
                medium.remove(&path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tlog::note::KeyKind;
    use tlog::{Log, SigningKey, cosignature};

    use super::*;

    struct Sender(Log);

    impl SenderLog for Sender {
        fn folder(&self) -> &Path {
            self.0.path()
        }

        fn verifier(&self) -> VerifierKey {
            self.0.verifier()
        }

        fn packed(&self, _set: &Digest, _name: &str) -> Result<(), LogFailure> {
            Ok(())
        }
    }

    fn key(name: &str, kind: KeyKind) -> SigningKey {
        SigningKey::new(name, kind, &SigningKey::generate().unwrap()).unwrap()
    }

    fn sender(folder: &Path, entries: usize) -> Sender {
        let log = Log::create(&folder.join("log"), key("log.example", KeyKind::Ed25519)).unwrap();
        log.append(vec![b"entry".to_vec(); entries]).unwrap();
        Sender(log)
    }

    fn acknowledged(sender: &Sender, site: &str) -> Acknowledged {
        let (mut note, _) = own(sender).unwrap();
        let witness = key(site, KeyKind::Cosignature);
        note.add(cosignature::cosign(&note, &witness, 1).unwrap());
        Acknowledged { site: site.to_owned(), checkpoint: Checkpoint::read(&note).unwrap(), note }
    }

    fn bundles(target: &Path) -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(target.join("log/tile/entries"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_long_log_begins_with_entries_that_some_known_site_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let sender = sender(folder.path(), 300);
        let south = acknowledged(&sender, "south");
        sender.0.append(vec![b"more".to_vec(); 600]).unwrap();
        let sites = [acknowledged(&sender, "north"), south];
        for (whole, begin, count) in [(WHOLE, 0, 4), (0, 256, 3)] {
            let target = folder.path().join(begin.to_string());
            let medium = Beneath::create(&target).unwrap();
            let written = write(&medium, &sender, &sites, whole).unwrap();
            assert_eq!((written.size, written.begin, bundles(&target).len()), (900, begin, count));
            read_back(&medium, &sender, &written).unwrap();
            for name in ["consistency-from-300", "consistency-from-900", "witness/north", "witness/south"] {
                assert!(target.join(FOLDER).join(name).exists(), "{name}");
            }
        }
        // Without acknowledgements, all entries are written.
        let medium = Beneath::create(&folder.path().join("all")).unwrap();
        assert_eq!(write(&medium, &sender, &[], 0).unwrap().begin, 0);
    }

    #[test]
    fn a_folder_with_another_log_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let sender = sender(folder.path(), 3);
        let target = folder.path().join("drive");
        fs::create_dir_all(target.join("log/witness")).unwrap();
        fs::write(target.join("log/witness/mine"), "kept").unwrap();
        let medium = Beneath::open(&target).unwrap();
        prepare(&medium, &sender, &[]).unwrap();
        write(&medium, &sender, &[], WHOLE).unwrap();
        assert!(target.join("log/witness/mine").exists());
        fs::write(target.join("log/checkpoint"), "something else").unwrap();
        assert!(matches!(prepare(&medium, &sender, &[]), Err(Error::WouldOverwrite(_))));
    }

    #[test]
    fn a_log_that_contradicts_a_site_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let site = acknowledged(&sender(&one, 5), "north");
        let smaller = sender(&other, 4);
        let medium = Beneath::create(&one).unwrap();
        assert!(matches!(prepare(&medium, &smaller, std::slice::from_ref(&site)), Err(Error::Alarm(_))));
        smaller.0.append(vec![b"else".to_vec(); 4]).unwrap();
        assert!(matches!(prepare(&medium, &smaller, &[site]), Err(Error::Alarm(_))));
    }
}
