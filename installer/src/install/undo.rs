//! Failed revisions: the failure is recorded with its reason, and the revision is then undone. If the process is killed in
//! between, the next process completes the undo instead of repeating the failed installation.

use error_text::truncate;

use super::Work;
use crate::error::Error;
use crate::limits::{Conflicts, Limits, OnFailure};
use crate::prepared::Prepared;
use crate::record::Stored;
use crate::release::{Record, Status};
use crate::storage::{Storage, last};
use crate::uninstall::{UninstallReason, uninstall};
use crate::wait::Until;

/// The prefix of the reason among the recorded steps.
const GAVE_UP: &str = "gave-up ";
/// The most recorded bytes of a reason.
const MAX_REASON: usize = 1024;

/// The failed revision of this plan that is still being undone.
pub(super) async fn unfinished(
    storage: &Storage<'_>,
    newest: Option<&Stored>,
    prepared: &Prepared,
) -> Result<Option<Stored>, Error> {
    let Some(newest) = newest else { return Ok(None) };
    let failed = match newest.record.status {
        Status::Failed | Status::Uninstalling => Some(newest.clone()),
        Status::PendingRollback => {
            let before = storage.read(newest.record.revision.saturating_sub(1)).await?;
            before.filter(|before| before.record.status == Status::Failed)
        }
        _ => None,
    };
    Ok(failed.filter(|failed| reason(failed).is_some() && prepared.is_of(&failed.record)))
}

fn reason(stored: &Stored) -> Option<&str> {
    stored.done.iter().find_map(|done| done.strip_prefix(GAVE_UP))
}

impl Work<'_> {
    /// Records the failure of a revision, and then rolls the release back or removes it.
    pub(super) async fn fail(&self, mut stored: Stored, error: Error) -> Result<Record, Error> {
        let stays =
            self.limits.on_failure == OnFailure::Leave || stored.record.status == Status::PendingRollback;
        let reason = error.one_line();
        stored.set(Status::Failed, &reason);
        if !stays {
            stored.done.insert(format!("{GAVE_UP}{}", truncate(&reason, MAX_REASON)));
        }
        self.storage.update(&mut stored).await?;
        let revision = stored.record.revision;
        let outcome =
            if stays { "the release was left as it is".to_owned() } else { self.undo(&stored, None).await? };
        Err(Error::Failed { revision, outcome, source: Box::new(error) })
    }

    /// Resumes the undo that another process started.
    pub(super) async fn resume_undo(&self, failed: Stored, newest: Option<Stored>) -> Result<Record, Error> {
        tracing::info!(
            release = failed.record.name,
            revision = failed.record.revision,
            "resuming the undo of a failed revision"
        );
        let back = newest.filter(|newest| newest.record.status == Status::PendingRollback);
        let outcome = self.undo(&failed, back).await?;
        let reason = reason(&failed).unwrap_or_default().to_owned();
        let source = Box::new(Error::Earlier { reason });
        Err(Error::Failed { revision: failed.record.revision, outcome, source })
    }

    /// Rolls back to the last successful revision, with the pending rollback `back` if there is one, or removes the release.
    /// Returns what happened to the release.
    async fn undo(&self, failed: &Stored, back: Option<Stored>) -> Result<String, Error> {
        let revisions = self.storage.list().await?;
        let good = last(&revisions, Status::was_deployed);
        let again =
            Limits { on_failure: OnFailure::Leave, conflicts: Conflicts::Take, ..self.limits.clone() };
        let work = Work { limits: &again, until: Until::after(again.timeout), ..*self };
        let (done, result) = if let Some(good) = good {
            let result = match back {
                Some(back) => Box::pin(work.started_at(&back).resume_rollback(back)).await,
                None => Box::pin(work.rollback(good, failed.clone())).await,
            };
            (format!("the release is back at revision {good}"), result.map(drop))
        } else {
            let (namespace, name) = (&failed.record.release_namespace, &failed.record.name);
            let result = uninstall(self.engine, namespace, name, &again, UninstallReason::Undo).await;
            let kept = match failed.found.len() {
                0 => String::new(),
                count => format!("; {count} objects that existed before were kept"),
            };
            (format!("what was installed was removed{kept}"), result)
        };
        match result {
            Ok(()) => Ok(done),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => Ok(format!("undoing it failed, too: {}", error.one_line())),
        }
    }
}
