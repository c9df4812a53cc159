//! A revision that failed: written down with why, and then undone. Who is killed in between leaves what is to be undone,
//! and the next process ends that instead of beginning anew what failed.

use brief::cut;

use super::Work;
use crate::error::Error;
use crate::limits::{Conflicts, Limits, OnFailure};
use crate::prepared::Prepared;
use crate::record::Stored;
use crate::release::{Record, Status};
use crate::storage::{Storage, last};
use crate::uninstall::{Why, uninstall};
use crate::wait::Until;

/// Stands before the reason, among the steps that are written down as done.
const GAVE_UP: &str = "gave-up ";
/// No more is kept of a reason.
const MOST: usize = 1024;

/// The revision that failed with this very plan, while it is being undone.
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
    /// A revision that failed is written down as such; then the release goes back, or away.
    pub(super) async fn fail(&self, mut stored: Stored, error: Error) -> Result<Record, Error> {
        let stays =
            self.limits.on_failure == OnFailure::Leave || stored.record.status == Status::PendingRollback;
        let words = error.words();
        stored.set(Status::Failed, &words);
        if !stays {
            stored.done.insert(format!("{GAVE_UP}{}", cut(&words, MOST)));
        }
        self.storage.update(&mut stored).await?;
        let revision = stored.record.revision;
        let outcome =
            if stays { "it was left as it is".to_owned() } else { self.undo(&stored, None).await? };
        Err(Error::Failed { revision, outcome, source: Box::new(error) })
    }

    /// Goes on with undoing what another process began to.
    pub(super) async fn undo_on(&self, failed: Stored, newest: Option<Stored>) -> Result<Record, Error> {
        tracing::info!(
            release = failed.record.name,
            revision = failed.record.revision,
            "going on with undoing it"
        );
        let back = newest.filter(|newest| newest.record.status == Status::PendingRollback);
        let outcome = self.undo(&failed, back).await?;
        let reason = reason(&failed).unwrap_or_default().to_owned();
        let source = Box::new(Error::Earlier { reason });
        Err(Error::Failed { revision: failed.record.revision, outcome, source })
    }

    /// Goes back to the last good revision, by `back` if that was begun, or away. Says what became of the release.
    async fn undo(&self, failed: &Stored, back: Option<Stored>) -> Result<String, Error> {
        let revisions = self.storage.list().await?;
        let good = last(&revisions, Status::was_good);
        let again =
            Limits { on_failure: OnFailure::Leave, conflicts: Conflicts::Take, ..self.limits.clone() };
        let work = Work { limits: &again, until: Until::after(again.timeout), ..*self };
        let (done, result) = if let Some(good) = good {
            let result = match back {
                Some(back) => Box::pin(work.begun(&back).roll_on(back)).await,
                None => Box::pin(work.rollback(good, failed.clone())).await,
            };
            (format!("the release is back at revision {good}"), result.map(drop))
        } else {
            let (namespace, name) = (&failed.record.release_namespace, &failed.record.name);
            let result = uninstall(self.engine, namespace, name, &again, Why::Undo).await;
            let there = match failed.found.len() {
                0 => String::new(),
                count => format!("; {count} objects that were there before stay"),
            };
            (format!("what was installed is gone again{there}"), result)
        };
        match result {
            Ok(()) => Ok(done),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => Ok(format!("and the way back failed: {}", error.words())),
        }
    }
}
