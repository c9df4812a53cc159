//! Objects put into the cluster: what would change is learned first, so that a refusal comes before the first change.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::adopt;
use crate::certificates;
use crate::cluster::{Cluster, Run, code, may};
use crate::definitions::{is_of, lost, told_kept};
use crate::differences::differences;
use crate::error::Error;
use crate::limits::{Conflicts, Ownership};
use crate::object::{Object, Owner, belongs};
use crate::storage::now;

/// Questions asked at once.
const AT_ONCE: usize = 8;
/// How often a change is tried when others change the object meanwhile.
const TRIES: usize = 8;
const PAUSE: Duration = Duration::from_millis(300);

/// An object and what there is to do about it.
pub(crate) struct Planned {
    pub(crate) object: Object,
    /// Whether it was there already.
    pub(crate) is_there: bool,
    act: Act,
}

/// On which terms objects are applied.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) owner: Owner<'a>,
    /// The namespace of the release's records.
    pub(crate) records: &'a str,
    pub(crate) conflicts: Conflicts,
    pub(crate) ownership: Ownership,
    /// Definitions that come along beside the manifest.
    pub(crate) definitions: &'a [Object],
    /// Definitions that a newer version of the chart replaces: of these it may drop fields.
    pub(crate) replaced: &'a [Object],
    /// Whether hooks run before, which may make possible what is not yet.
    pub(crate) has_hooks: bool,
    /// Whether the manifest is one that was applied before, so that its certificates may be over.
    pub(crate) is_again: bool,
}

/// What there is to do about an object.
enum Act {
    /// Nothing: it is so already.
    Nothing(Value),
    /// Make it, if by then nobody else made one of that name.
    Make,
    /// Apply it.
    Apply,
    /// Apply it, but first another must be gone, or Helm's fields taken over.
    Prepare,
}

/// Takes namespaces from objects of kinds that have none, as the cluster, the manifest or `definitions` say.
pub(crate) async fn settle(
    cluster: &Cluster,
    mut objects: Vec<Object>,
    definitions: &[Object],
) -> Result<Vec<Object>, Error> {
    let defining = objects.iter().chain(definitions).filter(|object| object.is_definition());
    let defining: Vec<Value> = defining.map(|object| object.value.clone()).collect();
    for object in &mut objects {
        let known = cluster.discovery().await?.resource(&object.api_version, &object.kind);
        let namespaced = match known {
            Some(resource) => resource.is_namespaced(),
            None => match defining.iter().find(|definition| defines(definition, object)) {
                Some(definition) => definition.pointer("/spec/scope") == Some(&Value::from("Namespaced")),
                None => true,
            },
        };
        if !namespaced {
            object.namespace.clear();
        }
    }
    Ok(objects)
}

fn defines(definition: &Value, object: &Object) -> bool {
    let is = |path: &str, wanted: &str| definition.pointer(path).and_then(Value::as_str) == Some(wanted);
    is("/spec/group", &object.key().group) && is("/spec/names/kind", &object.kind)
}

/// Learns what there is to do. Nothing is changed.
///
/// # Errors
/// An object is somebody else's, its fields are, the API server refuses its change, or the cluster knows no such kind
/// and none of the objects, nor of `definitions`, defines it.
pub(crate) async fn examine(
    cluster: &Cluster,
    objects: Vec<Object>,
    terms: Terms<'_>,
) -> Result<Vec<Planned>, Error> {
    let mut all = Vec::with_capacity(objects.len());
    for object in &objects {
        let known = cluster.discovery().await?.resource(&object.api_version, &object.kind);
        let mut defining = objects.iter().chain(terms.definitions).filter(|object| object.is_definition());
        let is_defined = defining.any(|definition| defines(&definition.value, object));
        if known.is_none() && !is_defined {
            cluster.resource(object).await?;
        }
        all.push(is_defined);
    }
    let plans = objects.into_iter().zip(all).map(|(object, is_defined)| {
        // What is wrong now may be right once a hook was run, or the definition that comes along is there.
        plan(cluster, object, terms, !is_defined && !terms.has_hooks)
    });
    stream::iter(plans).buffered(AT_ONCE).try_collect().await
}

async fn plan(cluster: &Cluster, object: Object, terms: Terms<'_>, is_final: bool) -> Result<Planned, Error> {
    let Some(live) = cluster.get(&object).await? else {
        may(cluster, &object, terms.conflicts).await?;
        return Ok(Planned { object, is_there: false, act: Act::Make });
    };
    if is_leaving(&live) {
        return Ok(Planned { object, is_there: false, act: Act::Prepare });
    }
    let is_foreign = check(&live, &object, terms)?;
    let is_over = terms.is_again && certificates::are_due(&object.value, now());
    if is_over || object.is_definition() && narrows(&live, &object, terms.replaced) {
        return Ok(Planned { object, is_there: true, act: Act::Nothing(live) });
    }
    let adopted = adopt::patch(&live, cluster.manager()).is_some();
    let conflicts = if adopted || is_foreign { Conflicts::Take } else { terms.conflicts };
    let after = match cluster.apply(&object, Run::Dry, conflicts).await {
        Ok(after) => Some(after),
        Err(error @ (Error::Conflict { .. } | Error::Rights { .. })) => return Err(error),
        Err(Error::Kube { source, .. }) if is_final && is_invalid(&source) => {
            return Err(Error::Invalid { object: object.to_string(), source });
        }
        Err(error) if code(&error).is_some() => None,
        Err(error) => return Err(error),
    };
    let managed = adopt::is_managed(&live, cluster.manager());
    let act = match after {
        _ if adopted => Act::Prepare,
        Some(after) if managed && differences(&live, &after).is_empty() => Act::Nothing(after),
        _ => Act::Apply,
    };
    Ok(Planned { object, is_there: true, act })
}

/// Whether an object that is there is somebody else's, which is an error unless the user asked for it.
fn check(live: &Value, object: &Object, terms: Terms<'_>) -> Result<bool, Error> {
    match (belongs(live, terms.owner), terms.ownership) {
        (Ok(()), _) => Ok(false),
        // One that the release made from `crds/` and that is in its templates now.
        _ if object.is_definition() && is_of(live, terms.records, terms.owner.release) => Ok(false),
        (Err(_), Ownership::Take) => Ok(true),
        (Err(reason), Ownership::Refuse) => Err(Error::Foreign { object: object.to_string(), reason }),
    }
}

/// Whether a definition would prune what the one in the cluster keeps, but for what a newer version of the chart drops
/// itself.
fn narrows(live: &Value, definition: &Object, replaced: &[Object]) -> bool {
    let mut fields = lost(live, &definition.value);
    let before = replaced.iter().find(|replaced| replaced.key() == definition.key());
    let dropped = before.map(|before| lost(&before.value, &definition.value)).unwrap_or_default();
    fields.retain(|field| !dropped.contains(field));
    if !fields.is_empty() {
        told_kept(definition, &fields);
    }
    !fields.is_empty()
}

fn is_invalid(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422 && status.reason == "Invalid")
}

fn is_leaving(live: &Value) -> bool {
    live.pointer("/metadata/deletionTimestamp").is_some()
}

/// Puts an object into the cluster; the answer is the object as it is there.
pub(crate) async fn apply(
    cluster: &Cluster,
    planned: &Planned,
    terms: Terms<'_>,
    deadline: Instant,
) -> Result<Value, Error> {
    let object = &planned.object;
    match &planned.act {
        Act::Nothing(live) => return Ok(live.clone()),
        Act::Apply => return cluster.apply(object, Run::Real, forced(terms)).await,
        Act::Make | Act::Prepare => {}
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let live = cluster.get(object).await?;
        if live.as_ref().is_some_and(is_leaving) && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        // Somebody may have made one since it was looked at.
        let Some(live) = live else {
            return cluster.apply(object, Run::Real, Conflicts::Refuse).await;
        };
        check(&live, object, terms)?;
        if let Some(patch) = adopt::patch(&live, cluster.manager()) {
            match cluster.rewrite(object, &patch).await {
                Err(error) if code(&error) == Some(409) && tries < TRIES => continue,
                answer => answer?,
            };
        }
        return cluster.apply(object, Run::Real, forced(terms)).await;
    }
}

/// Whoever takes objects over takes their fields over.
fn forced(terms: Terms<'_>) -> Conflicts {
    match terms.ownership {
        Ownership::Take => Conflicts::Take,
        Ownership::Refuse => terms.conflicts,
    }
}
