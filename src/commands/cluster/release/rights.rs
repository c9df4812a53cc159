//! `airlock package rights`: what the controller may do is what the packages that are there come to as charts, and a
//! person grants it, after seeing what changes and what reaches far.
//!
//! What has a namespace is allowed in that namespace only, by a Role. The rest is a `ClusterRole`.

mod change;
mod grant;

use std::collections::{BTreeMap, BTreeSet};

use error_class::{Class, Classified as _};
use installer::rights::{self, Derived};
use installer::{Error as Engine, Status as Release};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use package_api::Package;
use package_api::name::PACKAGES_NAMESPACE;
use serde_json::{Value, json};

pub(in crate::commands) use self::grant::ROLES;
use self::grant::{Granted, add, manifests, remove};
use super::{Cluster, called};
use crate::cli::PackageRights;
use crate::commands::cluster::reach::{Answer, Change, MANAGER, applied, connect, told};
use crate::failure::{Status, Usage};
use crate::logged::Work;
use crate::printer::Printer;

/// What packages come to.
#[derive(Default)]
struct Wanted {
    objects: Vec<Value>,
    /// What only a person may make: roles that gather others.
    sums: Vec<Value>,
    /// Namespaces that charts bring, by name.
    namespaces: BTreeMap<String, Value>,
    /// Whether some package could not be read.
    is_part: bool,
}

pub(super) async fn rights(
    settings: &PackageRights,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let name = &settings.cluster.cluster;
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, name, &settings.charts).await?;
    if cluster.target.is_workload && work.is_some() {
        let message = format!("this controller cannot grant permissions in cluster `{name}`");
        let hint = "without --apply they are printed for whoever the controller is there; apply them in that cluster";
        return Err(Usage { message, hint }.into());
    }
    let wanted = wanted(&cluster, printer).await?;
    let mut derived = rights::derive(&wanted.objects);
    let before = Granted::read(&cluster.target.client, name).await?;
    if wanted.is_part && add(&mut derived, &before) {
        printer
            .complain("note: what is granted already stays among these, because not every package was read");
    }
    show(&derived, &before, printer);
    let missing = missing(&cluster, &wanted, &derived, printer).await?;
    let subject = cluster.target.subject().await?;
    let mut all: Vec<Value> = missing;
    all.extend(manifests(name, &derived, &subject));
    for role in &wanted.sums {
        printer.complain(&format!(
            "note: {} is among these, because the controller may not make it",
            called(role)
        ));
        all.push(role.clone());
    }
    if let Some(work) = work {
        for manifest in &all {
            applied(&cluster.client, manifest, MANAGER, Change::Made).await?;
        }
        remove(&cluster.client, &before, &derived, name).await?;
        let rules = derived.rules.len() + derived.namespaces.values().map(Vec::len).sum::<usize>();
        work.evidence("rules", &rules);
        work.done()?;
    }
    printer.result(&all, |all| {
        all.iter().map(|manifest| format!("---\n{}", gostd::yaml::write(manifest))).collect()
    })?;
    Ok(Status::Done)
}

/// What packages come to: those that are there, with what is installed of them now, so that it can be taken away, too.
async fn wanted(cluster: &Cluster, printer: &Printer) -> anyhow::Result<Wanted> {
    let mut wanted = Wanted::default();
    for package in &cluster.packages {
        wanted.objects.extend(installed(cluster, package).await?);
        match cluster.prepare(package).await {
            Ok(prepared) => {
                wanted.objects.extend(prepared.objects().iter().cloned());
                wanted.sums.extend(prepared.sums()?);
                let brought = prepared.namespaces()?.into_iter();
                let named = brought.map(|namespace| (text(&namespace, "/metadata/name"), namespace));
                wanted.namespaces.extend(named);
            }
            // A chart that needs values before it renders brings its rights once there is a package with them.
            Err(error) if is_the_package_s(&error) => {
                wanted.is_part = true;
                let words = brief::causes(error.as_ref()).join(": ");
                printer.complain(&format!("warning: {words}; its rights are not among these"));
            }
            // What could not be asked says nothing of what a package needs.
            Err(error) => return Err(error),
        }
    }
    Ok(wanted)
}

/// The objects of a package's revisions since the last good one.
async fn installed(cluster: &Cluster, package: &Package) -> anyhow::Result<Vec<Value>> {
    let history = cluster.engine.history(PACKAGES_NAMESPACE, package.name()).await?;
    let good = |status| matches!(status, Release::Deployed | Release::Superseded);
    let first = history.iter().rposition(|record| good(record.status)).unwrap_or_default();
    let mut objects = Vec::new();
    for record in history.get(first..).unwrap_or_default() {
        objects.extend(cluster.engine.objects_of(record).await?);
    }
    Ok(objects)
}

/// Tells what changes, what reaches far, and what is not granted.
fn show(derived: &Derived, before: &Granted, printer: &Printer) {
    for excess in &derived.excess {
        printer.complain(&format!("warning: {} is not covered: {}", excess.object, excess.reason));
    }
    for wide in &derived.wide {
        printer.complain(&format!("warning: {} reaches far: {}", wide.object, wide.reason));
    }
    let lines = change::lines(before, derived);
    if lines.is_empty() {
        printer.say("no change: the controller has these rights");
    }
    for line in lines {
        printer.say(&line);
    }
}

/// Namespaces that are not there yet, in which rights are to be given. One that a chart brings is made as the chart has
/// it.
async fn missing(
    cluster: &Cluster,
    wanted: &Wanted,
    derived: &Derived,
    printer: &Printer,
) -> anyhow::Result<Vec<Value>> {
    let api: Api<Namespace> = Api::all(cluster.target.client.clone());
    let mut missing = Vec::new();
    let names: BTreeSet<_> = derived.namespaces.keys().collect();
    for name in names {
        let found = api.get_metadata_opt(name).await;
        if found.map_err(|error| told(&format!("looking for the namespace `{name}`"), &error))?.is_some() {
            continue;
        }
        if let Some(brought) = wanted.namespaces.get(name) {
            missing.push(brought.clone());
        } else {
            if cluster.spec().create_namespace != Some(true) {
                printer.complain(&format!(
                    "note: the namespace `{name}` is not there, and is among these; with `createNamespace: true` in the \
                     cluster's settings the controller makes such namespaces"
                ));
            }
            missing.push(json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "name": name } },
            }));
        }
    }
    Ok(missing)
}

fn text(object: &Value, at: &str) -> String {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Whether a failure is the package's or its chart's own, and not that of a registry or an API server.
fn is_the_package_s(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let chart = matches!(
            cause.downcast_ref(),
            Some(
                Engine::Chart(_) | Engine::NoChart { .. } | Engine::Refused { .. } | Engine::Document { .. }
            )
        );
        chart || cause.downcast_ref().is_some_and(|answer: &Answer| answer.class() == Class::Missing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_asked_is_no_package_s_fault() {
        let silent = registry::client::Error::Protocol { host: "a".to_owned(), what: "it is gone" };
        let pull = Engine::Pull { chart: "a/b".to_owned(), source: silent };
        let chart = || Engine::Chart(helm::Error::ReleaseName { name: "A".to_owned() });
        assert!(!is_the_package_s(&anyhow::Error::new(pull).context("the package `a` cannot be rendered")));
        assert!(!is_the_package_s(&Engine::Silent { action: "list".to_owned(), seconds: 9 }.into()));
        assert!(is_the_package_s(&anyhow::Error::new(chart()).context("the package `a` cannot be rendered")));
        assert!(is_the_package_s(&Engine::Refused { reason: "an image".to_owned() }.into()));
        assert!(is_the_package_s(&Answer::missing("the bundle has no package `a`".to_owned(), None)));
    }
}
