//! Hooks: objects that run at an event of the release, by weight and name, until they are done.
//!
//! Source: `pkg/action/hooks.go` of Helm 4. What Helm does not do: a hook that was under way when the process was
//! killed is found by an annotation and waited for, and one that was done is not run again.

use helm::HookEvent;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::apply::settle;
use super::cluster::{Cluster, Run};
use super::object::{Object, annotation, read_hook};
use super::readiness::of_hook;
use super::record::Stored;
use super::storage::Storage;
use super::wait::{self, Until, uid};
use super::{Conflicts, Error};

/// The run of a revision that an object was made by.
const RUN: &str = "airlock.dev/run";
const BEFORE: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// What running hooks needs.
pub(super) struct Runner<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) storage: &'a Storage<'a>,
    pub(super) until: Until,
}

/// A hook of a record.
struct Hook {
    /// Its place among the record's hooks.
    index: usize,
    key: String,
    object: Object,
    weight: i64,
    policies: Vec<String>,
}

impl Hook {
    /// Helm's rules: without a policy a hook is deleted before it runs again, and a definition of a kind never.
    fn is_deleted(&self, policy: &str) -> bool {
        if self.object.is_definition() {
            return false;
        }
        let default = self.policies.is_empty() && policy == BEFORE;
        default || self.policies.iter().any(|known| known == policy)
    }
}

impl Runner<'_> {
    /// Runs the hooks of an event, but for those that this revision has run already.
    pub(super) async fn run(&self, stored: &mut Stored, event: HookEvent) -> Result<(), Error> {
        let hooks = self.hooks(stored, event).await?;
        for (index, hook) in hooks.iter().enumerate() {
            if stored.done.contains(&hook.key) {
                continue;
            }
            let result = self.one(stored, event, hook).await;
            let Err(error) = result else {
                stored.done.insert(hook.key.clone());
                mark(stored, hook.index, "Succeeded");
                self.storage.update(stored).await?;
                continue;
            };
            if error.is_transient() {
                return Err(error);
            }
            mark(stored, hook.index, "Failed");
            self.storage.update(stored).await?;
            self.clear(hook, FAILED).await?;
            for done in hooks.iter().take(index) {
                self.clear(done, SUCCEEDED).await?;
            }
            let (event, reason) = (event.as_str(), error.words());
            return Err(Error::Hook { event, hook: hook.object.to_string(), reason });
        }
        for hook in hooks.iter().rev() {
            self.clear(hook, SUCCEEDED).await?;
        }
        Ok(())
    }

    async fn hooks(&self, stored: &Stored, event: HookEvent) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        let listed = stored.document.get("hooks").and_then(Value::as_array);
        for (index, hook) in listed.into_iter().flatten().enumerate() {
            let words = |name: &str| hook.get(name).and_then(Value::as_array).into_iter().flatten();
            if !words("events").any(|word| word == event.as_str()) {
                continue;
            }
            let manifest = hook.get("manifest").and_then(Value::as_str).unwrap_or_default();
            let objects = read_hook(manifest, &stored.record.namespace)?;
            let policies = words("delete_policies").filter_map(|word| word.as_str().map(str::to_owned));
            let policies: Vec<_> = policies.collect();
            hooks.extend(settle(self.cluster, objects, &[]).await?.into_iter().map(|object| Hook {
                index,
                key: format!("{}/{}/{}", event.as_str(), object.kind, object.name),
                weight: hook.get("weight").and_then(Value::as_i64).unwrap_or_default(),
                policies: policies.clone(),
                object,
            }));
        }
        hooks.sort_by(|a, b| a.weight.cmp(&b.weight).then_with(|| a.object.name.cmp(&b.object.name)));
        Ok(hooks)
    }

    async fn one(&self, stored: &mut Stored, event: HookEvent, hook: &Hook) -> Result<(), Error> {
        let run = format!("{}.v{}.{}", stored.record.name, stored.record.revision, event.as_str());
        let live = self.cluster.get(&hook.object).await?;
        let under_way = live.as_ref().is_some_and(|live| annotation(live, RUN) == Some(&run));
        if !under_way {
            if live.is_some() {
                self.clear(hook, BEFORE).await?;
            }
            mark(stored, hook.index, "Running");
            self.storage.update(stored).await?;
        }
        let mut object = hook.object.clone();
        object.annotate(RUN, &run);
        let live = self.cluster.apply(&object, Run::Real, Conflicts::Take).await?;
        wait::ready(self.cluster, vec![(object, live)], of_hook, self.until).await
    }

    /// Deletes a hook's object if its policy says so. Before another takes its name it must be gone.
    async fn clear(&self, hook: &Hook, policy: &str) -> Result<(), Error> {
        if !hook.is_deleted(policy) {
            return Ok(());
        }
        let Some(live) = self.cluster.get(&hook.object).await? else { return Ok(()) };
        self.cluster.delete(&hook.object, uid(&live)).await?;
        if policy != BEFORE {
            return Ok(());
        }
        wait::gone(self.cluster, vec![(hook.object.clone(), uid(&live).to_owned())], self.until).await
    }
}

/// Writes down how far a hook is, as Helm does.
fn mark(stored: &mut Stored, index: usize, phase: &str) {
    let Some(run) = stored.document.get_mut("hooks").and_then(|hooks| hooks.get_mut(index)) else { return };
    let now = json!(moment());
    let started = run.pointer("/last_run/started_at").filter(|_| phase != "Running").cloned();
    let mut last = json!({ "started_at": started.unwrap_or_else(|| now.clone()), "phase": phase });
    if phase != "Running" {
        last["completed_at"] = now;
    }
    run["last_run"] = last;
}

/// The time as Helm writes it.
pub(super) fn moment() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
