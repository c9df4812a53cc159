//! Definitions of kinds (CRDs): one that is there is overwritten only if it is the release's own or its user asks for it,
//! and never by a schema that would prune data.

mod schema;

use serde_json::Value;

pub(crate) use self::schema::lost;
use crate::cluster::{Ask, Cluster, Run, code, may};
use crate::differences::differences;
use crate::error::Error;
use crate::limits::{Conflicts, Ownership};
use crate::marks::{RELEASE, RELEASE_NAME};
use crate::object::{Object, Owner, annotation, belongs};
use crate::storage::METADATA_ONLY;

/// What [`RELEASE`] says.
pub(crate) fn mark(records: &str, release: &str) -> String {
    format!("{records}/{release}")
}

/// Whether a release made a definition from its chart's `crds/`.
pub(crate) fn is_of(live: &Value, records: &str, release: &str) -> bool {
    annotation(live, RELEASE) == Some(&mark(records, release))
}

/// What becomes of a definition of a chart's `crds/`.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    /// It is applied.
    Apply(Conflicts),
    /// The one that is there is used as it is.
    Leave(Value),
}

/// Whose definitions they are, and what is to be done about those that are there.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// Whether it is the first installation. As in Helm, an upgrade adds definitions and does not change them.
    pub(crate) is_first: bool,
    pub(crate) ownership: Ownership,
    pub(crate) conflicts: Conflicts,
}

/// Decides on a definition that carries its release's mark. Nothing is changed.
///
/// # Errors
/// Another definition of that name is there, or the controller may not make it.
pub(crate) async fn decide(cluster: &Cluster, definition: &Object, rule: Rule) -> Result<Fate, Error> {
    let live = cluster.get(definition).await?;
    let Some(live) = live.filter(|live| live.pointer("/metadata/deletionTimestamp").is_none()) else {
        may(cluster, definition, Conflicts::Refuse).await?;
        // One that somebody else makes meanwhile is not overwritten.
        return Ok(Fate::Apply(Conflicts::Refuse));
    };
    if !rule.is_first || is_same(cluster, definition, &live).await? {
        return Ok(Fate::Leave(live));
    }
    let is_own = annotation(&live, RELEASE) == annotation(&definition.value, RELEASE);
    if !is_own && rule.ownership == Ownership::Refuse {
        return Err(Error::ForeignDefinition { definition: definition.to_string() });
    }
    let fields = lost(&live, &definition.value);
    if fields.is_empty() {
        let conflicts = if is_own { rule.conflicts } else { Conflicts::Take };
        return Ok(Fate::Apply(conflicts));
    }
    told_kept(definition, &fields);
    Ok(Fate::Leave(live))
}

/// Logs that a definition stays as it is.
pub(crate) fn told_kept(definition: &Object, fields: &[String]) {
    let fields = fields.join(", ");
    tracing::warn!(%definition, fields, "left as it is: the chart's schema is older and would prune these fields");
}

/// Whether applying would change nothing but metadata. The API server decides, as it fills in defaults.
async fn is_same(cluster: &Cluster, definition: &Object, live: &Value) -> Result<bool, Error> {
    match cluster.apply(definition, Run::Dry, Conflicts::Take).await {
        Ok(after) => Ok(differences(live, &after).iter().all(|path| path.starts_with(".metadata."))),
        Err(error) if code(&error).is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the cluster may hold objects of the kind that `live` defines. What cannot be asked may be there.
pub(crate) async fn is_in_use(cluster: &Cluster, live: &Value) -> bool {
    let Some(ask) = all(live) else { return true };
    let ask = Ask { path: format!("{}?limit=1", ask.path), ..ask };
    let found = cluster.find(&ask).await;
    let is_empty = |list: Value| list.get("items").and_then(Value::as_array).is_some_and(Vec::is_empty);
    !matches!(found, Ok(None)) && !found.is_ok_and(|list| list.is_some_and(is_empty))
}

/// Another release that has objects of the kind that `live` defines. Where nobody may ask there is none.
pub(crate) async fn other_user(
    cluster: &Cluster,
    live: &Value,
    owner: Owner<'_>,
) -> Result<Option<String>, Error> {
    let Some(ask) = all(live) else { return Ok(None) };
    let found = match cluster.find(&Ask { accept: METADATA_ONLY, ..ask }).await {
        Err(error) if code(&error).is_some() => return Ok(None),
        found => found?.unwrap_or_default(),
    };
    let items = found.get("items").and_then(Value::as_array).into_iter().flatten();
    let others = items.filter(|item| belongs(item, owner).is_err());
    let named = others.filter_map(|item| annotation(item, RELEASE_NAME)).map(str::to_owned);
    Ok(named.min())
}

/// Asks for all objects of the kind that `live` defines.
fn all(live: &Value) -> Option<Ask<'static>> {
    let text = |path: &str| live.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let versions = live.pointer("/spec/versions").and_then(Value::as_array);
    let served = |version: &&Value| version.get("served") == Some(&Value::Bool(true));
    let served = versions.into_iter().flatten().find(served);
    let version = served.and_then(|version| version.get("name")?.as_str())?;
    let (group, plural) = (text("/spec/group"), text("/spec/names/plural"));
    Some(Ask::get(format!("list the {plural} of {group}"), format!("/apis/{group}/{version}/{plural}")))
}
