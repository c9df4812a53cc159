//! What is watched of the cluster: trust policies and namespaces, in memory; and what is written back of policies:
//! whether they are in force, and the greatest sequence of each name, which outlives the policy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use brief::words;
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

use super::policies::Compiled;
use crate::context::Context;
use crate::error::{Error, Result};

/// The config map with the sequences.
const SEQUENCES: &str = "airlock-trust-policy-sequences";

/// What is known of the cluster.
#[derive(Clone)]
pub(super) struct Watched {
    kube: Client,
    namespaces: Store<Namespace>,
    policies: Arc<RwLock<Option<Vec<Arc<Compiled>>>>>,
    sequences: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// What keeps it so.
pub(super) struct Watcher {
    watched: Watched,
    namespace: String,
    writer: reflector::store::Writer<Namespace>,
    part: Part,
}

impl Watched {
    pub(super) fn new(context: &Context) -> (Self, Watcher) {
        let (namespaces, writer) = reflector::store();
        let watched = Self {
            kube: context.kube.clone(),
            namespaces,
            policies: Arc::default(),
            sequences: Arc::default(),
        };
        let part = context.telemetry.part("trust policies");
        let namespace = context.settings.namespace.clone();
        (watched.clone(), Watcher { watched, namespace, writer, part })
    }

    /// The policies of a namespace.
    ///
    /// # Errors
    /// While it is not known yet which policies there are, or the namespace cannot be asked for.
    pub(super) async fn policies(&self, namespace: &str) -> Result<Vec<Arc<Compiled>>, String> {
        let all = self.all().ok_or("trust policies are still being read")?;
        if all.iter().all(|policy| policy.spec.namespaces.is_none()) {
            return Ok(all);
        }
        let labels = self.labels(namespace).await?;
        Ok(all.into_iter().filter(|policy| policy.is_for(namespace, &labels)).collect())
    }

    /// All policies; none while it is not known yet which there are.
    pub(super) fn all(&self) -> Option<Vec<Arc<Compiled>>> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The labels of a namespace.
    pub(super) async fn labels(&self, namespace: &str) -> Result<BTreeMap<String, String>, String> {
        let known = self.namespaces.get(&ObjectRef::new(namespace));
        let labels = |found: &Namespace| found.metadata.labels.clone().unwrap_or_default();
        if let Some(known) = known {
            return Ok(labels(&known));
        }
        // It was made a moment ago.
        let found = Api::<Namespace>::all(self.kube.clone()).get(namespace).await;
        found.as_ref().map(labels).map_err(|error| format!("namespace `{namespace}`: {}", words(error)))
    }

    /// The greatest sequence of a policy of this name that was in force.
    pub(super) fn newest(&self, name: &str) -> u64 {
        let sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        sequences.get(name).copied().unwrap_or_default()
    }
}

impl Watcher {
    /// Watches until it is dropped.
    pub(super) async fn watch(self) {
        let Self { watched, namespace, writer, part } = self;
        let kube = watched.kube.clone();
        let namespaces = watcher(Api::<Namespace>::all(kube.clone()), watcher::Config::default());
        let namespaces = reflector::reflector(writer, namespaces.default_backoff());
        let namespaces = namespaces.for_each(|event| async move {
            if let Err(error) = event {
                tracing::warn!(error = words(&error), "cannot watch namespaces");
            }
        });
        let policies = async {
            while let Err(error) = watched.recall(&namespace).await {
                tracing::warn!(error = words(&error), "cannot read the sequences of trust policies");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            watched.follow(&namespace, &part).await;
        };
        futures::future::join(namespaces, policies).await;
    }
}

impl Watched {
    /// Reads what is remembered of sequences.
    async fn recall(&self, namespace: &str) -> Result<()> {
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
                // Until all are listed, those that were known stay.
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Ok(_) => {
                    self.read(&reader.state());
                    self.tell(&policies, &reader.state(), namespace).await;
                    part.is_ready(true);
                }
                Err(error) => tracing::warn!(error = words(&error), "cannot watch trust policies"),
            }
        }
    }

    /// Reads what is new of the policies.
    fn read(&self, found: &[Arc<TrustPolicy>]) {
        let known = self.all().unwrap_or_default();
        let read = |policy: &Arc<TrustPolicy>| {
            let meta = &policy.metadata;
            let newest = {
                let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
                let newest = sequences.entry(policy.name().to_owned()).or_default();
                let told = policy.status.as_ref().and_then(|status| status.newest_sequence);
                *newest = (*newest).max(policy.spec.trust.sequence.unwrap_or(0)).max(told.unwrap_or(0));
                *newest
            };
            let same = known.iter().find(|known| {
                meta.uid.as_ref() == Some(&known.uid)
                    && meta.generation == Some(known.generation)
                    && known.newest == newest
            });
            same.cloned().unwrap_or_else(|| Arc::new(Compiled::read(policy, newest)))
        };
        let now: Vec<_> = found.iter().map(read).collect();
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Writes sequences and states down, where they are not written yet.
    async fn tell(&self, api: &Api<TrustPolicy>, found: &[Arc<TrustPolicy>], namespace: &str) {
        if let Err(error) = self.remember(namespace).await {
            tracing::warn!(error = words(&error), "cannot write the sequences of trust policies down");
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
                    error = words(&error),
                    "cannot write a policy's status"
                );
            }
        }
    }

    async fn remember(&self, namespace: &str) -> Result<()> {
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

fn status(policy: &TrustPolicy, compiled: &Compiled) -> TrustPolicyStatus {
    let generation = policy.metadata.generation;
    let sequence = policy.spec.trust.sequence.unwrap_or(0);
    let (ready, reason, message) = match &compiled.rules {
        Err(why) => {
            (false, "Unusable", format!("{why}; until it is mended, all that it may be about is refused"))
        }
        Ok(_) if sequence < compiled.newest => {
            let newest = compiled.newest;
            (false, "Stale", format!("it has sequence {sequence}, but {newest} was in force already"))
        }
        Ok(rules) => {
            let asked = compiled.asks_for();
            let keys = match (rules.trust.keys().len(), rules.trust.identities().len()) {
                (1, 0) => "1 key is known".to_owned(),
                (count, 0) => format!("{count} keys are known"),
                (0, 1) => "1 identity is known".to_owned(),
                (keys, identities) => format!("{keys} keys and {identities} identities are known"),
            };
            let glass = policy.spec.break_glass.as_ref();
            let glass = glass.map(|glass| format!("; break-glass until {}: {}", glass.until, glass.reason));
            let glass = glass.unwrap_or_default();
            (true, "InForce", format!("images need {asked}; {keys}{glass}"))
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
