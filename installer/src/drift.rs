//! Detects objects of a release that differ from its manifest.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::apply::resolve_scopes;
use crate::certificates;
use crate::cluster::{Cluster, Run};
use crate::definitions::pruned_fields;
use crate::differences::differences;
use crate::engine::Engine;
use crate::error::Error;
use crate::limits::Conflicts;
use crate::object::{Object, Owner, is_deleted_when_finished, read};
use crate::release::{Change, Drift, Record};
use crate::storage::now;

const CONCURRENCY: usize = 8;

impl Engine {
    /// The objects of a revision that were deleted, or of which fields in the manifest were changed.
    ///
    /// # Errors
    /// If the request to the cluster fails.
    pub async fn drift(&self, record: &Record) -> Result<Vec<Drift>, Error> {
        Box::pin(drift(&self.cluster, record)).await
    }
}

/// See [`Engine::drift`](crate::engine::Engine::drift). The API server itself determines what an apply would change, so
/// defaults and normalized values are not reported as drift.
pub(crate) async fn drift(cluster: &Cluster, record: &Record) -> Result<Vec<Drift>, Error> {
    let owner = Owner { release: &record.name, namespace: &record.namespace };
    let mut objects = read(&record.manifest, &record.namespace)?;
    for object in &mut objects {
        object.own(owner);
    }
    let objects = resolve_scopes(cluster, objects, &[]).await?;
    let looks = objects.into_iter().map(|object| one(cluster, object));
    let found: Vec<_> = stream::iter(looks).buffered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn one(cluster: &Cluster, object: Object) -> Result<Option<Drift>, Error> {
    let name = object.to_string();
    let Some(live) = cluster.get(&object).await? else {
        if is_deleted_when_finished(&object.value) {
            return Ok(None);
        }
        return Ok(Some(Drift { object: name, change: Change::Gone }));
    };
    // Neither an older schema nor an expired certificate is restored.
    if certificates::are_due(&object.value, now()) {
        return Ok(None);
    }
    if object.is_definition() && !pruned_fields(&live, &object.value).is_empty() {
        return Ok(None);
    }
    let after = cluster.apply(&object, Run::Dry, Conflicts::Take).await?;
    let fields = differences(&live, &after);
    Ok((!fields.is_empty()).then_some(Drift { object: name, change: Change::Fields(fields) }))
}
