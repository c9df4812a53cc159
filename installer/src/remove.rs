//! Removes objects from the cluster: only objects that still have the release's labels and annotations, and none with the
//! policy to be kept.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::apply::resolve_scopes;
use crate::cluster::Cluster;
use crate::definitions::{is_in_use, other_user};
use crate::error::Error;
use crate::object::{Key, Object, Owner, belongs, is_kept, read_to_remove};
use crate::record::Stored;
use crate::wait::uid;

/// The manifest of a past revision, and its namespace: its objects are in the namespace where it was installed, which may
/// not be the current one of the release.
#[derive(Clone, Debug)]
pub(crate) struct PastRevision {
    pub(crate) namespace: String,
    pub(crate) manifest: String,
    /// The hooks, as in the record.
    pub(crate) hooks: Value,
    pub(crate) chart: String,
    pub(crate) chart_version: String,
}

impl PastRevision {
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
    /// The namespace of the release at that time.
    namespace: String,
}

/// Kinds whose objects contain data that a manifest cannot restore.
const HOLD_DATA: [&str; 6] = [
    "ConfigMap",
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Secret",
];

impl Leftover {
    /// Whether the object may contain data that its manifest cannot restore. Custom resources may represent data.
    pub(crate) fn holds_data(&self) -> bool {
        let Key { group, kind, .. } = self.object.key();
        let is_custom = group.contains('.') && !group.ends_with(".k8s.io");
        is_custom || HOLD_DATA.contains(&kind.as_str())
    }
}

/// How CRDs are handled whose kinds still have objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrdsInUse {
    /// Keep them, so that changing a release does not lose data.
    Keep,
    /// Delete them with the release, unless another release has objects of the kind.
    Delete,
}

/// The objects of earlier manifests that are not in `staying`, in the order of removal.
pub(crate) async fn leftovers(
    cluster: &Cluster,
    pasts: &[PastRevision],
    staying: &HashSet<Key>,
) -> Result<Vec<Leftover>, Error> {
    let mut by_namespace: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for past in pasts {
        by_namespace.entry(&past.namespace).or_default().push(&past.manifest);
    }
    let mut seen = staying.clone();
    let mut found = Vec::new();
    for (namespace, manifests) in by_namespace {
        let all = read_to_remove(&manifests.join("\n---\n"), namespace)?;
        for object in resolve_scopes(cluster, all, &[]).await? {
            if seen.insert(object.key()) {
                found.push(Leftover { object, namespace: namespace.to_owned() });
            }
        }
    }
    Ok(found)
}

/// Removes the objects of a release. Returns the objects whose deletion was started.
pub(crate) async fn remove(
    cluster: &Cluster,
    leftovers: &[Leftover],
    release: &str,
    crds: CrdsInUse,
) -> Result<Vec<(Object, String)>, Error> {
    let mut deleted = Vec::new();
    let mut leftovers: Vec<_> = leftovers.iter().collect();
    if crds == CrdsInUse::Keep {
        // A chart's own objects of a kind are deleted before the check for other objects of the kind.
        leftovers.sort_by_key(|left| left.object.is_definition());
    }
    for Leftover { object, namespace } in leftovers {
        let Some(live) = cluster.get(object).await? else { continue };
        if object.is_kept() || is_kept(&live) {
            tracing::info!(%object, "the object is kept, as its resource policy requires");
            continue;
        }
        if let Err(reason) = belongs(&live, Owner { release, namespace }) {
            tracing::warn!(%object, reason, "the object is kept: it does not belong to the release");
            continue;
        }
        if crds == CrdsInUse::Keep && object.is_definition() && is_in_use(cluster, &live).await {
            tracing::warn!(%object, "the CRD is kept, because objects of its kind exist; it is deleted with the package");
            continue;
        }
        if crds == CrdsInUse::Delete && object.is_definition() {
            let owner = Owner { release, namespace };
            if let Some(other) = other_user(cluster, &live, owner).await? {
                tracing::warn!(%object, other, "the CRD is kept, because another release has objects of its kind");
                continue;
            }
        }
        cluster.delete(object, uid(&live)).await?;
        deleted.push((object.clone(), uid(&live).to_owned()));
    }
    Ok(deleted)
}
