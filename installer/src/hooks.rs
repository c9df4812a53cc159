//! Hooks: objects that run at an event of the release, by weight and name, until they are done.
//!
//! Source: `pkg/action/hooks.go` of Helm 4. What Helm does not do: a hook that was under way when the process was
//! killed is found by an annotation and waited for, and one that was done is not run again.

use std::collections::HashSet;

use helm::HookEvent;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::apply::settle;
use crate::cluster::{Cluster, Run};
use crate::definitions::{lost, told_kept};
use crate::error::Error;
use crate::limits::{Conflicts, Ownership};
use crate::marks::RUN;
use crate::object::{Key, Object, Owner, annotation, belongs, read_hook};
use crate::readiness::{Readiness, of_hook, runs};
use crate::record::Stored;
use crate::remove::Past;
use crate::storage::Storage;
use crate::wait::{self, Until, uid};

const BEFORE: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// What running hooks needs.
pub(crate) struct Runner<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) storage: &'a Storage<'a>,
    pub(crate) until: Until,
    /// Earlier revisions, whose hooks may have left objects.
    pub(crate) earlier: &'a [Past],
    pub(crate) ownership: Ownership,
}

/// A hook of a record.
struct Hook {
    /// Its place among the record's hooks.
    index: usize,
    /// Names the event and the object with all that tells it from others.
    key: String,
    object: Object,
    weight: i64,
    policies: Vec<String>,
    /// Whether it is no list, so that what the record says of its run is said of this object.
    is_alone: bool,
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
    pub(crate) async fn run(&self, stored: &mut Stored, event: HookEvent) -> Result<(), Error> {
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
            // One that was refused before it ran has not failed: what is in its place stays somebody else's.
            if phase(stored, hook.index) == "Running" {
                mark(stored, hook.index, "Failed");
                self.storage.update(stored).await?;
            }
            let is_judged = self.is_judged(hook, &error).await?;
            self.clear(hook, FAILED).await?;
            for done in hooks.iter().take(index) {
                self.clear(done, SUCCEEDED).await?;
            }
            let reason = match error {
                Error::ObjectFailed { reason, .. } => reason,
                error => error.words(),
            };
            let (event, hook) = (event.as_str(), hook.object.to_string());
            return Err(Error::Hook { event, hook, reason, is_judged });
        }
        for hook in hooks.iter().rev() {
            self.clear(hook, SUCCEEDED).await?;
        }
        Ok(())
    }

    /// Whether a hook itself tells that it failed, or still runs and will tell.
    async fn is_judged(&self, hook: &Hook, error: &Error) -> Result<bool, Error> {
        Ok(match error {
            Error::ObjectFailed { .. } => true,
            Error::NotReady { .. } => self.cluster.get(&hook.object).await?.is_some_and(|live| runs(&live)),
            _ => false,
        })
    }

    /// Learns whether the hooks of an event would touch what is somebody else's. Nothing is changed.
    pub(crate) async fn examine(&self, stored: &Stored, event: HookEvent) -> Result<(), Error> {
        for hook in self.hooks(stored, event).await? {
            if let Some(live) = self.cluster.get(&hook.object).await? {
                self.check(stored, &hook, &live).await?;
            }
        }
        Ok(())
    }

    /// Whether there are hooks of an event.
    pub(crate) fn has(stored: &Stored, event: HookEvent) -> bool {
        let hooks = stored.document.get("hooks").and_then(Value::as_array);
        let of = |hook: &Value| words(hook, "events").any(|word| word == event.as_str());
        hooks.into_iter().flatten().any(of)
    }

    /// An object that is in a hook's place must be the release's: hooks delete and overwrite what they find.
    async fn check(&self, stored: &Stored, hook: &Hook, live: &Value) -> Result<(), Error> {
        let owner = Owner { release: &stored.record.name, namespace: &stored.record.namespace };
        let has_run = hook.is_alone && !phase(stored, hook.index).is_empty();
        let is_run = annotation(live, RUN).is_some_and(|run| is_run_of(run, stored));
        let Err(reason) = belongs(live, owner) else { return Ok(()) };
        if is_run || has_run || self.ownership == Ownership::Take {
            return Ok(());
        }
        if self.known().await?.contains(&hook.object.key()) {
            return Ok(());
        }
        Err(Error::Foreign { object: hook.object.to_string(), reason })
    }

    /// What hooks of earlier revisions made. One that never ran made nothing, and one of a list that did not succeed may
    /// not have come to all of it.
    async fn known(&self) -> Result<HashSet<Key>, Error> {
        let mut known = HashSet::new();
        for past in self.earlier {
            for hook in past.hooks.as_array().into_iter().flatten() {
                let manifest = hook.get("manifest").and_then(Value::as_str).unwrap_or_default();
                let objects = read_hook(manifest, &past.namespace)?;
                let phase = hook.pointer("/last_run/phase").and_then(Value::as_str).unwrap_or_default();
                let has_run = if objects.len() == 1 { !phase.is_empty() } else { phase == "Succeeded" };
                if !has_run {
                    continue;
                }
                let objects = settle(self.cluster, objects, &[]).await?;
                known.extend(objects.iter().map(Object::key));
            }
        }
        Ok(known)
    }

    async fn hooks(&self, stored: &Stored, event: HookEvent) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        let listed = stored.document.get("hooks").and_then(Value::as_array);
        for (index, hook) in listed.into_iter().flatten().enumerate() {
            if !words(hook, "events").any(|word| word == event.as_str()) {
                continue;
            }
            let manifest = hook.get("manifest").and_then(Value::as_str).unwrap_or_default();
            let objects = read_hook(manifest, &stored.record.namespace)?;
            let is_alone = objects.len() == 1;
            let policies = words(hook, "delete_policies").filter_map(|word| word.as_str().map(str::to_owned));
            let policies: Vec<_> = policies.collect();
            hooks.extend(settle(self.cluster, objects, &[]).await?.into_iter().map(|object| Hook {
                index,
                key: format!("{} {}", event.as_str(), object.key()),
                weight: hook.get("weight").and_then(Value::as_i64).unwrap_or_default(),
                policies: policies.clone(),
                object,
                is_alone,
            }));
        }
        hooks.sort_by(|a, b| a.weight.cmp(&b.weight).then_with(|| a.object.name.cmp(&b.object.name)));
        Ok(hooks)
    }

    async fn one(&self, stored: &mut Stored, event: HookEvent, hook: &Hook) -> Result<(), Error> {
        let live = self.cluster.get(&hook.object).await?;
        let of_this_run = |live: &&Value| annotation(live, RUN).is_some_and(|run| is_run(run, stored, event));
        let run = live.as_ref().filter(of_this_run);
        // A removal is tried again and again: a hook that failed has another try each time.
        let is_over = run.is_some_and(|live| matches!(of_hook(live), Readiness::Failed(_)));
        let is_over = is_over && phase(stored, hook.index) == "Failed";
        let is_under_way = run.is_some() && !is_over;
        if let Some(live) = live.as_ref().filter(|_| !is_under_way) {
            self.check(stored, hook, live).await?;
            if hook.object.is_definition() && !lost(live, &hook.object.value).is_empty() {
                told_kept(&hook.object, &lost(live, &hook.object.value));
                return Ok(());
            }
            if is_over || hook.is_deleted(BEFORE) {
                self.delete(hook, live).await?;
            }
        }
        if !is_under_way {
            mark(stored, hook.index, "Running");
            self.storage.update(stored).await?;
        }
        let mut object = hook.object.clone();
        object.annotate(RUN, &run_of(stored, event));
        let live = match live.filter(|_| is_under_way) {
            Some(live) => live,
            None => self.cluster.apply(&object, Run::Real, Conflicts::Take).await?,
        };
        wait::ended(self.cluster, &object, live, self.until).await
    }

    /// Before another takes its name it must be gone.
    async fn delete(&self, hook: &Hook, live: &Value) -> Result<(), Error> {
        self.cluster.delete(&hook.object, uid(live)).await?;
        wait::gone(self.cluster, vec![(hook.object.clone(), uid(live).to_owned())], self.until).await
    }

    /// Deletes a hook's object if its policy says so.
    async fn clear(&self, hook: &Hook, policy: &str) -> Result<(), Error> {
        if !hook.is_deleted(policy) {
            return Ok(());
        }
        match self.cluster.get(&hook.object).await? {
            Some(live) => self.cluster.delete(&hook.object, uid(&live)).await,
            None => Ok(()),
        }
    }
}

fn words<'a>(hook: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    hook.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// What an object is marked with that a hook made.
fn run_of(stored: &Stored, event: HookEvent) -> String {
    let record = &stored.record;
    format!("{}/{}.v{}.{}", record.release_namespace, record.name, record.revision, event.as_str())
}

/// Whether an object is of this very run.
fn is_run(run: &str, stored: &Stored, event: HookEvent) -> bool {
    let own = run_of(stored, event);
    // Earlier versions did not write the namespace.
    own == run || own.split_once('/').is_some_and(|(_, bare)| bare == run)
}

/// Whether an object is of any run of a hook of this release.
fn is_run_of(run: &str, stored: &Stored) -> bool {
    let bare = match run.split_once('/') {
        Some((namespace, bare)) if namespace == stored.record.release_namespace => bare,
        Some(_) => return false,
        None => run,
    };
    let rest = bare.strip_prefix(&stored.record.name).and_then(|rest| rest.strip_prefix(".v"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    rest.and_then(|rest| rest.split_once('.'))
        .is_some_and(|(number, event)| is_number(number) && !event.contains('.'))
}

fn phase(stored: &Stored, index: usize) -> &str {
    let phase = stored.document.pointer(&format!("/hooks/{index}/last_run/phase"));
    phase.and_then(Value::as_str).unwrap_or_default()
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
pub(crate) fn moment() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
