//! The parts of a revision that are not in its record.

use package_api::version::compare;
use serde_json::json;

use crate::annotations;
use crate::definitions;
use crate::error::Error;
use crate::object::{Object, Owner, read};
use crate::prepared::Prepared;
use crate::remove::PastRevision;

/// The parts of a revision that are not in its record.
#[derive(Default)]
pub(crate) struct Parts {
    /// The CRDs that are applied first. Except in the first installation, only missing ones are.
    pub(crate) definitions: Vec<Object>,
    pub(crate) namespace: Option<Object>,
    /// The revisions that are replaced.
    pub(crate) earlier: Vec<PastRevision>,
    /// The CRDs in them, unless the chart is older now.
    pub(crate) replaced: Vec<Object>,
}

impl Parts {
    /// The parts of an installation or an upgrade.
    pub(super) fn of(prepared: &Prepared, earlier: Vec<PastRevision>) -> Result<Self, Error> {
        let wanted = prepared.plan.create_namespace.then(|| namespace(prepared)).transpose()?;
        let mut definitions = read(&prepared.definitions, "")?;
        for definition in &mut definitions {
            let value =
                definitions::release_annotation(prepared.plan.release_namespace, &prepared.plan.release);
            definition.annotate(annotations::RELEASE, &value);
            if definition.is_definition() {
                definition.namespace.clear();
            }
        }
        // The first one is the last successful revision, if there is one.
        let good = earlier.first().filter(|good| prepared.is_upgrade && is_older(good, prepared));
        let mut replaced = match good {
            Some(good) => read(&good.manifest, &good.namespace)?,
            None => Vec::new(),
        };
        replaced.retain(Object::is_definition);
        for definition in &mut replaced {
            definition.namespace.clear();
        }
        Ok(Parts { definitions, namespace: wanted, earlier, replaced })
    }
}

/// The target namespace of a package: the one in the chart, or else a generated one.
fn namespace(prepared: &Prepared) -> Result<Object, Error> {
    let namespace = prepared.namespace.as_str();
    let matches = |object: &Object| {
        object.api_version == "v1" && object.kind == "Namespace" && object.name == namespace
    };
    let found = read(&prepared.manifest, "")?.into_iter().find(matches);
    let Some(mut found) = found else {
        let labels = json!({"name": namespace});
        let metadata = json!({"name": namespace, "labels": labels});
        return Object::new(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}), "");
    };
    found.own(Owner { release: &prepared.plan.release, namespace });
    found.namespace.clear();
    Ok(found)
}

/// Whether a past revision is of an older or the same version of the chart.
fn is_older(good: &PastRevision, prepared: &Prepared) -> bool {
    let version = |version: &str| format!("v{}", version.trim_start_matches('v'));
    let (old, new) = (version(&good.chart_version), version(&prepared.chart_version));
    good.chart == prepared.chart && compare(&old, &new).is_le()
}
