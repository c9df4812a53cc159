//! `airlock package rights`: derives the controller's permissions from the charts of the installed packages. A person
//! grants them, after seeing what changes and which permissions are far-reaching.
//!
//! Permissions on namespaced objects are granted in their namespace only, by a Role; the others by a `ClusterRole`.

mod change;
mod grant;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
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
use super::{ChartsArg, Cluster, object_label};
use crate::cli::ClusterArg;
use crate::commands::cluster::reach::{Change, ClusterError, MANAGER, api_error, applied, connect};
use crate::failure::{Status, Usage};
use crate::logged::Work;
use crate::printer::Printer;

/// The objects of the packages' charts.
#[derive(Default)]
struct Requirements {
    objects: Vec<Value>,
    /// Aggregated roles, which only a person may create.
    aggregated: Vec<Value>,
    /// Namespaces that charts contain, by name.
    namespaces: BTreeMap<String, Value>,
    /// Whether a package could not be read.
    is_partial: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PackageRights {
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) charts: ChartsArg,
    /// Grant these permissions to the controller.
    #[arg(long)]
    pub(crate) apply: bool,
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
        let hint =
            "omit --apply to print them for the controller's user in that cluster, and apply them there";
        return Err(Usage { message, hint }.into());
    }
    let requirements = requirements(&cluster, printer).await?;
    let mut derived = rights::derive(&requirements.objects);
    let before = Granted::read(&cluster.target.client, name).await?;
    if requirements.is_partial && add(&mut derived, &before) {
        printer.complain(
            "note: permissions granted earlier are included, because not every package could be read",
        );
    }
    show(&derived, &before, printer);
    let missing = missing(&cluster, &requirements, &derived, printer).await?;
    let subject = cluster.target.subject().await?;
    let mut all: Vec<Value> = missing;
    all.extend(manifests(name, &derived, &subject));
    for role in &requirements.aggregated {
        printer.complain(&format!(
            "note: {} is included, because the controller may not create it",
            object_label(role)
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

/// The objects of the existing packages' charts, and the objects that are installed now, so that the controller can
/// delete them, too.
async fn requirements(cluster: &Cluster, printer: &Printer) -> anyhow::Result<Requirements> {
    let mut requirements = Requirements::default();
    for package in &cluster.packages {
        requirements.objects.extend(installed(cluster, package).await?);
        match cluster.prepare(package).await {
            Ok(prepared) => {
                requirements.objects.extend(prepared.objects().iter().cloned());
                requirements.aggregated.extend(prepared.aggregated_roles()?);
                let found = prepared.namespaces()?.into_iter();
                let named = found.map(|namespace| (text(&namespace, "/metadata/name"), namespace));
                requirements.namespaces.extend(named);
            }
            // A chart that does not render without values gets its permissions once a package has these values.
            Err(error) if is_package_error(&error) => {
                requirements.is_partial = true;
                let causes = error_text::causes(error.as_ref()).join(": ");
                printer.complain(&format!("warning: {causes}; its permissions are not included"));
            }
            // A failed request says nothing about what a package needs.
            Err(error) => return Err(error),
        }
    }
    Ok(requirements)
}

/// The objects of a package's revisions since the last successful one.
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

/// Prints what changes, what is far-reaching, and what is not granted.
fn show(derived: &Derived, before: &Granted, printer: &Printer) {
    for excess in &derived.excess {
        printer.complain(&format!("warning: {} is not covered: {}", excess.object, excess.reason));
    }
    for wide in &derived.wide {
        printer.complain(&format!("warning: {} is far-reaching: {}", wide.object, wide.reason));
    }
    let lines = change::lines(before, derived);
    if lines.is_empty() {
        printer.say("no change: the controller has these permissions");
    }
    for line in lines {
        printer.say(&line);
    }
}

/// Namespaces that do not exist yet, but in which permissions are granted. If a chart contains the namespace, its
/// manifest is used.
async fn missing(
    cluster: &Cluster,
    requirements: &Requirements,
    derived: &Derived,
    printer: &Printer,
) -> anyhow::Result<Vec<Value>> {
    let api: Api<Namespace> = Api::all(cluster.target.client.clone());
    let mut missing = Vec::new();
    let names: BTreeSet<_> = derived.namespaces.keys().collect();
    for name in names {
        let found = api.get_metadata_opt(name).await;
        if found.map_err(|error| api_error(&format!("looking for the namespace `{name}`"), &error))?.is_some()
        {
            continue;
        }
        if let Some(namespace) = requirements.namespaces.get(name) {
            missing.push(namespace.clone());
        } else {
            if cluster.spec().create_namespace != Some(true) {
                printer.complain(&format!(
                    "note: the namespace `{name}` does not exist, and is included; with `createNamespace: true` in the \
                     cluster's settings, the controller creates such namespaces"
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

/// Whether an error is about the package or its chart, rather than a registry or an API server.
fn is_package_error(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let chart = matches!(
            cause.downcast_ref(),
            Some(
                Engine::Chart(_) | Engine::NoChart { .. } | Engine::Refused { .. } | Engine::Document { .. }
            )
        );
        chart || cause.downcast_ref().is_some_and(|error: &ClusterError| error.class() == Class::Missing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_request_is_not_an_error_of_the_package() {
        let silent = registry::client::Error::Protocol { host: "a".to_owned(), what: "it is gone" };
        let pull = Engine::Pull { chart: "a/b".to_owned(), source: silent };
        let chart = || Engine::Chart(helm::Error::ReleaseName { name: "A".to_owned() });
        assert!(!is_package_error(&anyhow::Error::new(pull).context("the package `a` cannot be rendered")));
        assert!(!is_package_error(&Engine::Timeout { action: "list".to_owned(), seconds: 9 }.into()));
        assert!(is_package_error(&anyhow::Error::new(chart()).context("the package `a` cannot be rendered")));
        assert!(is_package_error(&Engine::Refused { reason: "an image".to_owned() }.into()));
        assert!(is_package_error(&ClusterError::missing("the bundle has no package `a`".to_owned(), None)));
    }
}
