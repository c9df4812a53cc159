//! The side's own log, as `pack` puts it on a drive: the event of the pack is logged by way of it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use audit::Journal;
use oci::Digest;
use packager::drive_log::SenderLog;
use packager::drive_log::write::LogFailure;
use tlog::{Note, VerifierKey};

use crate::logged::Work;

/// A pack's log, which travels.
pub(crate) struct Carried<'a, 'b, 'c> {
    pub(crate) journal: Arc<Journal>,
    pub(crate) work: &'a RefCell<&'b mut Work<'c>>,
    /// The checkpoint of the newest drive, and where it is kept.
    pub(crate) past: Option<(String, Note)>,
}

impl SenderLog for Carried<'_, '_, '_> {
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

/// Logs that a set was written, unless that was done already.
pub(crate) fn finish(work: &mut Work<'_>, set: &str) -> anyhow::Result<()> {
    work.evidence("set", set);
    work.digests([set.to_owned()]);
    work.done()
}
