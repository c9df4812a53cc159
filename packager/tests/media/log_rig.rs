//! A sender with a log, and a site with records; with methods for attacks by either.

use std::fs;
use std::path::{Path, PathBuf};

use bundle_signer::TrustFile;
use mirror::reporter::Silent;
use oci::Digest;
use packager::bundle::{Error, Limits};
use packager::drive_log::{AlarmKind, DriveLogError, SenderLog};
use packager::import::import;
use packager::media::Media;
use packager::witness::{AdmitOptions, Admitted, LogVerdict, MissingLog, Now, Witness, admit};
use store::Store;
use tlog::note::KeyKind;
use tlog::{Log, SigningKey, VerifierKey};

use crate::rig::Rig;

pub(crate) const ONE_VOLUME: u64 = 64 << 20;

/// A log of arbitrary events, with a valid event for each pack.
pub(crate) struct Journal {
    pub(crate) log: Log,
}

impl Journal {
    pub(crate) fn new(path: &Path, name: &str, pkcs8: &[u8]) -> Self {
        let key = SigningKey::new(name, KeyKind::Ed25519, pkcs8).unwrap();
        let log =
            if path.join("checkpoint").exists() { Log::open(path, key) } else { Log::create(path, key) };
        Self { log: log.unwrap() }
    }

    pub(crate) fn events(&self, count: usize) {
        self.log.append((0..count).map(|number| format!("event {number}").into_bytes()).collect()).unwrap();
    }

    pub(crate) fn log_event(&self, event: &str, set: &str) {
        let entry = format!(
            r#"{{"event":"{event}","object":{{"digests":["{set}"],"kind":"set","name":"small"}},"outcome":{{"result":"success"}}}}"#
        );
        self.log.append(vec![entry.into_bytes()]).unwrap();
    }
}

impl SenderLog for Journal {
    fn folder(&self) -> &Path {
        self.log.path()
    }

    fn verifier(&self) -> VerifierKey {
        self.log.verifier()
    }

    fn packed(&self, set: &Digest, _name: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.log_event("pack", &set.to_string());
        Ok(())
    }
}

/// A sender: the rig's store, a log next to it, and the trust file for its sites.
pub(crate) struct Sender {
    pub(crate) rig: Rig,
    pub(crate) pkcs8: Vec<u8>,
    pub(crate) journal: Journal,
    pub(crate) trust: TrustFile,
    /// The folder with the content of the next delivery.
    kept: Option<tempfile::TempDir>,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self::of(Rig::new(), "log.example")
    }

    pub(crate) fn of(rig: Rig, name: &str) -> Self {
        let pkcs8 = SigningKey::generate().unwrap();
        let journal = Journal::new(&rig.path("log"), name, &pkcs8);
        journal.events(300);
        let logs = vec![("sender".to_owned(), journal.log.verifier())];
        let trust = rig.trust.clone().with_logs(logs, Vec::new()).unwrap();
        Self { rig, pkcs8, journal, trust, kept: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.rig.path(name)
    }

    /// Packs, and returns the set's digest.
    pub(crate) fn pack(&self, drive: &str) -> Digest {
        self.rig.pack_with(drive, ONE_VOLUME, Some(&self.journal));
        self.set(drive)
    }

    pub(crate) fn set(&self, drive: &str) -> Digest {
        Media::open(&[self.path(drive)], Limits::default()).unwrap().set().clone()
    }

    /// Another image under the same names: the next delivery.
    pub(crate) fn next(mut self) -> Self {
        let Rig { store, lock, folder, .. } = Rig::with_text(b"the next delivery");
        // The content of the other rig's store, with this sender's key, folder and log.
        self.rig.store = store;
        self.rig.lock = lock;
        self.kept = Some(folder);
        self
    }

    /// A fork: the same log up to `size`, continued differently.
    pub(crate) fn fork(&self, size: usize, more: usize) -> Journal {
        let path = self.path("fork");
        let _ = fs::remove_dir_all(&path);
        let journal = Journal::new(&path, "log.example", &self.pkcs8);
        let folder = tlog::Folder::new(self.journal.log.path(), size as u64);
        journal.log.append((0..size).map(|index| folder.entry(index as u64).unwrap()).collect()).unwrap();
        journal
            .log
            .append((0..more).map(|number| format!("forged {number}").into_bytes()).collect())
            .unwrap();
        journal
    }
}

/// A site: a store with witness records.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) witness: Witness,
    pub(crate) trust: TrustFile,
    pub(crate) missing_log: MissingLog,
}

impl Site {
    pub(crate) fn of(sender: &Sender) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let witness = Witness::of(&store);
        Self { folder, store, witness, trust: sender.trust.clone(), missing_log: MissingLog::Refuse }
    }

    pub(crate) fn admit(&self, drive: &Path, now: Option<Now>) -> Result<(Media, Admitted), Error> {
        let media = Media::open(&[drive.to_owned()], Limits::default())?;
        let manifest = media.verify(Some(&self.trust))?;
        let stage = tempfile::tempdir().unwrap();
        let options = AdmitOptions {
            trust: &self.trust,
            witness: Some(&self.witness),
            stage: stage.path(),
            missing_log: self.missing_log,
            now,
        };
        let admitted = admit(&media, manifest, &options)?;
        Ok((media, admitted))
    }

    /// Imports, and returns the verdict on the log.
    pub(crate) fn import(&self, drive: &Path) -> Result<LogVerdict, Error> {
        let (media, admitted) = self.admit(drive, Some(now(1)))?;
        import(&media, &admitted, &self.store, &Silent)?;
        Ok(admitted.log().clone())
    }

    /// Imports and expects an alarm, which must be recorded.
    pub(crate) fn alarm(&self, drive: &Path) -> AlarmKind {
        let error = self.import(drive).unwrap_err();
        let Error::Alarm(alarm) = error else { panic!("{error:?}") };
        let set = Media::open(&[drive.to_owned()], Limits::default()).unwrap().set().clone();
        let record = self.witness.record(&set).unwrap().expect("no record of the alarm");
        assert_eq!(record.quarantined().unwrap().1, alarm.to_string());
        assert!(
            matches!(self.refusal(drive), DriveLogError::Quarantined { .. }),
            "it was admitted at the second attempt"
        );
        alarm.kind
    }

    pub(crate) fn refusal(&self, drive: &Path) -> DriveLogError {
        match self.import(drive).unwrap_err() {
            Error::Log(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the store is empty.
    pub(crate) fn is_empty(&self) -> bool {
        let blobs: usize = crate::rig::listing(&self.store.root().join("blobs/sha256"))
            .iter()
            .map(|shard| crate::rig::listing(shard).len())
            .sum();
        blobs == 0 && self.store.repositories(None, None).unwrap().is_empty()
    }
}

pub(crate) fn now(seconds: u64) -> Now {
    Now { text: format!("2026-01-01T00:00:{seconds:02}Z"), seconds: 1_700_000_000 + seconds }
}

/// Copies a folder with all below it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in crate::rig::listing(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Replaces the log next to the volumes of a drive.
pub(crate) fn replace_log(drive: &Path, log: &Path) {
    fs::remove_dir_all(drive.join("log")).unwrap();
    copy(log, &drive.join("log"));
}
