//! `airlock package diff`: changes that an upgrade would make, and changes that others made.

use std::collections::BTreeMap;

use installer::{Change as Differs, Record, Status as State};
use package_api::name::PACKAGES_NAMESPACE;
use serde_json::Value;

use super::{Cluster, OnePackage, object_label};
use crate::commands::cluster::reach::connect;
use crate::failure::Status;
use crate::printer::Printer;

/// One object that would change, or that was changed.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Difference {
    object: String,
    change: String,
}

pub(super) async fn diff(settings: &OnePackage, printer: &Printer) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, &settings.cluster.cluster, &settings.charts).await?;
    let prepared = cluster.named(&settings.name).await?;
    let current = cluster.engine.current(PACKAGES_NAMESPACE, &settings.name).await?;
    // An up-to-date release is not rendered again, because its random values would differ.
    let is_current = |record: &&Record| record.status == State::Deployed && prepared.is_of(record);
    let wanted = current.as_ref().filter(is_current).map_or(&prepared.manifest, |record| &record.manifest);
    let wanted = gostd::yaml::documents(wanted, &gostd::Limits::default())?;
    let (mut before, mut drifted) = (Vec::new(), Vec::new());
    if let Some(record) = &current {
        before = gostd::yaml::documents(&record.manifest, &gostd::Limits::default())?;
        drifted = cluster.engine.drift(record).await?;
    }
    let mut all = differences(&before, &wanted);
    all.extend(drifted.into_iter().map(|drift| Difference {
        object: drift.object,
        change: match drift.change {
            Differs::Gone => "is missing from the cluster".to_owned(),
            Differs::Fields(fields) => format!("was changed in the cluster: {}", fields.join(", ")),
        },
    }));
    printer.result(&all, |all| {
        if all.is_empty() {
            return "no difference\n".to_owned();
        }
        all.iter().map(|one| format!("{} {}\n", one.object, one.change)).collect()
    })?;
    Ok(if all.is_empty() { Status::Done } else { Status::Faults })
}

/// The changes that an upgrade would make.
fn differences(before: &[Value], wanted: &[Value]) -> Vec<Difference> {
    let by_name = |all: &[Value]| -> BTreeMap<String, Value> {
        all.iter()
            .filter(|object| !object.is_null())
            .map(|object| (object_label(object), object.clone()))
            .collect()
    };
    let (before, wanted) = (by_name(before), by_name(wanted));
    let mut all = Vec::new();
    for (object, is) in &wanted {
        let change = match before.get(object) {
            None => "would be created".to_owned(),
            Some(was) if was == is => continue,
            Some(was) => {
                let mut fields = Vec::new();
                compare("", was, is, &mut fields);
                format!("would be changed: {}", fields.join(", "))
            }
        };
        all.push(Difference { object: object.clone(), change });
    }
    let gone = before.keys().filter(|object| !wanted.contains_key(*object));
    all.extend(
        gone.map(|object| Difference { object: object.clone(), change: "would be deleted".to_owned() }),
    );
    all
}

fn compare(path: &str, was: &Value, is: &Value, fields: &mut Vec<String>) {
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in keys {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(&format!("{path}.{key}"), a, b, fields);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, fields);
            }
        }
        _ if was != is => fields.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_upgrade_is_listed_by_objects_and_fields() {
        let object = |kind: &str, name: &str, replicas: u8| json!({ "kind": kind, "metadata": { "name": name, "namespace": "n" }, "spec": { "replicas": replicas, "a": [1] } });
        let before = [object("Deployment", "a", 1), object("Service", "b", 1), object("Job", "d", 1)];
        let wanted =
            [object("Deployment", "a", 2), object("Service", "b", 1), object("Secret", "c", 1), Value::Null];
        let listed: Vec<_> = differences(&before, &wanted)
            .into_iter()
            .map(|one| format!("{} {}", one.object, one.change))
            .collect();
        assert_eq!(
            listed,
            [
                "Deployment n/a would be changed: .spec.replicas",
                "Secret n/c would be created",
                "Job n/d would be deleted"
            ]
        );
    }
}
