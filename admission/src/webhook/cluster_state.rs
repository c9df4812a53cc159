//! Watches trust policies and namespaces, and keeps them in memory. Writes the status of policies, and the greatest
//! sequence of each policy name, which outlives the policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use error_text::one_line;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use package_api::conditions::{ConditionStatus, READY};
use package_api::trust_policy::TrustPolicyStatus;
use package_api::{Condition, TrustPolicy};
use serde_json::json;
use telemetry::Part;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::policies::CompiledPolicy;
use crate::context::Context;
use crate::error::{Error, Result};

/// The `ConfigMap` with the sequences.
const SEQUENCES: &str = "airlock-trust-policy-sequences";

/// The watched state of the cluster.
#[derive(Clone)]
pub(super) struct ClusterState {
    kube: Client,
    namespaces: Store<Namespace>,
    policies: Arc<RwLock<Option<Vec<Arc<CompiledPolicy>>>>>,
    sequences: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// Updates the state.
pub(super) struct Watcher {
    state: ClusterState,
    namespace: String,
    writer: reflector::store::Writer<Namespace>,
    part: Part,
}

impl ClusterState {
    pub(super) fn new(context: &Context) -> (Self, Watcher) {
        let (namespaces, writer) = reflector::store();
        let state = Self {
            kube: context.kube.clone(),
            namespaces,
            policies: Arc::default(),
            sequences: Arc::default(),
        };
        let part = context.telemetry.part("trust policies");
        let namespace = context.settings.namespace.clone();
        (state.clone(), Watcher { state, namespace, writer, part })
    }

    /// The policies that match a namespace.
    ///
    /// # Errors
    /// If the policies have not been listed yet, or the namespace cannot be fetched.
    pub(super) async fn policies(&self, namespace: &str) -> Result<Vec<Arc<CompiledPolicy>>, String> {
        let all = self.all().ok_or("trust policies are still being read")?;
        if all.iter().all(|policy| policy.spec.namespaces.is_none()) {
            return Ok(all);
        }
        let labels = self.labels(namespace).await?;
        Ok(all.into_iter().filter(|policy| policy.matches_namespace(namespace, &labels)).collect())
    }

    /// All policies; `None` until they have been listed.
    pub(super) fn all(&self) -> Option<Vec<Arc<CompiledPolicy>>> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The labels of a namespace.
    pub(super) async fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, String> {
        let known = self.namespaces.get(&ObjectRef::new(namespace));
        let labels = |found: &Namespace| found.metadata.labels.clone().unwrap_or_default();
        if let Some(known) = known {
            return Ok(labels(&known));
        }
        // It was created a moment ago.
        let found = Api::<Namespace>::all(self.kube.clone()).get(namespace).await;
        found
            .as_ref()
            .map(labels)
            .map_err(|error| format!("cannot get the namespace `{namespace}`: {}", one_line(error)))
    }

    /// The greatest sequence of a policy of this name that was in force.
    pub(super) fn newest(&self, name: &str) -> u64 {
        let sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        sequences.get(name).copied().unwrap_or_default()
    }
}

impl Watcher {
    /// Watches until the future is dropped.
    pub(super) async fn watch(self) {
        let Self { state, namespace, writer, part } = self;
        let kube = state.kube.clone();
        let namespaces = watcher(Api::<Namespace>::all(kube.clone()), watcher::Config::default());
        let namespaces = reflector::reflector(writer, namespaces.default_backoff());
        let namespaces = namespaces.for_each(|event| async move {
            if let Err(error) = event {
                tracing::warn!(error = one_line(&error), "cannot watch namespaces");
            }
        });
        let policies = async {
            while let Err(error) = state.load_sequences(&namespace).await {
                tracing::warn!(error = one_line(&error), "cannot read the sequences of trust policies");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            state.follow(&namespace, &part).await;
        };
        futures::future::join(namespaces, policies).await;
    }
}

impl ClusterState {
    /// Loads the stored sequences.
    async fn load_sequences(&self, namespace: &str) -> Result<()> {
        let maps = Api::<ConfigMap>::namespaced(self.kube.clone(), namespace);
        let found = maps.get_opt(SEQUENCES).await.map_err(Error::kube)?;
        let data = found.and_then(|map| map.data).unwrap_or_default();
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        sequences.extend(data.into_iter().filter_map(|(name, text)| Some((name, text.parse().ok()?))));
        Ok(())
    }

    async fn follow(&self, namespace: &str, part: &Part) {
        let policies = Api::<TrustPolicy>::all(self.kube.clone());
        let (reader, writer) = reflector::store();
        let events = watcher(policies.clone(), watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(reflector::reflector(writer, events));
        while let Some(event) = events.next().await {
            match event {
                // Until the list is complete, the previous policies stay in force.
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Ok(_) => {
                    self.update(&reader.state());
                    self.write_back(&policies, &reader.state(), namespace).await;
                    part.is_ready(true);
                }
                Err(error) => tracing::warn!(error = one_line(&error), "cannot watch trust policies"),
            }
        }
    }

    /// Compiles the policies that changed.
    fn update(&self, found: &[Arc<TrustPolicy>]) {
        let known = self.all().unwrap_or_default();
        let read = |policy: &Arc<TrustPolicy>| {
            let meta = &policy.metadata;
            let newest = {
                let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
                let newest = sequences.entry(policy.name().to_owned()).or_default();
                let reported = policy.status.as_ref().and_then(|status| status.newest_sequence);
                *newest = (*newest).max(policy.spec.trust.sequence.unwrap_or(0)).max(reported.unwrap_or(0));
                *newest
            };
            let same = known.iter().find(|known| {
                meta.uid.as_ref() == Some(&known.uid)
                    && meta.generation == Some(known.generation)
                    && known.newest == newest
            });
            same.cloned().unwrap_or_else(|| Arc::new(CompiledPolicy::read(policy, newest)))
        };
        let now: Vec<_> = found.iter().map(read).collect();
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Writes the sequences and the status of policies, if they changed.
    async fn write_back(&self, api: &Api<TrustPolicy>, found: &[Arc<TrustPolicy>], namespace: &str) {
        if let Err(error) = self.store_sequences(namespace).await {
            tracing::warn!(error = one_line(&error), "cannot store the sequences of trust policies");
        }
        for policy in found {
            let compiled = self.all().unwrap_or_default();
            let Some(compiled) = compiled.iter().find(|known| known.name == policy.name()) else { continue };
            let status = status(policy, compiled);
            if policy.status.as_ref() == Some(&status) {
                continue;
            }
            let patch = Patch::Merge(json!({"status": status}));
            if let Err(error) = api.patch_status(policy.name(), &PatchParams::default(), &patch).await {
                tracing::warn!(
                    policy = policy.name(),
                    error = one_line(&error),
                    "cannot write the status of a trust policy"
                );
            }
        }
    }

    async fn store_sequences(&self, namespace: &str) -> Result<()> {
        let wanted: BTreeMap<_, _> = {
            let sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
            let some = sequences.iter().filter(|(_, sequence)| **sequence > 0);
            some.map(|(name, sequence)| (name.clone(), sequence.to_string())).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let maps = Api::<ConfigMap>::namespaced(self.kube.clone(), namespace);
        let Some(mut found) = maps.get_opt(SEQUENCES).await.map_err(Error::kube)? else {
            let metadata = ObjectMeta { name: Some(SEQUENCES.to_owned()), ..ObjectMeta::default() };
            let map = ConfigMap { metadata, data: Some(wanted), ..ConfigMap::default() };
            return maps.create(&PostParams::default(), &map).await.map(drop).map_err(Error::kube);
        };
        let data = found.data.get_or_insert_default();
        let before = data.clone();
        for (name, sequence) in wanted {
            let number = |text: &str| text.parse::<u64>().unwrap_or_default();
            if data.get(&name).is_none_or(|known| number(known) < number(&sequence)) {
                data.insert(name, sequence);
            }
        }
        if *data == before {
            return Ok(());
        }
        maps.replace(SEQUENCES, &PostParams::default(), &found).await.map(drop).map_err(Error::kube)
    }
}

fn status(policy: &TrustPolicy, compiled: &CompiledPolicy) -> TrustPolicyStatus {
    let generation = policy.metadata.generation;
    let sequence = policy.spec.trust.sequence.unwrap_or(0);
    let (ready, reason, message) = match &compiled.rules {
        Err(reason) => (
            false,
            "Unusable",
            format!("{reason}; until it is fixed, all images that it may match are rejected"),
        ),
        Ok(_) if sequence < compiled.newest => {
            let newest = compiled.newest;
            (false, "Stale", format!("it has sequence {sequence}, but {newest} was in force before"))
        }
        Ok(rules) => {
            let required = compiled.requirements();
            let keys = match (rules.trust.keys().len(), rules.trust.identities().len()) {
                (1, 0) => "1 key is trusted".to_owned(),
                (count, 0) => format!("{count} keys are trusted"),
                (0, 1) => "1 identity is trusted".to_owned(),
                (keys, identities) => format!("{keys} keys and {identities} identities are trusted"),
            };
            let glass = policy.spec.break_glass.as_ref();
            let glass = glass.map(|glass| format!("; break-glass until {}: {}", glass.until, glass.reason));
            let glass = glass.unwrap_or_default();
            (true, "InForce", format!("images need {required}; {keys}{glass}"))
        }
    };
    let known = policy.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = known.and_then(|all| all.iter().find(|condition| condition.kind == READY));
    let status = if ready { ConditionStatus::True } else { ConditionStatus::False };
    let since = known.filter(|known| known.status == status).map(|known| known.last_transition_time.clone());
    let now =
        || OffsetDateTime::now_utc().replace_nanosecond(0).ok().and_then(|now| now.format(&Rfc3339).ok());
    let condition = Condition {
        kind: READY.to_owned(),
        status,
        reason: reason.to_owned(),
        message,
        last_transition_time: since.or_else(now).unwrap_or_default(),
        observed_generation: generation,
    };
    TrustPolicyStatus {
        conditions: Some(vec![condition]),
        observed_generation: generation,
        newest_sequence: Some(compiled.newest).filter(|newest| *newest > 0),
    }
}
