//! What of a release is no longer as its manifest has it.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::apply::settle;
use crate::certificates;
use crate::cluster::{Cluster, Run};
use crate::definitions::lost;
use crate::differences::differences;
use crate::engine::Engine;
use crate::error::Error;
use crate::limits::Conflicts;
use crate::object::{Object, Owner, goes_by_itself, read};
use crate::release::{Change, Drift, Record};
use crate::storage::now;

const AT_ONCE: usize = 8;

impl Engine {
    /// The objects of a revision that are gone or were changed in what the revision says of them.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn drift(&self, record: &Record) -> Result<Vec<Drift>, Error> {
        Box::pin(drift(&self.cluster, record)).await
    }
}

/// See [`Engine::drift`](crate::engine::Engine::drift). The API server itself says what an apply would change, so what it
/// defaults or writes otherwise is no drift.
pub(crate) async fn drift(cluster: &Cluster, record: &Record) -> Result<Vec<Drift>, Error> {
    let owner = Owner { release: &record.name, namespace: &record.namespace };
    let mut objects = read(&record.manifest, &record.namespace)?;
    for object in &mut objects {
        object.own(owner);
    }
    let objects = settle(cluster, objects, &[]).await?;
    let looks = objects.into_iter().map(|object| one(cluster, object));
    let found: Vec<_> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn one(cluster: &Cluster, object: Object) -> Result<Option<Drift>, Error> {
    let name = object.to_string();
    let Some(live) = cluster.get(&object).await? else {
        if goes_by_itself(&object.value) {
            return Ok(None);
        }
        return Ok(Some(Drift { object: name, change: Change::Gone }));
    };
    // Neither an older schema is put back over a newer one, nor a certificate that is over.
    if certificates::are_due(&object.value, now()) {
        return Ok(None);
    }
    if object.is_definition() && !lost(&live, &object.value).is_empty() {
        return Ok(None);
    }
    let after = cluster.apply(&object, Run::Dry, Conflicts::Take).await?;
    let fields = differences(&live, &after);
    Ok((!fields.is_empty()).then_some(Drift { object: name, change: Change::Fields(fields) }))
}
