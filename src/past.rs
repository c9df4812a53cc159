//! The newest checkpoints that this user's packs signed, kept outside the stores. They detect a store that was restored
//! from an old backup before it packs; otherwise every site that gets the drive would raise an alarm.
//!
//! `~/.local/state/airlock/logs` has one file for each log: the signed checkpoint on the newest drive. A checkpoint counts
//! only if the log's own key signed it. Without the folder, nothing is compared.

use std::fs;
use std::path::PathBuf;

use oci::Digest;
use private::{Existing, Readers};
use tlog::{Note, VerifierKey};

/// A longer file is not a checkpoint.
const MAX_LEN: u64 = tlog::note::MAX_LEN as u64;

/// The folder of the newest checkpoints that packs signed, if a home folder is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct PackHistory(pub(crate) Option<PathBuf>);

impl PackHistory {
    fn file(&self, key: &VerifierKey) -> Option<PathBuf> {
        Some(self.0.as_ref()?.join(Digest::sha256(key.name().as_bytes()).hex()))
    }

    /// The checkpoint of the newest drive, not verified, and the path of its file.
    pub(crate) fn of(&self, key: &VerifierKey) -> Option<(String, Note)> {
        let path = self.file(key)?;
        let small = fs::metadata(&path).ok()?.len() <= MAX_LEN;
        let note = Note::parse(&fs::read(&path).ok().filter(|_| small)?).ok()?;
        Some((path.display().to_string(), note))
    }

    /// Saves the checkpoint that was written to a drive. If that fails, later packs are not compared with it.
    pub(crate) fn keep(&self, key: &VerifierKey, note: &Note) {
        let save = || {
            let path = self.file(key)?;
            let folder = path.parent()?;
            private::create_folders(folder).ok()?;
            private::publish(&path, note.to_string().as_bytes(), Existing::Replace, Readers::Owner).ok()
        };
        let _ = save();
    }
}
