//! `airlock package`: the rendered charts of packages, their differences from the cluster, rollback, and the
//! permissions that they need.

mod diff;
mod rights;
mod rollback;

pub(in crate::commands) use self::rights::ROLES;

use std::path::PathBuf;

use anyhow::Context as _;
use audit::EventType;
use clap::{Args, Subcommand};
use installer::Install;
use installer::guard::{Bounds, BoundsInput};
use installer::{Engine, Prepared};
use kube::Client;
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{Package, PackageBundle, PackageBundleController, PackageBundleControllerSpec};
use package_controller::package::{Observed, Release as Found, planned};
use registry::client::{Client as Registry, HostRule};
use serde_json::{Value, json};

use self::rights::PackageRights;
use self::rollback::RollbackPackage;
use super::reach::{ClusterError, MANAGER, connect};
use super::show::{active_bundle, listed, settings as settings_of};
use super::target::Target;
use crate::cli::ClusterArg;
use crate::commands::image::{docker_config, interactive_client};
use crate::failure::Status;
use crate::logged::Logs;
use crate::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum PackageCommand {
    /// Print the manifests that would be applied for a package, from the active bundle.
    #[command(
        after_help = "Example: airlock package render harbor --cluster mgmt --registry registry.site:5000 --registry-ca ca.crt"
    )]
    Render(OnePackage),
    /// Show the difference between the rendered manifests and the cluster. Exits with 3 if there is one.
    #[command(
        after_help = "Example: airlock package diff harbor --cluster mgmt --registry registry.site:5000 --registry-ca ca.crt"
    )]
    Diff(OnePackage),
    /// Roll a package back to the version and values of an earlier revision, or return it to the latest
    /// version.
    #[command(after_help = "Examples:\n  \
        airlock package rollback harbor --cluster mgmt --revision 3\n  \
        airlock package rollback harbor --cluster mgmt --latest")]
    Rollback(RollbackPackage),
    /// Print the RBAC permissions that the controller needs for the installed packages, and what changes;
    /// with --apply, grant them.
    #[command(
        after_help = "Example: airlock package rights --cluster mgmt --registry registry.site:5000 --registry-ca ca.crt --apply"
    )]
    Rights(PackageRights),
}

/// A package, and the registry that serves its chart.
#[derive(Args, Debug)]
pub(crate) struct OnePackage {
    /// The name of the package in the cluster.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) charts: ChartsArg,
}

/// Where charts are pulled from.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChartsArg {
    /// The registry that serves all charts, as HOST or HOST:PORT. Default: the registries that the bundle
    /// names.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<oci::RegistryHost>,
    /// The CA of the registry's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "registry")]
    pub(crate) registry_ca: Option<PathBuf>,
    /// Use plain HTTP for the registry.
    #[arg(long, requires = "registry", conflicts_with = "registry_ca")]
    pub(crate) plain_http: bool,
}

pub(super) async fn run(settings: &PackageCommand, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        PackageCommand::Render(settings) => render(settings, printer).await,
        PackageCommand::Diff(settings) => diff::diff(settings, printer).await,
        PackageCommand::Rollback(settings) if settings.dry_run => {
            rollback::rollback(settings, None, printer).await
        }
        PackageCommand::Rollback(settings) => {
            let mut work =
                logs.begin_in_cluster(EventType::PackageChange, "package", &settings.name, None, printer)?;
            work.evidence("verb", "rollback");
            let result = rollback::rollback(settings, Some(&mut work), printer).await;
            work.end(result)
        }
        PackageCommand::Rights(settings) if !settings.apply => rights::rights(settings, None, printer).await,
        PackageCommand::Rights(settings) => {
            let cluster = &settings.cluster.cluster;
            let mut work =
                logs.begin_in_cluster(EventType::PackageChange, "cluster", cluster, None, printer)?;
            work.evidence("verb", "rights");
            let result = rights::rights(settings, Some(&mut work), printer).await;
            work.end(result)
        }
    }
}

/// What determines a cluster's packages.
struct Cluster {
    /// The client of the management cluster.
    client: Client,
    target: Target,
    engine: Engine,
    bundle: PackageBundle,
    settings: PackageBundleController,
    packages: Vec<Package>,
    /// The registry that replaces all others.
    mirror: Option<oci::RegistryHost>,
}

impl Cluster {
    async fn of(client: Client, cluster: &str, charts: &ChartsArg) -> anyhow::Result<Self> {
        let target = Target::of(&client, cluster).await?;
        let engine = Engine::new(target.client.clone(), registry(charts)?, charts.registry.clone(), MANAGER);
        let bundle = active_bundle(&client, cluster).await?;
        let settings = settings_of(&client, cluster).await?;
        let packages = listed::<Package>(&client, &[], &cluster_namespace(cluster)).await?;
        let mirror = charts.registry.clone();
        Ok(Self { client, target, engine, bundle, settings, packages, mirror })
    }

    fn spec(&self) -> &PackageBundleControllerSpec {
        &self.settings.spec
    }

    fn plan(&self, package: &Package) -> anyhow::Result<Install> {
        let observed = Observed {
            package,
            bundle: Ok(&self.bundle),
            settings: self.spec(),
            siblings: &self.packages,
            release: Found::Absent,
        };
        planned(&observed).map_err(|reason| ClusterError::missing(reason, None))
    }

    async fn prepare(&self, package: &Package) -> anyhow::Result<Prepared> {
        let plan = self.plan(package)?;
        // The same bounds as in the controller.
        let bounds = Bounds::of(&BoundsInput {
            bundle: &self.bundle,
            settings: Some(&self.settings),
            package: &package.spec.package_name,
            plan: &plan,
            mirror: self.mirror.as_ref(),
            own: PACKAGES_NAMESPACE,
        });
        let bounds = bounds.map_err(|reason| ClusterError::missing(reason, None))?;
        let prepared = self.engine.clone().within(bounds).prepare(&plan).await;
        prepared.with_context(|| format!("the package `{}` cannot be rendered", package.name()))
    }

    async fn named(&self, name: &str) -> anyhow::Result<Prepared> {
        let package = self.packages.iter().find(|package| package.name() == name);
        let package =
            package.ok_or_else(|| ClusterError::missing(format!("packages \"{name}\" not found"), None))?;
        self.prepare(package).await
    }
}

fn registry(charts: &ChartsArg) -> anyhow::Result<Registry> {
    let ca_pem = charts.registry_ca.as_deref().map(crate::commands::tls::ca_certificate).transpose()?;
    let rule = charts.registry.clone().map(|host| HostRule {
        endpoint: host.clone(),
        host,
        prefix: None,
        plain_http: charts.plain_http,
        ca_pem: ca_pem.map(String::into_bytes),
    });
    interactive_client(rule.into_iter().collect(), docker_config())
}

async fn render(settings: &OnePackage, printer: &Printer) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, &settings.cluster.cluster, &settings.charts).await?;
    let prepared = cluster.named(&settings.name).await?;
    let value = json!({
        "package": settings.name, "chart": prepared.chart, "version": prepared.chart_version,
        "digest": prepared.chart_digest(), "namespace": prepared.namespace, "objects": prepared.objects(),
    });
    printer.rendered(&value, &format!("{}{}", prepared.definitions, prepared.manifest))?;
    Ok(Status::Done)
}

/// An object's kind and name, for messages.
fn object_label(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}
