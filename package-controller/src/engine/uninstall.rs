//! Taking a release away: its hooks, its objects, and last its records, so that a kill in between is noticed.

use helm::HookEvent;
use serde_json::json;

use super::hooks::{Runner, moment};
use super::object::Owner;
use super::remove::{leftovers, remove};
use super::storage::{Storage, last};
use super::wait::{self, Until};
use super::{Engine, Error, Limits, Status};

/// Written down with the steps that are done: the release was good once.
const WAS_GOOD: &str = "was-good";

/// See [`Engine::uninstall`].
pub(super) async fn uninstall(
    engine: &Engine,
    namespace: &str,
    release: &str,
    limits: &Limits,
) -> Result<(), Error> {
    let (cluster, until) = (&engine.cluster, Until::after(limits.timeout));
    let storage = Storage::new(cluster, namespace, release);
    let revisions = storage.list().await?;
    let Some(mut stored) = storage.newest().await? else { return Ok(()) };
    if stored.record.status != Status::Uninstalled {
        let good = last(&revisions, Status::was_good);
        if stored.record.status != Status::Uninstalling {
            if good.is_some() {
                stored.done.insert(WAS_GOOD.to_owned());
            }
            stored.document["info"]["deleted"] = json!(moment());
            stored.set(Status::Uninstalling, "Deletion in progress (or silently failed)");
            storage.update(&mut stored).await?;
        }
        // Hooks of a release that never was may need what was never there.
        let was_there = stored.done.contains(WAS_GOOD);
        let hooks = Runner { cluster, storage: &storage, until };
        if was_there {
            hooks.run(&mut stored, HookEvent::PreDelete).await?;
        }
        let mut manifests = Vec::new();
        for revision in revisions.range(good.unwrap_or_default()..).map(|(revision, _)| *revision) {
            manifests.extend(storage.read(revision).await?.map(|stored| stored.record.manifest));
        }
        let target = stored.record.namespace.clone();
        let objects = leftovers(cluster, &manifests, &target, &[]).await?;
        let leaving = remove(cluster, &objects, Owner { release, namespace: &target }).await?;
        wait::gone(cluster, leaving, until).await?;
        if was_there {
            hooks.run(&mut stored, HookEvent::PostDelete).await?;
        }
    }
    // From old to new, so that as long as any is there the newest says what is going on.
    for revision in revisions.keys() {
        storage.delete(*revision).await?;
    }
    Ok(())
}
