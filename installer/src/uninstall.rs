//! Taking a release away: its hooks, its objects, and last its records, so that a kill in between is noticed.

use std::collections::HashSet;

use helm::HookEvent;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::Engine;
use crate::error::Error;
use crate::hooks::{Runner, moment};
use crate::limits::Limits;
use crate::record::Stored;
use crate::release::Status;
use crate::remove::{Data, Past, leftovers, remove};
use crate::storage::{Storage, last, now};
use crate::wait::{self, Until};

/// Written down with the steps that are done: the release was good once.
const WAS_GOOD: &str = "was-good";

/// Why a release goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody wants it gone, with all that is its own.
    Asked,
    /// It never got ready: what was there before it stays.
    Undo,
}

impl Engine {
    /// Takes a release away, with its records. One that is not there is no error.
    ///
    /// # Errors
    /// A hook fails, or an object does not go in time.
    pub async fn uninstall(&self, namespace: &str, release: &str, limits: &Limits) -> Result<(), Error> {
        Box::pin(uninstall(self, namespace, release, limits, Why::Asked)).await
    }
}

/// See [`Engine::uninstall`].
pub(crate) async fn uninstall(
    engine: &Engine,
    namespace: &str,
    release: &str,
    limits: &Limits,
    why: Why,
) -> Result<(), Error> {
    let (cluster, until) = (&engine.cluster, Until::after(limits.timeout));
    let storage = Storage::new(cluster, namespace, release);
    let revisions = storage.list().await?;
    let Some(mut stored) = storage.newest().await? else { return Ok(()) };
    if stored.record.status != Status::Uninstalled {
        if stored.record.status != Status::Uninstalling {
            if last(&revisions, Status::was_good).is_some() {
                stored.done.insert(WAS_GOOD.to_owned());
            }
            stored.document["info"]["deleted"] = json!(moment());
            stored.set(Status::Uninstalling, "Deletion in progress (or silently failed)");
            storage.update(&mut stored).await?;
        }
        // All that are kept, and each where it was installed: what an upgrade left behind goes now.
        let mut pasts = Vec::new();
        for revision in revisions.keys() {
            pasts.extend(storage.read(*revision).await?.as_ref().map(Past::of));
        }
        // Hooks of a release that never was may need what was never there.
        let was_there = stored.done.contains(WAS_GOOD);
        let (storage, ownership) = (&storage, limits.ownership);
        let hooks = Runner { cluster, storage, until, earlier: &[], ownership };
        if was_there {
            run(&hooks, &mut stored, HookEvent::PreDelete, limits).await?;
        }
        let mut objects = leftovers(cluster, &pasts, &HashSet::new()).await?;
        if why == Why::Undo {
            objects.retain(|left| !stored.found.contains(&left.object.key().to_string()));
        }
        let leaving = remove(cluster, &objects, release, Data::Goes).await?;
        wait::gone(cluster, leaving, until).await?;
        if was_there {
            run(&hooks, &mut stored, HookEvent::PostDelete, limits).await?;
        }
    }
    // From old to new, so that as long as any is there the newest says what is going on.
    for revision in revisions.keys() {
        storage.delete(*revision).await?;
    }
    Ok(())
}

/// Runs hooks of a removal. One that says that it failed, or still runs, is tried again: it may protect data. One of which
/// nothing can be known keeps nothing from going once the removal's time is over.
async fn run(
    hooks: &Runner<'_>,
    stored: &mut Stored,
    event: HookEvent,
    limits: &Limits,
) -> Result<(), Error> {
    let ended = hooks.run(stored, event).await;
    match &ended {
        Err(error @ Error::Hook { is_judged: false, .. }) if is_overdue(stored, limits) => {
            let words = error.words();
            tracing::warn!(release = stored.record.name, reason = words, "going on without this hook");
            hooks.cluster.tell(|| format!("going on without a hook that cannot be judged: {words}"));
            Ok(())
        }
        _ => ended,
    }
}

/// Whether the time of a removal is over, whoever began it.
fn is_overdue(stored: &Stored, limits: &Limits) -> bool {
    let begun = stored.document.pointer("/info/deleted").and_then(Value::as_str);
    let begun = begun.and_then(|begun| OffsetDateTime::parse(begun, &Rfc3339).ok());
    let age = begun.map(|begun| now().saturating_sub(begun.unix_timestamp()));
    age.is_none_or(|age| u64::try_from(age).is_ok_and(|age| age >= limits.timeout.as_secs()))
}
