//! Hooks: objects that run at an event of the release, ordered by weight and name, until they finish.
//!
//! Source: `pkg/action/hooks.go` of Helm 4. In addition to Helm, a hook that was running when the process was killed is
//! found by an annotation and waited for, and a finished one is not run again.

use std::collections::HashSet;

use helm::HookEvent;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::annotations::RUN;
use crate::apply::resolve_scopes;
use crate::cluster::{Cluster, Run};
use crate::definitions::{log_kept, pruned_fields};
use crate::error::Error;
use crate::limits::{Conflicts, Ownership};
use crate::object::{Key, Object, Owner, annotation, belongs, read_hook};
use crate::readiness::{Readiness, of_hook, runs};
use crate::record::Stored;
use crate::remove::PastRevision;
use crate::storage::Storage;
use crate::wait::{self, Until, uid};

const BEFORE: &str = "before-hook-creation";
const SUCCEEDED: &str = "hook-succeeded";
const FAILED: &str = "hook-failed";

/// Runs hooks.
pub(crate) struct Runner<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) storage: &'a Storage<'a>,
    pub(crate) until: Until,
    /// Earlier revisions, whose hooks may have left objects in the cluster.
    pub(crate) earlier: &'a [PastRevision],
    pub(crate) ownership: Ownership,
}

/// A hook of a record.
struct Hook {
    /// The index among the record's hooks.
    index: usize,
    /// The event and the key of the object.
    key: String,
    object: Object,
    weight: i64,
    policies: Vec<String>,
    /// Whether it is not in a list, so that the last run in the record is about this object.
    is_single: bool,
}

impl Hook {
    /// Helm's rules: without a policy, a hook is deleted before it runs again. A CRD is never deleted.
    fn is_deleted(&self, policy: &str) -> bool {
        if self.object.is_definition() {
            return false;
        }
        let default = self.policies.is_empty() && policy == BEFORE;
        default || self.policies.iter().any(|known| known == policy)
    }
}

impl Runner<'_> {
    /// Runs the hooks of an event, except for those that this revision has already run.
    pub(crate) async fn run(&self, stored: &mut Stored, event: HookEvent) -> Result<(), Error> {
        let hooks = self.hooks(stored, event).await?;
        for (index, hook) in hooks.iter().enumerate() {
            if stored.done.contains(&hook.key) {
                continue;
            }
            let result = self.run_one(stored, event, hook).await;
            let Err(error) = result else {
                stored.done.insert(hook.key.clone());
                set_phase(stored, hook.index, "Succeeded");
                self.storage.update(stored).await?;
                continue;
            };
            if error.is_transient() {
                return Err(error);
            }
            // A hook that was rejected before it ran has not failed: the existing object still belongs to others.
            if phase(stored, hook.index) == "Running" {
                set_phase(stored, hook.index, "Failed");
                self.storage.update(stored).await?;
            }
            let is_known = self.is_known(hook, &error).await?;
            self.clear(hook, FAILED).await?;
            for done in hooks.iter().take(index) {
                self.clear(done, SUCCEEDED).await?;
            }
            let reason = match error {
                Error::ObjectFailed { reason, .. } => reason,
                error => error.one_line(),
            };
            let (event, hook) = (event.as_str(), hook.object.to_string());
            return Err(Error::Hook { event, hook, reason, is_known });
        }
        for hook in hooks.iter().rev() {
            self.clear(hook, SUCCEEDED).await?;
        }
        Ok(())
    }

    /// Whether a hook itself reported its failure, or is still running and will report its result.
    async fn is_known(&self, hook: &Hook, error: &Error) -> Result<bool, Error> {
        Ok(match error {
            Error::ObjectFailed { .. } => true,
            Error::NotReady { .. } => self.cluster.get(&hook.object).await?.is_some_and(|live| runs(&live)),
            _ => false,
        })
    }

    /// Checks that the hooks of an event do not affect objects of others. Nothing is changed.
    pub(crate) async fn examine(&self, stored: &Stored, event: HookEvent) -> Result<(), Error> {
        for hook in self.hooks(stored, event).await? {
            if let Some(live) = self.cluster.get(&hook.object).await? {
                self.check(stored, &hook, &live).await?;
            }
        }
        Ok(())
    }

    /// Whether a revision has hooks of an event.
    pub(crate) fn has(stored: &Stored, event: HookEvent) -> bool {
        let hooks = stored.document.get("hooks").and_then(Value::as_array);
        let of = |hook: &Value| strings(hook, "events").any(|name| name == event.as_str());
        hooks.into_iter().flatten().any(of)
    }

    /// Checks that an existing object with the name of a hook belongs to the release: hooks delete and overwrite it.
    async fn check(&self, stored: &Stored, hook: &Hook, live: &Value) -> Result<(), Error> {
        let owner = Owner { release: &stored.record.name, namespace: &stored.record.namespace };
        let has_run = hook.is_single && !phase(stored, hook.index).is_empty();
        let is_run = annotation(live, RUN).is_some_and(|run| is_run_of(run, stored));
        let Err(reason) = belongs(live, owner) else { return Ok(()) };
        if is_run || has_run || self.ownership == Ownership::Take {
            return Ok(());
        }
        if self.created_earlier().await?.contains(&hook.object.key()) {
            return Ok(());
        }
        Err(Error::Foreign { object: hook.object.to_string(), reason })
    }

    /// The objects that hooks of earlier revisions created. A hook that never ran created none, and a list that did not
    /// succeed may not have been created completely.
    async fn created_earlier(&self) -> Result<HashSet<Key>, Error> {
        let mut created = HashSet::new();
        for past in self.earlier {
            for hook in past.hooks.as_array().into_iter().flatten() {
                let manifest = hook.get("manifest").and_then(Value::as_str).unwrap_or_default();
                let objects = read_hook(manifest, &past.namespace)?;
                let phase = hook.pointer("/last_run/phase").and_then(Value::as_str).unwrap_or_default();
                let has_run = if objects.len() == 1 { !phase.is_empty() } else { phase == "Succeeded" };
                if !has_run {
                    continue;
                }
                let objects = resolve_scopes(self.cluster, objects, &[]).await?;
                created.extend(objects.iter().map(Object::key));
            }
        }
        Ok(created)
    }

    async fn hooks(&self, stored: &Stored, event: HookEvent) -> Result<Vec<Hook>, Error> {
        let mut hooks = Vec::new();
        let listed = stored.document.get("hooks").and_then(Value::as_array);
        for (index, hook) in listed.into_iter().flatten().enumerate() {
            if !strings(hook, "events").any(|name| name == event.as_str()) {
                continue;
            }
            let manifest = hook.get("manifest").and_then(Value::as_str).unwrap_or_default();
            let objects = read_hook(manifest, &stored.record.namespace)?;
            let is_single = objects.len() == 1;
            let policies =
                strings(hook, "delete_policies").filter_map(|policy| policy.as_str().map(str::to_owned));
            let policies: Vec<_> = policies.collect();
            hooks.extend(resolve_scopes(self.cluster, objects, &[]).await?.into_iter().map(|object| Hook {
                index,
                key: format!("{} {}", event.as_str(), object.key()),
                weight: hook.get("weight").and_then(Value::as_i64).unwrap_or_default(),
                policies: policies.clone(),
                object,
                is_single,
            }));
        }
        hooks.sort_by(|a, b| a.weight.cmp(&b.weight).then_with(|| a.object.name.cmp(&b.object.name)));
        Ok(hooks)
    }

    async fn run_one(&self, stored: &mut Stored, event: HookEvent, hook: &Hook) -> Result<(), Error> {
        let live = self.cluster.get(&hook.object).await?;
        let of_this_run = |live: &&Value| annotation(live, RUN).is_some_and(|run| is_run(run, stored, event));
        let run = live.as_ref().filter(of_this_run);
        // A removal is retried: a failed hook runs again each time.
        let has_failed = run.is_some_and(|live| matches!(of_hook(live), Readiness::Failed(_)));
        let has_failed = has_failed && phase(stored, hook.index) == "Failed";
        let is_running = run.is_some() && !has_failed;
        if let Some(live) = live.as_ref().filter(|_| !is_running) {
            self.check(stored, hook, live).await?;
            if hook.object.is_definition() && !pruned_fields(live, &hook.object.value).is_empty() {
                log_kept(&hook.object, &pruned_fields(live, &hook.object.value));
                return Ok(());
            }
            if has_failed || hook.is_deleted(BEFORE) {
                self.delete(hook, live).await?;
            }
        }
        if !is_running {
            set_phase(stored, hook.index, "Running");
            self.storage.update(stored).await?;
        }
        let mut object = hook.object.clone();
        object.annotate(RUN, &run_of(stored, event));
        let live = match live.filter(|_| is_running) {
            Some(live) => live,
            None => self.cluster.apply(&object, Run::Real, Conflicts::Take).await?,
        };
        wait::finished(self.cluster, &object, live, self.until).await
    }

    /// Deletes an object, and waits until the name can be used again.
    async fn delete(&self, hook: &Hook, live: &Value) -> Result<(), Error> {
        self.cluster.delete(&hook.object, uid(live)).await?;
        wait::gone(self.cluster, vec![(hook.object.clone(), uid(live).to_owned())], self.until).await
    }

    /// Deletes the object of a hook if it has the policy.
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

fn strings<'a>(hook: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    hook.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The value of the annotation of objects that a hook creates.
fn run_of(stored: &Stored, event: HookEvent) -> String {
    let record = &stored.record;
    format!("{}/{}.v{}.{}", record.release_namespace, record.name, record.revision, event.as_str())
}

/// Whether an object is of this run.
fn is_run(run: &str, stored: &Stored, event: HookEvent) -> bool {
    let own = run_of(stored, event);
    // Earlier versions did not write the namespace.
    own == run || own.split_once('/').is_some_and(|(_, bare)| bare == run)
}

/// Whether an object is of any hook run of this release.
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

/// Records the phase of a hook, as Helm does.
fn set_phase(stored: &mut Stored, index: usize, phase: &str) {
    let Some(run) = stored.document.get_mut("hooks").and_then(|hooks| hooks.get_mut(index)) else { return };
    let now = json!(timestamp());
    let started = run.pointer("/last_run/started_at").filter(|_| phase != "Running").cloned();
    let mut last = json!({ "started_at": started.unwrap_or_else(|| now.clone()), "phase": phase });
    if phase != "Running" {
        last["completed_at"] = now;
    }
    run["last_run"] = last;
}

/// The current time in Helm's format.
pub(crate) fn timestamp() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
