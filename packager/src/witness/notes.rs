//! Notes in the store's database about the witness records, which detect a folder `witness` that was lost or restored from an
//! older copy: such a folder lacks records of drives.
//!
//! `witness`: the folder was created; `site`: the site's key was created; `sender/ID`: the size of a sender's log;
//! `policy/...`: the greatest sequence of a trust file that was used. Each note is written after its record is durable.

use store::{Change, Store};

use super::Witness;
use crate::bundle::Error;
use crate::drive_log::{DriveLogError, file_name};

const FOLDER: &str = "witness";
const SITE: &str = "site";

/// The purpose of a trust file. The newest sequence is noted for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Drives and images.
    Content,
    /// Return media of sites.
    Sites,
}

impl Purpose {
    fn note(self) -> &'static str {
        match self {
            Self::Content => "policy/content",
            Self::Sites => "policy/sites",
        }
    }
}

/// The greatest sequence of a trust file that was used with a store.
///
/// # Errors
/// When the store fails.
pub fn newest_policy(store: &Store, purpose: Purpose) -> Result<u64, Error> {
    Ok(store.note(purpose.note())?.unwrap_or(0))
}

/// Refuses a trust file that is older than one that was used with this store.
///
/// # Errors
/// [`DriveLogError::StalePolicy`].
pub fn refuse_stale_policy(store: &Store, purpose: Purpose, found: u64) -> Result<(), Error> {
    let newest = newest_policy(store, purpose)?;
    if found < newest { Err(DriveLogError::StalePolicy { found, newest }.into()) } else { Ok(()) }
}

/// Notes that a trust file is used with this store, unless the store is read-only.
///
/// # Errors
/// Those of [`refuse_stale_policy`].
pub fn note_policy(store: &Store, purpose: Purpose, sequence: u64) -> Result<(), Error> {
    refuse_stale_policy(store, purpose, sequence)?;
    if store.is_read_only() || newest_policy(store, purpose)? == sequence {
        return Ok(());
    }
    note(store, purpose.note(), Some(sequence))
}

/// Accepts an older trust file for this store; returns the sequence that was noted before.
///
/// # Errors
/// When the store fails.
pub fn accept_policy(store: &Store, purpose: Purpose, sequence: u64) -> Result<u64, Error> {
    let before = newest_policy(store, purpose)?;
    note(store, purpose.note(), Some(sequence))?;
    Ok(before)
}

fn note(store: &Store, name: &str, value: Option<u64>) -> Result<(), Error> {
    Ok(store.commit(vec![Change::Note { name: name.to_owned(), value }])?)
}

fn sender(origin: &str) -> String {
    format!("sender/{}", file_name(origin))
}

impl Witness {
    /// Fails if the folder is missing but was noted.
    pub(super) fn check_folder(&self) -> Result<(), Error> {
        if !self.root.is_dir() && self.store.note(FOLDER)?.is_some() {
            return Err(DriveLogError::RecordsMissing(self.root.clone()).into());
        }
        Ok(())
    }

    pub(super) fn note_folder(&self) -> Result<(), Error> {
        self.note_once(FOLDER, 1)
    }

    /// Fails if the record of a sender's log has fewer entries than were noted.
    pub(super) fn check_sender(&self, origin: &str, found: Option<u64>) -> Result<(), Error> {
        self.check_folder()?;
        match self.store.note(&sender(origin))? {
            Some(known) if found.is_none_or(|found| found < known) => {
                let path = self.sender(origin);
                Err(DriveLogError::RecordOutdated {
                    path,
                    origin: origin.to_owned(),
                    found: found.unwrap_or(0),
                    known,
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn note_sender(&self, origin: &str, size: u64) -> Result<(), Error> {
        self.note_once(&sender(origin), size)
    }

    /// Whether the site had a key.
    pub(super) fn had_key(&self) -> Result<bool, Error> {
        Ok(self.store.note(SITE)?.is_some())
    }

    pub(super) fn note_key(&self) -> Result<(), Error> {
        self.note_once(SITE, 1)
    }

    fn note_once(&self, name: &str, value: u64) -> Result<(), Error> {
        if self.store.is_read_only() || self.store.note(name)? == Some(value) {
            return Ok(());
        }
        note(&self.store, name, Some(value))
    }

    /// Resets the notes to the existing records. Returns the file names of the lost records.
    ///
    /// # Errors
    /// [`DriveLogError::NothingLost`] when no records are lost.
    pub fn reset_lost(&self) -> Result<Vec<String>, Error> {
        let mut lost = Vec::new();
        let mut changes = Vec::new();
        if self.has_lost_key()? {
            // A public key without its private key would be misleading.
            match std::fs::remove_file(self.root.join("key.pub")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &self.root.join("key.pub"))(error));
                }
                _ => {}
            }
            lost.push("key.pem".to_owned());
            changes.push(Change::Note { name: SITE.to_owned(), value: None });
        }
        for (name, known) in self.store.notes("sender/")? {
            let path =
                self.root.join("senders").join(name.trim_start_matches("sender/")).with_extension("json");
            let found = self.sender_size(&path)?;
            if found.is_none_or(|found| found < known) {
                lost.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                changes.push(Change::Note { name, value: found });
            }
        }
        if !self.root.is_dir() && self.store.note(FOLDER)?.is_some() {
            lost.insert(0, FOLDER.to_owned());
            changes.push(Change::Note { name: FOLDER.to_owned(), value: None });
        }
        if lost.is_empty() {
            return Err(DriveLogError::NothingLost.into());
        }
        self.store.commit(changes)?;
        Ok(lost)
    }
}
