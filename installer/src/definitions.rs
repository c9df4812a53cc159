//! CRDs: an existing one is overwritten only if it belongs to the release or the user requests it, and never by a schema
//! that would prune data.

mod schema;

use serde_json::Value;

pub(crate) use self::schema::pruned_fields;
use crate::annotations::{RELEASE, RELEASE_NAME};
use crate::cluster::{ApiRequest, Cluster, Run, check_create_permission, code};
use crate::differences::differences;
use crate::error::Error;
use crate::limits::{Conflicts, Ownership};
use crate::object::{Object, Owner, annotation, belongs};
use crate::storage::METADATA_ONLY;

/// The value of the annotation [`RELEASE`].
pub(crate) fn release_annotation(records: &str, release: &str) -> String {
    format!("{records}/{release}")
}

/// Whether a release created a CRD from its chart's `crds/`.
pub(crate) fn is_of(live: &Value, records: &str, release: &str) -> bool {
    annotation(live, RELEASE) == Some(&release_annotation(records, release))
}

/// The action for a CRD in a chart's `crds/`.
#[derive(Debug, PartialEq)]
pub(crate) enum CrdAction {
    /// Apply it.
    Apply(Conflicts),
    /// Use the existing CRD without changes.
    Leave(Value),
}

/// How to handle existing CRDs.
#[derive(Clone, Copy)]
pub(crate) struct CrdPolicy {
    /// Whether it is the first installation. As in Helm, an upgrade adds CRDs and does not change them.
    pub(crate) is_first: bool,
    pub(crate) ownership: Ownership,
    pub(crate) conflicts: Conflicts,
}

/// Determines the action for a CRD that has the annotation of its release. Nothing is changed.
///
/// # Errors
/// If a different CRD with the same name exists, or the controller does not have the permission to create it.
pub(crate) async fn decide(
    cluster: &Cluster,
    definition: &Object,
    policy: CrdPolicy,
) -> Result<CrdAction, Error> {
    let live = cluster.get(definition).await?;
    let Some(live) = live.filter(|live| live.pointer("/metadata/deletionTimestamp").is_none()) else {
        check_create_permission(cluster, definition, Conflicts::Refuse).await?;
        // A CRD that another client creates in the meantime is not overwritten.
        return Ok(CrdAction::Apply(Conflicts::Refuse));
    };
    if !policy.is_first || is_same(cluster, definition, &live).await? {
        return Ok(CrdAction::Leave(live));
    }
    let is_own = annotation(&live, RELEASE) == annotation(&definition.value, RELEASE);
    if !is_own && policy.ownership == Ownership::Refuse {
        return Err(Error::ForeignDefinition { definition: definition.to_string() });
    }
    let fields = pruned_fields(&live, &definition.value);
    if fields.is_empty() {
        let conflicts = if is_own { policy.conflicts } else { Conflicts::Take };
        return Ok(CrdAction::Apply(conflicts));
    }
    log_kept(definition, &fields);
    Ok(CrdAction::Leave(live))
}

/// Logs that a CRD is not changed.
pub(crate) fn log_kept(definition: &Object, fields: &[String]) {
    let fields = fields.join(", ");
    tracing::warn!(%definition, fields, "the CRD is not changed: the chart's schema is older and would prune these fields");
}

/// Whether applying the CRD would change only metadata. Determined by a dry run, as the API server fills in defaults.
async fn is_same(cluster: &Cluster, definition: &Object, live: &Value) -> Result<bool, Error> {
    match cluster.apply(definition, Run::Dry, Conflicts::Take).await {
        Ok(after) => Ok(differences(live, &after).iter().all(|path| path.starts_with(".metadata."))),
        Err(error) if code(&error).is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether objects of the kind that `live` defines may exist. If they cannot be listed, they may.
pub(crate) async fn is_in_use(cluster: &Cluster, live: &Value) -> bool {
    let Some(request) = list_request(live) else { return true };
    let request = ApiRequest { path: format!("{}?limit=1", request.path), ..request };
    let found = cluster.find(&request).await;
    let is_empty = |list: Value| list.get("items").and_then(Value::as_array).is_some_and(Vec::is_empty);
    !matches!(found, Ok(None)) && !found.is_ok_and(|list| list.is_some_and(is_empty))
}

/// Another release with objects of the kind that `live` defines. `None` if they cannot be listed.
pub(crate) async fn other_user(
    cluster: &Cluster,
    live: &Value,
    owner: Owner<'_>,
) -> Result<Option<String>, Error> {
    let Some(request) = list_request(live) else { return Ok(None) };
    let found = match cluster.find(&ApiRequest { accept: METADATA_ONLY, ..request }).await {
        Err(error) if code(&error).is_some() => return Ok(None),
        found => found?.unwrap_or_default(),
    };
    let items = found.get("items").and_then(Value::as_array).into_iter().flatten();
    let others = items.filter(|item| belongs(item, owner).is_err());
    let named = others.filter_map(|item| annotation(item, RELEASE_NAME)).map(str::to_owned);
    Ok(named.min())
}

/// The request that lists all objects of the kind that `live` defines.
fn list_request(live: &Value) -> Option<ApiRequest<'static>> {
    let text = |path: &str| live.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let versions = live.pointer("/spec/versions").and_then(Value::as_array);
    let served = |version: &&Value| version.get("served") == Some(&Value::Bool(true));
    let served = versions.into_iter().flatten().find(served);
    let version = served.and_then(|version| version.get("name")?.as_str())?;
    let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
    Some(ApiRequest::get(
        format!("list the {plural} of {group}"),
        format!("/apis/{group}/{version}/{plural}"),
    ))
}
