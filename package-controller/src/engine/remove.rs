//! Objects taken out of the cluster: only what still carries the release's marks, and nothing that asks to be kept.

use std::collections::HashSet;

use super::Error;
use super::apply::settle;
use super::cluster::Cluster;
use super::object::{Object, Owner, belongs, is_kept, read_to_remove};
use super::wait::uid;

/// The objects of earlier manifests that are in none of `staying`, in the order they are taken away.
pub(super) async fn leftovers(
    cluster: &Cluster,
    manifests: &[String],
    namespace: &str,
    staying: &[Object],
) -> Result<Vec<Object>, Error> {
    let all = read_to_remove(&manifests.join("\n---\n"), namespace)?;
    let mut seen: HashSet<_> = staying.iter().map(Object::key).collect();
    let mut objects = settle(cluster, all, &[]).await?;
    objects.retain(|object| seen.insert(object.key()));
    Ok(objects)
}

/// Takes objects away; the answer is what is then on its way out.
pub(super) async fn remove(
    cluster: &Cluster,
    objects: &[Object],
    owner: Owner<'_>,
) -> Result<Vec<(Object, String)>, Error> {
    let mut leaving = Vec::new();
    for object in objects {
        let Some(live) = cluster.get(object).await? else { continue };
        if object.is_kept() || is_kept(&live) {
            tracing::info!(%object, "kept, as it asks for");
            continue;
        }
        if let Err(reason) = belongs(&live, owner) {
            tracing::warn!(%object, reason, "not taken away: it is somebody else's");
            continue;
        }
        cluster.delete(object, uid(&live)).await?;
        leaving.push((object.clone(), uid(&live).to_owned()));
    }
    Ok(leaving)
}
