//! Witness records, in the folder `witness` of a store: a site's records of its senders' logs, its return media, and a
//! sender's records of the checkpoints that sites acknowledged.
//!
//! ```text
//! key.pem, key.pub        the site's key for cosignatures, created when it is first needed
//! senders/ID.json         the newest checkpoint of a log, cosigned, the number of the newest drive of each name, and
//!                         the digest of each tag with the number of the drive that set it
//! quarantine/HEX.json     the alarms about a set, and its releases with user and reason
//! sites/SITE.json         the checkpoint of this store's own log that a site acknowledged
//! alarms/SITE.json        the alarms about a site's return media, with the signed checkpoints
//! lock                    the lock for changes to these files
//! ```
//!
//! Order (C2SP tlog-witness): a checkpoint is verified, then recorded durably, and only then is its cosignature returned or
//! its drive imported. A crash before that leaves the older state, and the same drive is verified again.
//!
//! - [`mod@admit`]: admits drives; [`set_tags`]: detects drives that move tags back; [`quarantine`]: the drives that raised alarms
//! - [`returned`]: the return medium for the sender; [`acknowledge`]: the sender's records of it
//! - [`notes`]: the notes in the store's database that detect lost records

pub mod acknowledge;
pub mod admit;
mod key;
pub mod notes;
pub mod quarantine;
pub mod returned;
pub mod set_tags;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use oci::Digest;
use private::{Hold, PATIENCE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Store;
use tlog::{Checkpoint, Note};

pub use self::acknowledge::Acknowledged;
pub use self::admit::{AdmitOptions, Admitted, LogVerdict, MissingLog, admit};
use self::set_tags::SetTags;
use crate::bundle::{BundleManifest, Error};
use crate::drive_log::{DriveLogError, Finding, KnownLog, create_folder, file_name, publish, read_file};

/// The maximum size of a record.
const MOST_RECORD: u64 = 512 << 20;

/// The current time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time in RFC 3339, UTC.
    pub text: String,
    /// The time in seconds since 1970.
    pub seconds: u64,
}

/// The folder `witness` of a store.
#[derive(Clone)]
pub struct Witness {
    root: PathBuf,
    /// The store, whose database notes which records exist.
    store: Store,
}

/// The record of a sender's log.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sender {
    origin: String,
    checkpoint: String,
    drives: BTreeMap<String, u64>,
    /// `None` in records of versions that did not record tags.
    #[serde(default)]
    tags: Option<SetTags>,
}

impl Witness {
    /// The witness records of a store. The folder is created with the first record.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { root: store.root().join("witness"), store: store.clone() }
    }

    /// Locks the records against changes by other processes.
    fn lock(&self) -> Result<File, Error> {
        self.check_folder()?;
        // The folder must be durable before the database notes it: otherwise, a power failure in between looks like a loss.
        create_folder(&self.root)?;
        let path = self.root.join("lock");
        let file = private::open(fs::OpenOptions::new().write(true).create(true).truncate(false), &path);
        let file = private::hold(file.map_err(Error::io("open", &path))?, &path, Hold::Alone, PATIENCE)?;
        self.note_folder()?;
        Ok(file)
    }

    fn sender(&self, origin: &str) -> PathBuf {
        self.root.join("senders").join(file_name(origin) + ".json")
    }

    /// The known state of a log.
    ///
    /// # Errors
    /// [`DriveLogError::Record`] when the record is damaged: it is not used then.
    pub fn known(&self, origin: &str) -> Result<Option<KnownLog>, Error> {
        let path = self.sender(origin);
        let Some(sender) = self.read::<Sender>(&path)? else {
            self.check_sender(origin, None)?;
            return Ok(None);
        };
        let damaged = || DriveLogError::Record(path.clone());
        let note = Note::parse(sender.checkpoint.as_bytes()).map_err(|_| damaged())?;
        let checkpoint = Checkpoint::read(&note).map_err(|_| damaged())?;
        if checkpoint.origin != origin {
            return Err(damaged().into());
        }
        self.check_sender(origin, Some(checkpoint.size))?;
        let tags = sender.tags.unwrap_or_else(|| SetTags::untracked(&sender.drives));
        Ok(Some(KnownLog { note, checkpoint, drives: sender.drives, tags }))
    }

    /// Records a verified log, cosigned, and the number of this drive. The numbers only grow.
    fn accept(&self, finding: &Finding, manifest: &BundleManifest, now: &Now) -> Result<(), Error> {
        let known = self.known(&finding.origin)?;
        let mut note = finding.note.clone();
        let (mut drives, mut tags) = (BTreeMap::new(), SetTags::default());
        let mut known_size = 0;
        if let Some(known) = known {
            (drives, tags) = (known.drives, known.tags);
            known_size = known.checkpoint.size;
            if known.note.text() == note.text() {
                // The same state: keep the existing note, so that it is not cosigned twice.
                note = known.note;
            }
        }
        let newest = drives.entry(manifest.name.clone()).or_insert(finding.number);
        *newest = finding.number.max(*newest);
        tags.record(manifest, finding.number);
        let key = self.key()?;
        if tlog::cosignature::verify(&note, &key.verifier()).is_err() {
            note.add(tlog::cosignature::cosign(&note, &key, now.seconds).map_err(DriveLogError::Own)?);
        }
        let (origin, checkpoint) = (finding.origin.clone(), note.to_string());
        let sender = Sender { origin, checkpoint, drives, tags: Some(tags) };
        self.write(&self.sender(&finding.origin), &sender)?;
        self.note_sender(&finding.origin, finding.size.max(known_size))
    }

    /// The number of entries of a log in a record.
    fn sender_size(&self, path: &Path) -> Result<Option<u64>, Error> {
        let Some(sender) = self.read::<Sender>(path)? else { return Ok(None) };
        let damaged = |_| DriveLogError::Record(path.to_owned());
        let note = Note::parse(sender.checkpoint.as_bytes()).map_err(damaged)?;
        Ok(Some(Checkpoint::read(&note).map_err(damaged)?.size))
    }

    /// All recorded logs, each with its cosigned checkpoint.
    fn senders(&self) -> Result<Vec<(String, Note)>, Error> {
        let mut found = Vec::new();
        for path in self.records("senders")? {
            let Some(sender) = self.read::<Sender>(&path)? else { continue };
            let note =
                Note::parse(sender.checkpoint.as_bytes()).map_err(|_| DriveLogError::Record(path.clone()))?;
            self.check_sender(&sender.origin, self.sender_size(&path)?)?;
            found.push((sender.origin, note));
        }
        Ok(found)
    }

    /// The tags that drives set, as `repository:tag`, with the digests that the newest of these drives gave them.
    ///
    /// # Errors
    /// When a record is lost or damaged.
    pub fn drive_tags(&self) -> Result<Vec<(String, Digest)>, Error> {
        let mut found = Vec::new();
        for path in self.records("senders")? {
            let tags = self.read::<Sender>(&path)?.and_then(|sender| sender.tags);
            found.extend(tags.iter().flat_map(SetTags::digests));
        }
        Ok(found)
    }

    fn records(&self, folder: &str) -> Result<Vec<PathBuf>, Error> {
        self.check_folder()?;
        let folder = self.root.join(folder);
        let listing = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing.map_err(Error::io("read", &folder))?,
        };
        let mut paths: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        Ok(paths)
    }

    fn read<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>, Error> {
        let Some(bytes) = read_file(path, MOST_RECORD)? else {
            // Any other file in place of a record is damage, not a missing record.
            return if path.exists() { Err(DriveLogError::Record(path.to_owned()).into()) } else { Ok(None) };
        };
        let record = serde_json::from_slice(&bytes).map_err(|_| DriveLogError::Record(path.to_owned()))?;
        Ok(Some(record))
    }

    fn write(&self, path: &Path, record: &impl Serialize) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec_pretty(record).unwrap_or_default();
        bytes.push(b'\n');
        publish(path, &bytes)
    }
}
