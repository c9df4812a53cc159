//! Rollback to an earlier revision.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::error::Error;
use crate::hooks::timestamp;
use crate::install::{Parts, Work};
use crate::limits::Limits;
use crate::record::Stored;
use crate::release::{Record, Status};
use crate::storage::{Storage, last, now};
use crate::wait::Until;

impl Engine {
    /// Restores the exact manifest of an earlier revision, by default of the last successful one, as a new revision.
    ///
    /// # Errors
    /// If the revision does not exist, or as for [`Engine::install`].
    pub async fn rollback(
        &self,
        namespace: &str,
        release: &str,
        revision: Option<u32>,
        limits: &Limits,
    ) -> Result<Record, Error> {
        Box::pin(rollback(self, namespace, release, revision, limits)).await
    }
}

/// See [`Engine::rollback`].
pub(crate) async fn rollback(
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
    let to = newest.document.pointer("/info/rollback_revision").and_then(Value::as_u64);
    let same = |revision| to == Some(u64::from(revision));
    match newest.record.status {
        Status::PendingRollback if revision.is_none_or(same) => {
            return work.started_at(&newest).resume_rollback(newest).await;
        }
        // Already done, perhaps by a process that was killed before it could report it.
        Status::Deployed if revision.is_some_and(same) => return work.keep(newest).await,
        _ => {}
    }
    let before = revisions.range(..newest.record.revision).map(|(revision, status)| (*revision, *status));
    let target = revision.or_else(|| last(&before.collect(), Status::was_deployed));
    let target = target.ok_or_else(|| missing("earlier revision".to_owned()))?;
    if let Some(target) = storage.read(target).await?
        && target.record.namespace != newest.record.namespace
    {
        return Err(crate::prepare::moved(&newest.record, &target.record.namespace));
    }
    work.rollback(target, newest).await
}

impl Work<'_> {
    /// Restores the manifest of a revision as a new revision.
    pub(crate) async fn rollback(&self, target: u32, newest: Stored) -> Result<Record, Error> {
        let release = || newest.record.name.clone();
        let missing = || Error::NoRevision { release: release(), what: format!("revision {target}") };
        let target_record = self.storage.read(target).await?.ok_or_else(missing)?;
        let revision = newest.record.revision.saturating_add(1);
        let mut document = target_record.document.clone();
        document["version"] = json!(revision);
        document["info"]["last_deployed"] = json!(timestamp());
        document["info"]["rollback_revision"] = json!(target);
        let hooks = document.get_mut("hooks").and_then(Value::as_array_mut);
        for hook in hooks.into_iter().flatten() {
            hook["last_run"] = json!({ "phase": "" });
        }
        let mut stored = Stored::new(document, &target_record.record.release_namespace, now())?;
        stored.seed = target_record.seed;
        stored.record.chart_digest = target_record.record.chart_digest;
        stored.set(Status::PendingRollback, &format!("Rollback to {target}"));
        let revisions = self.storage.list().await?;
        let parts = Parts { earlier: self.earlier(&revisions, revision).await?, ..Parts::default() };
        self.create(Some(newest), stored, parts).await
    }

    /// Resumes a rollback.
    pub(crate) async fn resume_rollback(&self, stored: Stored) -> Result<Record, Error> {
        let revisions = self.storage.list().await?;
        let earlier = self.earlier(&revisions, stored.record.revision).await?;
        self.run(stored, Parts { earlier, ..Parts::default() }, None).await
    }
}
