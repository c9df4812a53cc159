//! What a site remembers of the logs of those who send it drives, and what it says of them; and what a sender remembers
//! of what sites said. All in the folder `witness` of a store.
//!
//! ```text
//! key.pem, key.pub        the site's key for cosignatures, made when it is first needed
//! senders/ID.json         the newest checkpoint of a log, cosigned, the number of the newest drive of each name, and
//!                         for each tag what it was set to by the drive of which number
//! quarantine/HEX.json     alarms about a set, and who lifted them why
//! sites/SITE.json         what a site acknowledged of this store's own log
//! alarms/SITE.json        alarms about what a site returned, with the signed checkpoints
//! lock                    who holds it may change any of this
//! ```
//!
//! Order (C2SP tlog-witness): a checkpoint is proved, then remembered durably, and only then cosigned in the open or
//! its drive imported. A crash before that leaves the older state, and the same drive is proved again.
//!
//! - [`mod@admit`]: may this drive come in? [`order`]: is it older than one that came? [`quarantine`]: what did not; [`returned`]: what goes back to the sender, and
//!   [`acknowledge`]: what the sender keeps of it; [`notes`]: what the store's database knows of all this

pub mod acknowledge;
pub mod admit;
mod key;
pub mod notes;
pub mod order;
pub mod quarantine;
pub mod returned;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use private::{Hold, PATIENCE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::Store;
use tlog::{Checkpoint, Note};

pub use self::acknowledge::Acknowledged;
pub use self::admit::{Admitted, Gatekeeper, LogVerdict, Without, admit};
use self::order::SetTags;
use crate::bundle::{BundleManifest, Error};
use crate::drive_log::{DriveLogError, Finding, Known, create_folder, file_name, publish, read_file};

/// A longer record is none of ours.
const MOST_RECORD: u64 = 512 << 20;

/// When something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// RFC 3339, UTC.
    pub text: String,
    /// Seconds since 1970.
    pub seconds: u64,
}

/// The folder `witness` of a store.
#[derive(Clone)]
pub struct Witness {
    root: PathBuf,
    /// Its database knows what there was.
    store: Store,
}

/// What is remembered of a sender's log.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sender {
    origin: String,
    checkpoint: String,
    drives: BTreeMap<String, u64>,
    /// None in what a version wrote that did not remember tags.
    #[serde(default)]
    tags: Option<SetTags>,
}

impl Witness {
    /// Of a store. Nothing is made before there is something to remember.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        Self { root: store.root().join("witness"), store: store.clone() }
    }

    /// Keeps others from changing anything as long as it is held.
    fn lock(&self) -> Result<File, Error> {
        self.check_folder()?;
        // Durable before the database notes that it is there: else a power cut in between looks like a loss.
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

    /// What is known of a log.
    ///
    /// # Errors
    /// [`DriveLogError::Record`] when what was remembered is damaged: then nothing is believed.
    pub fn known(&self, origin: &str) -> Result<Option<Known>, Error> {
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
        Ok(Some(Known { note, checkpoint, drives: sender.drives, tags }))
    }

    /// Remembers a log that was proved, cosigned, and that this drive of it came. The numbers of drives only grow.
    fn accept(&self, finding: &Finding, manifest: &BundleManifest, now: &Now) -> Result<(), Error> {
        let known = self.known(&finding.origin)?;
        let mut note = finding.note.clone();
        let (mut drives, mut tags) = (BTreeMap::new(), SetTags::default());
        let mut known_size = 0;
        if let Some(known) = known {
            (drives, tags) = (known.drives, known.tags);
            known_size = known.checkpoint.size;
            if known.note.text() == note.text() {
                // The same state: what is there already is kept, so that nothing is said twice.
                note = known.note;
            }
        }
        let newest = drives.entry(manifest.name.clone()).or_insert(finding.number);
        *newest = finding.number.max(*newest);
        tags.remember(manifest, finding.number);
        let key = self.key()?;
        if tlog::cosignature::verify(&note, &key.verifier()).is_err() {
            note.add(tlog::cosignature::cosign(&note, &key, now.seconds).map_err(DriveLogError::Own)?);
        }
        let (origin, checkpoint) = (finding.origin.clone(), note.to_string());
        let sender = Sender { origin, checkpoint, drives, tags: Some(tags) };
        self.write(&self.sender(&finding.origin), &sender)?;
        self.note_sender(&finding.origin, finding.size.max(known_size))
    }

    /// How many entries of a log a record says.
    fn sender_size(&self, path: &Path) -> Result<Option<u64>, Error> {
        let Some(sender) = self.read::<Sender>(path)? else { return Ok(None) };
        let damaged = |_| DriveLogError::Record(path.to_owned());
        let note = Note::parse(sender.checkpoint.as_bytes()).map_err(damaged)?;
        Ok(Some(Checkpoint::read(&note).map_err(damaged)?.size))
    }

    /// Every log that is remembered, with its cosigned checkpoint.
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
            // Whatever stands in a record's place is not nothing.
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
