//! Refuses a log that is older than, or differs from, what this site knows, and a drive that is older than the newest
//! accepted one of its set name.

use oci::Digest;
use tlog::{Checkpoint, Folder, Note, check};

use super::examine::KnownLog;
use super::{Alarm, AlarmKind, DriveLogError, LogOwner};
use crate::bundle::{BundleManifest, Error};

/// A log's signed state, with its known state.
pub(super) struct SignedState<'a> {
    pub(super) note: &'a Note,
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) known: Option<&'a KnownLog>,
}

impl SignedState<'_> {
    pub(super) fn alarm(&self, kind: AlarmKind) -> Error {
        let (origin, found) = (self.checkpoint.origin.clone(), self.note.to_string());
        let known = self.known.map(|known| known.note.to_string());
        Alarm { kind, owner: LogOwner::Sender, origin, found, known }.into()
    }

    /// Compares the checkpoints alone, before other files are read.
    pub(super) fn check_size(&self) -> Result<(), Error> {
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

    pub(super) fn check_history(&self, staged: &Folder) -> Result<(), Error> {
        let Some(known) = self.known else { return Ok(()) };
        match check::consistency(staged, self.checkpoint, known.checkpoint.tree_head()) {
            Ok(_) => Ok(()),
            Err(tlog::Error::RolledBack { found, known, .. }) => {
                Err(self.alarm(AlarmKind::RolledBack { found, known }))
            }
            Err(tlog::Error::Forked { known, .. }) => Err(self.alarm(AlarmKind::Forked { known })),
            Err(error) => Err(DriveLogError::Log(error).into()),
        }
    }

    /// The drive must not be older than the newest accepted one of its set name.
    pub(super) fn check_not_replayed(
        &self,
        manifest: &BundleManifest,
        set: &Digest,
        number: u64,
    ) -> Result<(), Error> {
        let name = &manifest.name;
        match self.known.and_then(|known| known.drives.get(name)) {
            Some(known) if number < *known => Err(self.alarm(AlarmKind::Replayed {
                set: set.clone(),
                name: name.clone(),
                found: number,
                known: *known,
            })),
            _ => Ok(()),
        }
    }
}
