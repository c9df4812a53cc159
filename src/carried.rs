//! The store's own log, as `pack` writes it to a drive. The event of the pack is logged through it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use audit::Journal;
use oci::Digest;
use packager::drive_log::SenderLog;
use packager::drive_log::write::LogFailure;
use tlog::{Note, VerifierKey};

use crate::logged::Work;

/// The log of the store that is packed.
pub(crate) struct SenderJournal<'a, 'b, 'c> {
    pub(crate) journal: Arc<Journal>,
    pub(crate) work: &'a RefCell<&'b mut Work<'c>>,
    /// The checkpoint of the newest drive, and the path of its file.
    pub(crate) past: Option<(String, Note)>,
}

impl SenderLog for SenderJournal<'_, '_, '_> {
    fn folder(&self) -> &Path {
        self.journal.path()
    }

    fn verifier(&self) -> VerifierKey {
        self.journal.verifier()
    }

    fn past(&self) -> Vec<(String, Note)> {
        self.past.iter().cloned().collect()
    }

    fn packed(&self, set: &Digest, name: &str) -> Result<(), LogFailure> {
        let mut work = self.work.borrow_mut();
        work.name(name);
        Ok(finish(&mut work, &set.to_string())?)
    }
}

/// Logs that a set was written, unless that is logged already.
pub(crate) fn finish(work: &mut Work<'_>, set: &str) -> anyhow::Result<()> {
    work.evidence("set", set);
    work.digests([set.to_owned()]);
    work.done()
}
