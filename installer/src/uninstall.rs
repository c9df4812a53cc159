//! Uninstalls a release: its hooks, its objects and finally its records, so that an interrupted removal is detected.

use std::collections::HashSet;

use helm::HookEvent;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::Engine;
use crate::error::Error;
use crate::hooks::{Runner, timestamp};
use crate::limits::Limits;
use crate::record::Stored;
use crate::release::Status;
use crate::remove::{CrdsInUse, PastRevision, leftovers, remove};
use crate::storage::{Storage, last, now};
use crate::wait::{self, Until};

/// Recorded among the finished steps: the release was deployed at some time.
const WAS_DEPLOYED: &str = "was-good";

/// The reason for uninstalling a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UninstallReason {
    /// The user requested it: all objects of the release are removed.
    Requested,
    /// It never became ready: objects that existed before it are kept.
    Undo,
}

impl Engine {
    /// Uninstalls a release, and deletes its records. It is not an error if the release does not exist.
    ///
    /// # Errors
    /// If a hook fails, or an object is not deleted in time.
    pub async fn uninstall(&self, namespace: &str, release: &str, limits: &Limits) -> Result<(), Error> {
        Box::pin(uninstall(self, namespace, release, limits, UninstallReason::Requested)).await
    }
}

/// See [`Engine::uninstall`].
pub(crate) async fn uninstall(
    engine: &Engine,
    namespace: &str,
    release: &str,
    limits: &Limits,
    reason: UninstallReason,
) -> Result<(), Error> {
    let (cluster, until) = (&engine.cluster, Until::after(limits.timeout));
    let storage = Storage::new(cluster, namespace, release);
    let revisions = storage.list().await?;
    let Some(mut stored) = storage.newest().await? else { return Ok(()) };
    if stored.record.status != Status::Uninstalled {
        if stored.record.status != Status::Uninstalling {
            if last(&revisions, Status::was_deployed).is_some() {
                stored.done.insert(WAS_DEPLOYED.to_owned());
            }
            stored.document["info"]["deleted"] = json!(timestamp());
            stored.set(Status::Uninstalling, "Deletion in progress (or silently failed)");
            storage.update(&mut stored).await?;
        }
        // All stored revisions, each in the namespace where it was installed: objects that an upgrade left are removed, too.
        let mut pasts = Vec::new();
        for revision in revisions.keys() {
            pasts.extend(storage.read(*revision).await?.as_ref().map(PastRevision::of));
        }
        // Hooks of a release that was never deployed may need objects that never existed.
        let was_deployed = stored.done.contains(WAS_DEPLOYED);
        let (storage, ownership) = (&storage, limits.ownership);
        let hooks = Runner { cluster, storage, until, earlier: &[], ownership };
        if was_deployed {
            run(&hooks, &mut stored, HookEvent::PreDelete, limits).await?;
        }
        let mut objects = leftovers(cluster, &pasts, &HashSet::new()).await?;
        if reason == UninstallReason::Undo {
            objects.retain(|left| !stored.found.contains(&left.object.key().to_string()));
        }
        let deleted = remove(cluster, &objects, release, CrdsInUse::Delete).await?;
        wait::gone(cluster, deleted, until).await?;
        if was_deployed {
            run(&hooks, &mut stored, HookEvent::PostDelete, limits).await?;
        }
    }
    // From old to new, so that the newest record, with the status, is deleted last.
    for revision in revisions.keys() {
        storage.delete(*revision).await?;
    }
    Ok(())
}

/// Runs the hooks of a removal. A hook that reported a failure or is still running is retried: it may protect data. A hook
/// whose result is unknown does not block the removal after its timeout.
async fn run(
    hooks: &Runner<'_>,
    stored: &mut Stored,
    event: HookEvent,
    limits: &Limits,
) -> Result<(), Error> {
    let ended = hooks.run(stored, event).await;
    match &ended {
        Err(error @ Error::Hook { is_known: false, .. }) if is_overdue(stored, limits) => {
            let reason = error.one_line();
            tracing::warn!(release = stored.record.name, reason, "continuing without this hook");
            hooks.cluster.report(|| format!("continuing without a hook whose result is unknown: {reason}"));
            Ok(())
        }
        _ => ended,
    }
}

/// Whether the timeout of a removal has passed, regardless of the process that started it.
fn is_overdue(stored: &Stored, limits: &Limits) -> bool {
    let begun = stored.document.pointer("/info/deleted").and_then(Value::as_str);
    let begun = begun.and_then(|begun| OffsetDateTime::parse(begun, &Rfc3339).ok());
    let age = begun.map(|begun| now().saturating_sub(begun.unix_timestamp()));
    age.is_none_or(|age| u64::try_from(age).is_ok_and(|age| age >= limits.timeout.as_secs()))
}
