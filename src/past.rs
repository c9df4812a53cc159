//! What this user's packs signed last, kept outside the stores: by it a store that was put back from a backup is told
//! before it packs, and not by every site that gets the drive.
//!
//! One file for each log in `~/.local/state/airlock/logs`, with the signed checkpoint that went onto the newest drive. It
//! decides nothing that the log's own key did not sign. Without the folder nothing is compared.

use std::fs;
use std::path::PathBuf;

use oci::Digest;
use private::{Existing, Readers};
use tlog::{Note, VerifierKey};

/// A longer file is none of ours.
const MOST: u64 = tlog::note::MAX_LEN as u64;

/// The folder, if there is a place for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past(pub(crate) Option<PathBuf>);

impl Past {
    fn file(&self, key: &VerifierKey) -> Option<PathBuf> {
        Some(self.0.as_ref()?.join(Digest::sha256(key.name().as_bytes()).hex()))
    }

    /// The checkpoint of the newest drive, and where it is kept; unchecked.
    pub(crate) fn of(&self, key: &VerifierKey) -> Option<(String, Note)> {
        let path = self.file(key)?;
        let small = fs::metadata(&path).ok()?.len() <= MOST;
        let note = Note::parse(&fs::read(&path).ok().filter(|_| small)?).ok()?;
        Some((path.display().to_string(), note))
    }

    /// Keeps the checkpoint that went onto a drive. What cannot be kept is only not compared later.
    pub(crate) fn keep(&self, key: &VerifierKey, note: &Note) {
        let kept = || {
            let path = self.file(key)?;
            let folder = path.parent()?;
            private::create_folders(folder).ok()?;
            private::publish(&path, note.to_string().as_bytes(), Existing::Replace, Readers::Owner).ok()
        };
        let _ = kept();
    }
}
