//! Objects taken out of the cluster: only what still carries the release's marks, and nothing that asks to be kept.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::apply::settle;
use crate::cluster::Cluster;
use crate::definitions::{is_in_use, other_user};
use crate::error::Error;
use crate::object::{Key, Object, Owner, belongs, is_kept, read_to_remove};
use crate::record::Stored;
use crate::wait::uid;

/// What a revision brought, and where: its objects are looked for where it was installed, wherever the release is now.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) namespace: String,
    pub(crate) manifest: String,
    /// The hooks, as the record has them.
    pub(crate) hooks: Value,
    pub(crate) chart: String,
    pub(crate) chart_version: String,
}

impl Past {
    pub(crate) fn of(stored: &Stored) -> Self {
        let hooks = stored.document.get("hooks").cloned().unwrap_or_default();
        let record = &stored.record;
        Self {
            namespace: record.namespace.clone(),
            manifest: record.manifest.clone(),
            hooks,
            chart: record.chart.clone(),
            chart_version: record.chart_version.clone(),
        }
    }
}

/// An object of an earlier manifest.
pub(crate) struct Leftover {
    pub(crate) object: Object,
    /// The namespace that its release was in.
    namespace: String,
}

/// Kinds whose objects hold what no manifest brings back.
const HOLD_DATA: [&str; 6] = [
    "ConfigMap",
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Secret",
];

impl Leftover {
    /// Whether more would be lost with it than its manifest can bring back. Objects of unknown kinds may stand for data.
    pub(crate) fn holds_data(&self) -> bool {
        let Key { group, kind, .. } = self.object.key();
        let is_custom = group.contains('.') && !group.ends_with(".k8s.io");
        is_custom || HOLD_DATA.contains(&kind.as_str())
    }
}

/// What becomes of definitions of kinds that still have objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// They stay: whoever only changes a release loses no data.
    Stays,
    /// They go with the release, unless another release has objects of that kind.
    Goes,
}

/// The objects of earlier manifests that are in none of `staying`, in the order they are taken away.
pub(crate) async fn leftovers(
    cluster: &Cluster,
    pasts: &[Past],
    staying: &HashSet<Key>,
) -> Result<Vec<Leftover>, Error> {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for past in pasts {
        places.entry(&past.namespace).or_default().push(&past.manifest);
    }
    let mut seen = staying.clone();
    let mut found = Vec::new();
    for (namespace, manifests) in places {
        let all = read_to_remove(&manifests.join("\n---\n"), namespace)?;
        for object in settle(cluster, all, &[]).await? {
            if seen.insert(object.key()) {
                found.push(Leftover { object, namespace: namespace.to_owned() });
            }
        }
    }
    Ok(found)
}

/// Takes a release's objects away; the answer is what is then on its way out.
pub(crate) async fn remove(
    cluster: &Cluster,
    leftovers: &[Leftover],
    release: &str,
    data: Data,
) -> Result<Vec<(Object, String)>, Error> {
    let mut leaving = Vec::new();
    let mut leftovers: Vec<_> = leftovers.iter().collect();
    if data == Data::Stays {
        // A chart's own objects of a kind go before it is asked whether there are others.
        leftovers.sort_by_key(|left| left.object.is_definition());
    }
    for Leftover { object, namespace } in leftovers {
        let Some(live) = cluster.get(object).await? else { continue };
        if object.is_kept() || is_kept(&live) {
            tracing::info!(%object, "kept, as it asks for");
            continue;
        }
        if let Err(reason) = belongs(&live, Owner { release, namespace }) {
            tracing::warn!(%object, reason, "not taken away: it is somebody else's");
            continue;
        }
        if data == Data::Stays && object.is_definition() && is_in_use(cluster, &live).await {
            tracing::warn!(%object, "kept, because there are objects of its kind; they go with the package");
            continue;
        }
        if data == Data::Goes && object.is_definition() {
            let owner = Owner { release, namespace };
            if let Some(other) = other_user(cluster, &live, owner).await? {
                tracing::warn!(%object, other, "kept, because the release `other` has objects of its kind");
                continue;
            }
        }
        cluster.delete(object, uid(&live)).await?;
        leaving.push((object.clone(), uid(&live).to_owned()));
    }
    Ok(leaving)
}
