//! Installation and upgrade: determines the next revision and applies it.

mod next;
mod parts;
mod undo;

use std::collections::{BTreeSet, HashSet};

use helm::HookEvent;
use serde_json::json;

use self::next::{Next, next};
pub(crate) use self::parts::Parts;
use crate::apply::{ApplyOptions, Planned, apply, examine, resolve_scopes};
use crate::definitions::{self, CrdAction};
use crate::engine::Engine;
use crate::error::Error;
use crate::hooks::{Runner, timestamp};
use crate::limits::Limits;
use crate::object::{Key, Object, Owner, is_deleted_when_finished, read};
use crate::prepared::Prepared;
use crate::readiness;
use crate::record::Stored;
use crate::release::{Record, Status};
use crate::remove::{CrdsInUse, Leftover, PastRevision, leftovers, remove};
use crate::storage::{Revisions, Storage, last, now};
use crate::uninstall::{UninstallReason, uninstall};
use crate::wait::{self, Until};

impl Engine {
    /// Installs or upgrades, and waits until all objects are ready. An interrupted installation is resumed: another call
    /// never installs twice.
    ///
    /// # Errors
    /// If an object is rejected, belongs to others or does not become ready in time. Depending on `limits`, the release was
    /// then rolled back to its last successful revision, or removed if it had none.
    pub async fn install(&self, prepared: &Prepared, limits: &Limits) -> Result<Record, Error> {
        Box::pin(install(self, prepared, limits)).await
    }
}

/// See [`Engine::install`].
pub(crate) async fn install(engine: &Engine, prepared: &Prepared, limits: &Limits) -> Result<Record, Error> {
    let plan = &prepared.plan;
    let storage = Storage::new(&engine.cluster, plan.release_namespace, &plan.release);
    let mut revisions = storage.list().await?;
    let mut newest = storage.newest().await?;
    if let Some(failed) = undo::unfinished(&storage, newest.as_ref(), prepared).await? {
        let work = Work { engine, storage: &storage, limits, until: Until::after(limits.timeout) };
        return work.resume_undo(failed, newest).await;
    }
    let was_deployed = last(&revisions, Status::was_deployed).is_some();
    if next(newest.as_ref(), was_deployed, prepared, limits, now()) == Next::Clear {
        uninstall(engine, plan.release_namespace, &plan.release, limits, UninstallReason::Undo).await?;
        (revisions, newest) = (Revisions::new(), None);
    }
    let work = Work { engine, storage: &storage, limits, until: Until::after(limits.timeout) };
    match (next(newest.as_ref(), was_deployed, prepared, limits, now()), newest) {
        (Next::Moved, Some(newest)) => Err(crate::prepare::moved(&newest.record, &prepared.namespace)),
        (Next::Busy(seconds), Some(newest)) => {
            let (release, status) = (plan.release.clone(), newest.record.status.as_str());
            Err(Error::Busy { release, status, seconds })
        }
        (Next::Keep, Some(newest)) => work.keep(newest).await,
        (Next::Resume, Some(newest)) => work.started_at(&newest).resume(newest, prepared, &revisions).await,
        (_, newest) => {
            let basis = crate::prepare::basis(&revisions);
            // The release changed since the plan was prepared, so the manifest may be different now.
            if (basis.revision, basis.is_upgrade) == (prepared.revision, prepared.is_upgrade) {
                work.begin(newest, prepared, &revisions).await
            } else {
                let prepared = crate::prepare::prepare(engine, plan).await?;
                work.begin(newest, &prepared, &revisions).await
            }
        }
    }
}

/// The installation of one revision.
pub(crate) struct Work<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) storage: &'a Storage<'a>,
    pub(crate) limits: &'a Limits,
    pub(crate) until: Until,
}

impl Work<'_> {
    /// Counts the timeout from the start of the revision, regardless of the process that started it.
    pub(crate) fn started_at(self, stored: &Stored) -> Self {
        Self { until: Until::since(stored.created, now(), self.limits.timeout), ..self }
    }

    /// Keeps a finished revision, and restores objects that differ from the manifest.
    pub(crate) async fn keep(&self, stored: Stored) -> Result<Record, Error> {
        let objects = self.objects(&stored, &[]).await?;
        let parts = Parts::default();
        let options = ApplyOptions { is_repeated: true, ..self.options(&stored, &parts, false) };
        let mut planned = examine(&self.engine.cluster, objects, options).await?;
        // A Job that finished and was deleted is not run again.
        planned.retain(|planned| planned.exists || !is_deleted_when_finished(&planned.object.value));
        let applied = self.apply(planned, options).await?;
        wait::ready(&self.engine.cluster, applied, readiness::of, self.until).await?;
        self.supersede_earlier(stored.record.revision).await?;
        Ok(stored.record)
    }

    async fn begin(
        &self,
        newest: Option<Stored>,
        prepared: &Prepared,
        revisions: &Revisions,
    ) -> Result<Record, Error> {
        let status = if prepared.is_upgrade { Status::PendingUpgrade } else { Status::PendingInstall };
        let mut document = prepared.document.clone();
        let first = newest.as_ref().filter(|_| prepared.is_upgrade);
        let first = first.and_then(|newest| newest.document.pointer("/info/first_deployed").cloned());
        let now_text = json!(timestamp());
        document["info"]["first_deployed"] = first.unwrap_or_else(|| now_text.clone());
        document["info"]["last_deployed"] = now_text;
        let mut stored = Stored::new(document, prepared.plan.release_namespace, now())?;
        stored.seed = Some(prepared.seed);
        stored.record.chart_digest = Some(prepared.digest.clone());
        let description = if prepared.is_upgrade { "Preparing upgrade" } else { "Initial install underway" };
        stored.set(status, description);
        let parts = Parts::of(prepared, self.earlier(revisions, stored.record.revision).await?)?;
        self.create(newest, stored, parts).await
    }

    async fn resume(
        &self,
        stored: Stored,
        prepared: &Prepared,
        revisions: &Revisions,
    ) -> Result<Record, Error> {
        let earlier = self.earlier(revisions, stored.record.revision).await?;
        let mut parts = Parts::of(prepared, earlier)?;
        if stored.record.status == Status::PendingRollback {
            parts = Parts { earlier: parts.earlier, ..Parts::default() };
        }
        tracing::info!(
            release = stored.record.name,
            revision = stored.record.revision,
            "resuming the installation"
        );
        self.run(stored, parts, None).await
    }

    /// The manifests whose objects may still be in the cluster: those since the last successful revision.
    pub(crate) async fn earlier(
        &self,
        revisions: &Revisions,
        before: u32,
    ) -> Result<Vec<PastRevision>, Error> {
        let older: Revisions =
            revisions.range(..before).map(|(revision, status)| (*revision, *status)).collect();
        let from = last(&older, Status::was_deployed).unwrap_or_default();
        let mut pasts = Vec::new();
        for revision in older.range(from..).map(|(revision, _)| *revision) {
            pasts.extend(self.storage.read(revision).await?.as_ref().map(PastRevision::of));
        }
        Ok(pasts)
    }

    /// Writes the record of a new revision and applies it. Changes that the cluster would reject are rejected before anything
    /// is written.
    pub(crate) async fn create(
        &self,
        newest: Option<Stored>,
        mut stored: Stored,
        parts: Parts,
    ) -> Result<Record, Error> {
        let planned = self.examine(&stored, &parts).await?;
        if stored.record.status == Status::PendingInstall {
            stored.found = self.found(newest.as_ref(), &planned, &parts.earlier).await?;
        }
        if let Some(mut newest) = newest.filter(|newest| newest.record.status.is_pending()) {
            newest.set(Status::Failed, "abandoned before completion");
            self.storage.update(&mut newest).await?;
        }
        self.storage.create(&mut stored).await?;
        self.run(stored, parts, Some(planned)).await
    }

    /// The objects that existed before the release created any. Objects that an abandoned attempt created do not count.
    async fn found(
        &self,
        newest: Option<&Stored>,
        planned: &[Planned],
        earlier: &[PastRevision],
    ) -> Result<BTreeSet<String>, Error> {
        let created = leftovers(&self.engine.cluster, earlier, &HashSet::new()).await?;
        let created: HashSet<Key> = created.iter().map(|left| left.object.key()).collect();
        let existing = planned.iter().filter(|planned| planned.exists).map(|planned| planned.object.key());
        let before = newest.map(|newest| newest.found.clone()).unwrap_or_default();
        Ok(existing.filter(|key| !created.contains(key)).map(|key| key.to_string()).chain(before).collect())
    }

    /// Determines the actions, and checks that the cluster would accept them. Nothing is changed.
    async fn examine(&self, stored: &Stored, parts: &Parts) -> Result<Vec<Planned>, Error> {
        let cluster = &self.engine.cluster;
        for definition in &parts.definitions {
            definitions::decide(cluster, definition, self.crd_policy(stored)).await?;
        }
        let (before, after) = events(stored.record.status);
        let hooks = self.hooks(&parts.earlier);
        hooks.examine(stored, before).await?;
        hooks.examine(stored, after).await?;
        let has_hooks = Runner::has(stored, before);
        let objects = self.objects(stored, &parts.definitions).await?;
        examine(cluster, objects, self.options(stored, parts, has_hooks)).await
    }

    fn crd_policy(&self, stored: &Stored) -> definitions::CrdPolicy {
        let is_first = stored.record.status == Status::PendingInstall;
        let Limits { ownership, conflicts, .. } = *self.limits;
        definitions::CrdPolicy { is_first, ownership, conflicts }
    }

    fn options<'t>(&self, stored: &'t Stored, parts: &'t Parts, has_hooks: bool) -> ApplyOptions<'t> {
        ApplyOptions {
            owner: owner(stored),
            records: &stored.record.release_namespace,
            conflicts: self.limits.conflicts,
            ownership: self.limits.ownership,
            definitions: &parts.definitions,
            replaced: &parts.replaced,
            has_hooks,
            is_repeated: stored.record.status == Status::PendingRollback,
        }
    }

    fn hooks<'h>(&'h self, earlier: &'h [PastRevision]) -> Runner<'h> {
        let Self { engine, storage, limits, until } = self;
        Runner { cluster: &engine.cluster, storage, until: *until, earlier, ownership: limits.ownership }
    }

    /// Everything after the record is written. All of it can be repeated.
    pub(crate) async fn run(
        &self,
        mut stored: Stored,
        parts: Parts,
        planned: Option<Vec<Planned>>,
    ) -> Result<Record, Error> {
        match self.execute(&mut stored, &parts, planned).await {
            Ok(()) => Ok(stored.record),
            Err(error) if error.is_transient() => Err(error),
            Err(error) => self.fail(stored, error).await,
        }
    }

    async fn execute(
        &self,
        stored: &mut Stored,
        parts: &Parts,
        planned: Option<Vec<Planned>>,
    ) -> Result<(), Error> {
        let cluster = &self.engine.cluster;
        self.apply_definitions(stored, &parts.definitions).await?;
        if let Some(namespace) = &parts.namespace
            && cluster.get(namespace).await?.is_none()
        {
            cluster.create_namespace(namespace).await?;
        }
        let (before, after) = events(stored.record.status);
        let hooks = self.hooks(&parts.earlier);
        hooks.run(stored, before).await?;
        let planned = match planned {
            Some(planned) => planned,
            None => self.examine(stored, parts).await?,
        };
        // A CRD that moves from the manifest to `crds/` stays, with all objects of its kind.
        let staying = planned.iter().map(|planned| &planned.object).chain(&parts.definitions);
        let staying: HashSet<Key> = staying.map(Object::key).collect();
        let applied = self.apply(planned, self.options(stored, parts, false)).await?;
        let left = leftovers(cluster, &parts.earlier, &staying).await?;
        // Objects with data, which a rollback could not restore, are removed only after everything else has succeeded.
        let (data, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(Leftover::holds_data);
        remove(cluster, &rest, &stored.record.name, CrdsInUse::Keep).await?;
        wait::ready(cluster, applied, readiness::of, self.until).await?;
        hooks.run(stored, after).await?;
        remove(cluster, &data, &stored.record.name, CrdsInUse::Keep).await?;
        let description = match stored.record.status {
            Status::PendingUpgrade => "Upgrade complete".to_owned(),
            Status::PendingRollback => stored.record.description.clone(),
            _ => "Install complete".to_owned(),
        };
        stored.set(Status::Deployed, &description);
        self.storage.update(stored).await?;
        self.supersede_earlier(stored.record.revision).await
    }

    /// Applies the CRDs in `crds/`. As in Helm, an upgrade adds CRDs and does not change existing ones.
    async fn apply_definitions(&self, stored: &Stored, definitions: &[Object]) -> Result<(), Error> {
        let cluster = &self.engine.cluster;
        let mut applied = Vec::new();
        for definition in definitions {
            let live = match definitions::decide(cluster, definition, self.crd_policy(stored)).await? {
                CrdAction::Leave(live) => live,
                CrdAction::Apply(conflicts) => {
                    wait::until_gone(cluster, definition, self.until).await?;
                    cluster.apply(definition, crate::cluster::Run::Real, conflicts).await?
                }
            };
            applied.push((definition.clone(), live));
        }
        if !applied.is_empty() {
            wait::ready(cluster, applied, readiness::of, self.until).await?;
            cluster.discover().await?;
        }
        Ok(())
    }

    async fn objects(&self, stored: &Stored, definitions: &[Object]) -> Result<Vec<Object>, Error> {
        let mut objects = read(&stored.record.manifest, &stored.record.namespace)?;
        for object in &mut objects {
            object.own(owner(stored));
        }
        resolve_scopes(&self.engine.cluster, objects, definitions).await
    }

    /// Applies objects in the manifest's order, which is Helm's.
    async fn apply(
        &self,
        planned: Vec<Planned>,
        options: ApplyOptions<'_>,
    ) -> Result<Vec<(Object, serde_json::Value)>, Error> {
        let cluster = &self.engine.cluster;
        let mut applied = Vec::new();
        let mut defined = Vec::new();
        for planned in planned {
            // CRDs come before all objects that may be of their kinds.
            if !planned.object.is_definition() && !defined.is_empty() {
                wait::ready(cluster, std::mem::take(&mut defined), readiness::of, self.until).await?;
                cluster.discover().await?;
            }
            let live = apply(cluster, &planned, options, self.until.deadline).await?;
            if planned.object.is_definition() {
                defined.push((planned.object.clone(), live.clone()));
            }
            applied.push((planned.object, live));
        }
        Ok(applied)
    }

    /// Marks earlier deployed revisions as superseded, and deletes the oldest revisions.
    async fn supersede_earlier(&self, revision: u32) -> Result<(), Error> {
        let revisions = self.storage.list().await?;
        let older = revisions.range(..revision).filter(|(_, status)| **status == Status::Deployed);
        for older in older.map(|(revision, _)| *revision) {
            if let Some(mut stored) = self.storage.read(older).await? {
                let description = stored.record.description.clone();
                stored.set(Status::Superseded, &description);
                self.storage.update(&mut stored).await?;
            }
        }
        self.storage.trim(self.limits.history).await
    }
}

fn owner(stored: &Stored) -> Owner<'_> {
    Owner { release: &stored.record.name, namespace: &stored.record.namespace }
}

/// The events of the hooks before and after.
fn events(status: Status) -> (HookEvent, HookEvent) {
    match status {
        Status::PendingUpgrade => (HookEvent::PreUpgrade, HookEvent::PostUpgrade),
        Status::PendingRollback => (HookEvent::PreRollback, HookEvent::PostRollback),
        _ => (HookEvent::PreInstall, HookEvent::PostInstall),
    }
}
