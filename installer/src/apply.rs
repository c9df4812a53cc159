//! Applies objects to the cluster. The changes are determined first, so that a rejection comes before the first change.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::adopt;
use crate::certificates;
use crate::cluster::{Cluster, Run, check_create_permission, code};
use crate::definitions::{is_of, log_kept, pruned_fields};
use crate::differences::differences;
use crate::error::Error;
use crate::limits::{Conflicts, Ownership};
use crate::object::{Object, Owner, belongs};
use crate::storage::now;

/// The number of concurrent requests.
const CONCURRENCY: usize = 8;
/// How often a change is attempted if other clients change the object at the same time.
const MAX_ATTEMPTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(300);

/// An object and the action for it.
pub(crate) struct Planned {
    pub(crate) object: Object,
    /// Whether the object exists.
    pub(crate) exists: bool,
    action: Action,
}

/// The options for applying objects.
#[derive(Clone, Copy)]
pub(crate) struct ApplyOptions<'a> {
    pub(crate) owner: Owner<'a>,
    /// The namespace of the release's records.
    pub(crate) records: &'a str,
    pub(crate) conflicts: Conflicts,
    pub(crate) ownership: Ownership,
    /// CRDs that are applied in addition to the manifest.
    pub(crate) definitions: &'a [Object],
    /// CRDs that a newer version of the chart replaces. It may drop fields of these.
    pub(crate) replaced: &'a [Object],
    /// Whether hooks run first, which may make a change possible that is rejected now.
    pub(crate) has_hooks: bool,
    /// Whether the manifest was applied before, so that its certificates may have expired.
    pub(crate) is_repeated: bool,
}

/// The action for an object.
enum Action {
    /// None: the object is already as in the manifest.
    None(Value),
    /// Create it, unless an object with this name was created in the meantime.
    Create,
    /// Apply it.
    Apply,
    /// Apply it after the previous object is deleted or Helm's fields are taken over.
    PrepareAndApply,
}

/// Removes the namespace from objects of cluster-scoped kinds, by the discovery of the cluster, or by the CRDs in the
/// manifest and in `definitions`.
pub(crate) async fn resolve_scopes(
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

/// Determines the actions for objects. Nothing is changed.
///
/// # Errors
/// If an object or its fields belong to others, the API server rejects the change, or neither the cluster nor a CRD among
/// the objects and `definitions` defines the kind.
pub(crate) async fn examine(
    cluster: &Cluster,
    objects: Vec<Object>,
    options: ApplyOptions<'_>,
) -> Result<Vec<Planned>, Error> {
    let mut all = Vec::with_capacity(objects.len());
    for object in &objects {
        let known = cluster.discovery().await?.resource(&object.api_version, &object.kind);
        let mut defining = objects.iter().chain(options.definitions).filter(|object| object.is_definition());
        let is_defined = defining.any(|definition| defines(&definition.value, object));
        if known.is_none() && !is_defined {
            cluster.resource(object).await?;
        }
        all.push(is_defined);
    }
    let plans = objects.into_iter().zip(all).map(|(object, is_defined)| {
        // An error may disappear after a hook has run, or after the CRD is applied.
        plan(cluster, object, options, !is_defined && !options.has_hooks)
    });
    stream::iter(plans).buffered(CONCURRENCY).try_collect().await
}

async fn plan(
    cluster: &Cluster,
    object: Object,
    options: ApplyOptions<'_>,
    is_final: bool,
) -> Result<Planned, Error> {
    let Some(live) = cluster.get(&object).await? else {
        check_create_permission(cluster, &object, options.conflicts).await?;
        return Ok(Planned { object, exists: false, action: Action::Create });
    };
    if is_being_deleted(&live) {
        return Ok(Planned { object, exists: false, action: Action::PrepareAndApply });
    }
    let is_foreign = check(&live, &object, options)?;
    let is_expired = options.is_repeated && certificates::are_due(&object.value, now());
    if is_expired || object.is_definition() && would_prune(&live, &object, options.replaced) {
        return Ok(Planned { object, exists: true, action: Action::None(live) });
    }
    let adopted = adopt::patch(&live, cluster.manager()).is_some();
    let conflicts = if adopted || is_foreign { Conflicts::Take } else { options.conflicts };
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
    let action = match after {
        _ if adopted => Action::PrepareAndApply,
        Some(after) if managed && differences(&live, &after).is_empty() => Action::None(after),
        _ => Action::Apply,
    };
    Ok(Planned { object, exists: true, action })
}

/// Whether an existing object does not belong to the release. This is an error, unless the user allows taking it over.
fn check(live: &Value, object: &Object, options: ApplyOptions<'_>) -> Result<bool, Error> {
    match (belongs(live, options.owner), options.ownership) {
        (Ok(()), _) => Ok(false),
        // A CRD that the release created from `crds/`, and that is in its templates now.
        _ if object.is_definition() && is_of(live, options.records, options.owner.release) => Ok(false),
        (Err(_), Ownership::Take) => Ok(true),
        (Err(reason), Ownership::Refuse) => Err(Error::Foreign { object: object.to_string(), reason }),
    }
}

/// Whether a CRD would prune fields that the one in the cluster keeps, except for fields that a newer version of the chart
/// drops itself.
fn would_prune(live: &Value, definition: &Object, replaced: &[Object]) -> bool {
    let mut fields = pruned_fields(live, &definition.value);
    let before = replaced.iter().find(|replaced| replaced.key() == definition.key());
    let dropped = before.map(|before| pruned_fields(&before.value, &definition.value)).unwrap_or_default();
    fields.retain(|field| !dropped.contains(field));
    if !fields.is_empty() {
        log_kept(definition, &fields);
    }
    !fields.is_empty()
}

fn is_invalid(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422 && status.reason == "Invalid")
}

fn is_being_deleted(live: &Value) -> bool {
    live.pointer("/metadata/deletionTimestamp").is_some()
}

/// Applies an object to the cluster, and returns the object as it is there.
pub(crate) async fn apply(
    cluster: &Cluster,
    planned: &Planned,
    options: ApplyOptions<'_>,
    deadline: Instant,
) -> Result<Value, Error> {
    let object = &planned.object;
    match &planned.action {
        Action::None(live) => return Ok(live.clone()),
        Action::Apply => return cluster.apply(object, Run::Real, effective_conflicts(options)).await,
        Action::Create | Action::PrepareAndApply => {}
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        let live = cluster.get(object).await?;
        if live.as_ref().is_some_and(is_being_deleted) && Instant::now() < deadline {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        // Another client may have created the object since the actions were determined.
        let Some(live) = live else {
            return cluster.apply(object, Run::Real, Conflicts::Refuse).await;
        };
        check(&live, object, options)?;
        if let Some(patch) = adopt::patch(&live, cluster.manager()) {
            match cluster.rewrite(object, &patch).await {
                Err(error) if code(&error) == Some(409) && attempts < MAX_ATTEMPTS => continue,
                answer => answer?,
            };
        }
        return cluster.apply(object, Run::Real, effective_conflicts(options)).await;
    }
}

/// Taking objects over includes taking over their fields.
fn effective_conflicts(options: ApplyOptions<'_>) -> Conflicts {
    match options.ownership {
        Ownership::Take => Conflicts::Take,
        Ownership::Refuse => options.conflicts,
    }
}
