//! The side's own log, as `pack` puts it on a drive.

use std::path::Path;

use audit::{Draft, Journal, Kind, Outcome};
use oci::Digest;
use packager::drive_log::SenderLog;
use packager::drive_log::write::LogFailure;
use tlog::VerifierKey;

/// A journal that travels.
pub(crate) struct Carried {
    pub(crate) journal: Journal,
}

impl SenderLog for Carried {
    fn folder(&self) -> &Path {
        self.journal.path()
    }

    fn verifier(&self) -> VerifierKey {
        self.journal.verifier()
    }

    fn packed(&self, set: &Digest, name: &str) -> Result<(), LogFailure> {
        let mut draft = Draft::new(Kind::Pack, "set", name);
        draft.digests([set.to_string()]);
        self.journal.record(draft, &Outcome::success())?;
        Ok(())
    }
}
