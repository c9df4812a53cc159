//! `airlock get`, `airlock describe` and `airlock list`: print resources of a cluster.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kube::api::{Api, ApiResource, ListParams};
use kube::{Client, Resource};
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{Package, PackageBundle, PackageBundleController, PackageBundleSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::reach::{ClusterError, api_error, connect};
use super::table::{Table, tabbed};
use crate::cli::{ClusterArg, Format, ReachArg, cluster_name};
use crate::commands::generate::read_bundle;
use crate::failure::Status;
use crate::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// Show packages of a cluster.
    #[command(visible_alias = "package", after_help = "Example: airlock get packages --cluster mgmt")]
    Packages {
        /// Show only these packages.
        names: Vec<String>,
        #[command(flatten)]
        cluster: ClusterArg,
    },
    /// Show bundles in the management cluster.
    #[command(visible_alias = "packagebundle", after_help = "Example: airlock get packagebundles")]
    Packagebundles {
        /// Show only these bundles.
        names: Vec<String>,
        #[command(flatten)]
        reach: ReachArg,
    },
    /// Show clusters' package settings and active bundles.
    #[command(
        visible_aliases = ["packagebundlecontroller", "pbc"],
        after_help = "Example: airlock get packagebundlecontrollers"
    )]
    Packagebundlecontrollers {
        /// Show only these clusters.
        names: Vec<String>,
        #[command(flatten)]
        reach: ReachArg,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum List {
    /// List the names and versions of packages in a bundle.
    #[command(
        visible_alias = "package",
        after_help = "Examples:\n  airlock list packages --cluster mgmt\n  airlock list packages --bundle bundle.yaml"
    )]
    Packages(ListPackages),
}

#[derive(Args, Debug)]
#[group(id = "from", required = true, multiple = false, args = ["cluster", "bundle"])]
pub(crate) struct ListPackages {
    /// The active bundle of this cluster.
    #[arg(long, value_name = "CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: Option<String>,
    /// A bundle, YAML.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Describe {
    /// Show packages of a cluster and their events.
    #[command(
        visible_alias = "package",
        after_help = "Example: airlock describe packages --cluster mgmt harbor"
    )]
    Packages {
        /// Show only these packages.
        names: Vec<String>,
        #[command(flatten)]
        cluster: ClusterArg,
    },
}

pub(crate) async fn get(settings: &Get, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Get::Packages { names, cluster } => {
            let client = connect(&cluster.reach).await?;
            packages_of(&client, &cluster.cluster, names).await?;
            let namespace = cluster_namespace(&cluster.cluster);
            shown::<Package>(names, &namespace, &cluster.reach, printer).await
        }
        Get::Packagebundles { names, reach } => {
            shown::<PackageBundle>(names, PACKAGES_NAMESPACE, reach, printer).await
        }
        Get::Packagebundlecontrollers { names, reach } => {
            shown::<PackageBundleController>(names, PACKAGES_NAMESPACE, reach, printer).await
        }
    }
}

/// The packages of a cluster. If there are none, the cluster must exist.
async fn packages_of(client: &Client, cluster: &str, names: &[String]) -> anyhow::Result<Vec<Package>> {
    let packages = listed::<Package>(client, names, &cluster_namespace(cluster)).await?;
    if packages.is_empty() {
        settings(client, cluster).await?;
    }
    Ok(packages)
}

/// Prints objects of a kind: in the API server's columns, or whole.
async fn shown<K>(
    names: &[String],
    namespace: &str,
    reach: &ReachArg,
    printer: &Printer,
) -> anyhow::Result<Status>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let client = connect(reach).await?;
    let found = listed::<K>(&client, names, namespace).await?;
    if matches!(printer.format(), Format::Json | Format::Yaml) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": found });
        let value = match found.as_slice() {
            [one] if names.len() == 1 => serde_json::to_value(one)?,
            _ => list,
        };
        printer.result(&value, ToString::to_string)?;
        return Ok(Status::Done);
    }
    if found.is_empty() {
        printer.say(&format!("No resources found in {namespace} namespace."));
        return Ok(Status::Done);
    }
    let mut table = Table::of(&client, &ApiResource::erase::<K>(&()), namespace).await?;
    table.only(names);
    printer.text(&table.text())?;
    Ok(Status::Done)
}

/// Objects of a kind by name, or all. Named objects must exist.
pub(super) async fn listed<K>(client: &Client, names: &[String], namespace: &str) -> anyhow::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let plural = K::plural(&());
    let doing = format!("listing {plural}");
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let all = api.list(&ListParams::default()).await.map_err(|error| api_error(&doing, &error))?.items;
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|object| object.meta().name.as_ref() == Some(name)).cloned();
        found.ok_or_else(|| {
            ClusterError::missing(format!("{plural} \"{name}\" not found in {namespace}"), None)
        })
    };
    names.iter().map(find).collect()
}

/// The active bundle of a cluster, by the cluster's settings.
pub(super) async fn active_bundle(client: &Client, cluster: &str) -> anyhow::Result<PackageBundle> {
    let settings = settings(client, cluster).await?;
    let name = settings.spec.active_bundle.unwrap_or_default();
    if name.is_empty() {
        let hint = "`airlock get packagebundlecontrollers` shows the reason; `airlock upgrade packages` activates one";
        return Err(ClusterError::missing(
            format!("the cluster `{cluster}` has no active bundle"),
            Some(hint),
        ));
    }
    let mut found = listed::<PackageBundle>(client, &[name], PACKAGES_NAMESPACE).await?;
    found.pop().ok_or_else(|| ClusterError::missing("no bundle".to_owned(), None))
}

/// A cluster's settings.
pub(super) async fn settings(client: &Client, cluster: &str) -> anyhow::Result<PackageBundleController> {
    let api: Api<PackageBundleController> = Api::namespaced(client.clone(), PACKAGES_NAMESPACE);
    let doing = format!("getting the settings of cluster `{cluster}`");
    let found = api.get_opt(cluster).await.map_err(|error| api_error(&doing, &error))?;
    let hint = "`airlock get packagebundlecontrollers` lists the clusters";
    found.ok_or_else(|| ClusterError::missing(format!("cluster `{cluster}` not found"), Some(hint)))
}

pub(crate) async fn list(settings: &List, printer: &Printer) -> anyhow::Result<Status> {
    let List::Packages(settings) = settings;
    let bundle = bundle(settings).await?;
    printer.result(&offered(&bundle.spec), |_| {
        let head = [["Package", "Version(s)"], ["-------", "----------"]].map(|line| line.map(str::to_owned));
        let lines = bundle.spec.packages.iter().map(|package| {
            let names: Vec<_> = package.source.versions.iter().map(|version| version.name.as_str()).collect();
            [package.name.clone(), names.join(", ")]
        });
        tabbed(&head.into_iter().chain(lines).collect::<Vec<_>>())
    })?;
    Ok(Status::Done)
}

async fn bundle(settings: &ListPackages) -> anyhow::Result<PackageBundle> {
    if let Some(path) = &settings.bundle {
        return read_bundle(path);
    }
    let client = connect(&settings.reach).await?;
    active_bundle(&client, settings.cluster.as_deref().unwrap_or_default()).await
}

fn offered(bundle: &PackageBundleSpec) -> Value {
    let package = |package: &package_api::BundlePackage| {
        let versions = package.source.versions.iter();
        let versions: Vec<_> =
            versions.map(|version| json!({ "name": version.name, "digest": version.digest })).collect();
        json!({ "name": package.name, "versions": versions })
    };
    bundle.packages.iter().map(package).collect()
}

pub(crate) async fn describe(settings: &Describe, printer: &Printer) -> anyhow::Result<Status> {
    let Describe::Packages { names, cluster } = settings;
    let client = connect(&cluster.reach).await?;
    let namespace = cluster_namespace(&cluster.cluster);
    let packages = packages_of(&client, &cluster.cluster, names).await?;
    let events: Api<k8s_openapi::api::core::v1::Event> = Api::namespaced(client, &namespace);
    let mut all = Vec::new();
    for package in packages {
        let about = format!("involvedObject.kind=Package,involvedObject.name={}", package.name());
        let found = events.list(&ListParams::default().fields(&about)).await;
        let mut found = found.map_err(|error| api_error("listing events", &error))?.items;
        found.sort_by_key(|event| (event.last_timestamp.clone(), event.event_time.clone()));
        all.push((package, found));
    }
    let value: Vec<_> =
        all.iter().map(|(package, events)| json!({ "package": package, "events": events })).collect();
    printer.result(&value, |_| {
        let texts = all.iter().map(|(package, events)| super::describe::text(package, events));
        texts.collect::<Vec<_>>().join("\n\n")
    })?;
    if all.is_empty() {
        printer.say(&format!("No resources found in {namespace} namespace."));
    }
    Ok(Status::Done)
}
