//! Going back to an earlier revision.

use super::install::Work;
use super::storage::{Storage, last};
use super::wait::Until;
use super::{Engine, Error, Limits, Record, Status};

/// See [`Engine::rollback`].
pub(super) async fn rollback(
    engine: &Engine,
    namespace: &str,
    release: &str,
    revision: Option<u32>,
    limits: &Limits,
) -> Result<Record, Error> {
    let storage = Storage::new(&engine.cluster, namespace, release);
    let missing = |what: String| Error::NoRevision { release: release.to_owned(), what };
    let revisions = storage.list().await?;
    let newest = storage.newest().await?;
    let gone = |status| matches!(status, Status::Uninstalling | Status::Uninstalled);
    let newest = newest.filter(|newest| !gone(newest.record.status));
    let newest = newest.ok_or_else(|| missing("revision".to_owned()))?;
    let work = Work { engine, storage: &storage, limits, until: Until::after(limits.timeout) };
    let to = newest.document.pointer("/info/rollback_revision").and_then(serde_json::Value::as_u64);
    let same = |revision| to == Some(u64::from(revision));
    match newest.record.status {
        Status::PendingRollback if revision.is_none_or(same) => return work.roll_on(newest).await,
        // It was done already, perhaps by a process that was killed before it could say so.
        Status::Deployed if revision.is_some_and(same) => return work.keep(newest).await,
        _ => {}
    }
    let before = revisions.range(..newest.record.revision).map(|(revision, status)| (*revision, *status));
    let target = revision.or_else(|| last(&before.collect(), Status::was_good));
    let target = target.ok_or_else(|| missing("earlier revision".to_owned()))?;
    work.rollback(target, newest).await
}
