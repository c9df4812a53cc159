//! What a revision needs besides its record.

use package_api::version::compare;
use serde_json::json;

use crate::definitions;
use crate::error::Error;
use crate::marks;
use crate::object::{Object, Owner, read};
use crate::prepared::Prepared;
use crate::remove::Past;

/// What a revision needs besides its record.
#[derive(Default)]
pub(crate) struct Parts {
    /// What goes before all else, and only where it is missing unless this is the first installation.
    pub(crate) definitions: Vec<Object>,
    pub(crate) namespace: Option<Object>,
    /// What is replaced.
    pub(crate) earlier: Vec<Past>,
    /// The definitions in it, if the chart is no older now.
    pub(crate) replaced: Vec<Object>,
}

impl Parts {
    /// What an installation or an upgrade needs.
    pub(super) fn of(prepared: &Prepared, earlier: Vec<Past>) -> Result<Self, Error> {
        let wanted = prepared.plan.create_namespace.then(|| namespace(prepared)).transpose()?;
        let mut definitions = read(&prepared.definitions, "")?;
        for definition in &mut definitions {
            let mark = definitions::mark(prepared.plan.release_namespace, &prepared.plan.release);
            definition.annotate(marks::RELEASE, &mark);
            if definition.is_definition() {
                definition.namespace.clear();
            }
        }
        // The first is the last good revision, if there is one.
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

/// The namespace that a package goes to: the chart's own, if it brings it, else one of that name.
fn namespace(prepared: &Prepared) -> Result<Object, Error> {
    let namespace = prepared.namespace.as_str();
    let is_it = |object: &Object| {
        object.api_version == "v1" && object.kind == "Namespace" && object.name == namespace
    };
    let brought = read(&prepared.manifest, "")?.into_iter().find(is_it);
    let Some(mut brought) = brought else {
        let labels = json!({"name": namespace});
        let metadata = json!({"name": namespace, "labels": labels});
        return Object::new(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}), "");
    };
    brought.own(Owner { release: &prepared.plan.release, namespace });
    brought.namespace.clear();
    Ok(brought)
}

/// Whether what is there is of an older version of the chart, or of the same.
fn is_older(good: &Past, prepared: &Prepared) -> bool {
    let version = |version: &str| format!("v{}", version.trim_start_matches('v'));
    let (old, new) = (version(&good.chart_version), version(&prepared.chart_version));
    good.chart == prepared.chart && compare(&old, &new).is_le()
}
