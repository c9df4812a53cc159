//! `airlock package`: what packages come to as charts, how that differs from what is there, the way back, and the
//! rights that it takes.

mod diff;
mod rights;

pub(in crate::commands) use self::rights::ROLES;

use anyhow::Context as _;
use audit::Kind;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{Package, PackageBundle, PackageBundleControllerSpec, PackageSpec};
use package_controller::engine::{Engine, Prepared, Record, Status as Release};
use package_controller::package::{Install, Observed, ROLLBACK, Release as Found, planned};
use registry::client::{Client as Registry, ClientConfig, HostRule};
use serde_json::{Value, json};

use super::reach::{Answer, Change, MANAGER, connect, told};
use super::show::{active_bundle, listed, settings as settings_of};
use super::target::Target;
use crate::cli::{ChartsArg, OnePackage, PackageCommand, RollbackPackage};
use crate::commands::image::{docker_config, proxies};
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(super) async fn run(settings: &PackageCommand, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        PackageCommand::Render(settings) => render(settings, printer).await,
        PackageCommand::Diff(settings) => diff::diff(settings, printer).await,
        PackageCommand::Rollback(settings) if settings.dry_run => roll_back(settings, None, printer).await,
        PackageCommand::Rollback(settings) => {
            let mut work = logs.begin(Kind::PackageChange, ("package", &settings.name), None, printer)?;
            work.evidence("verb", "rollback");
            let result = roll_back(settings, Some(&mut work), printer).await;
            work.end(result)
        }
        PackageCommand::Rights(settings) if !settings.apply => rights::rights(settings, None, printer).await,
        PackageCommand::Rights(settings) => {
            let cluster = &settings.cluster.cluster;
            let mut work = logs.begin(Kind::PackageChange, ("cluster", cluster), None, printer)?;
            work.evidence("verb", "rights");
            let result = rights::rights(settings, Some(&mut work), printer).await;
            work.end(result)
        }
    }
}

/// What decides about a cluster's packages.
struct Cluster {
    /// The one that manages it.
    client: Client,
    target: Target,
    engine: Engine,
    bundle: PackageBundle,
    settings: PackageBundleControllerSpec,
    packages: Vec<Package>,
}

impl Cluster {
    async fn of(client: Client, cluster: &str, charts: &ChartsArg) -> anyhow::Result<Self> {
        let target = Target::of(&client, cluster).await?;
        let engine = Engine::new(target.client.clone(), registry(charts)?, charts.registry.clone(), MANAGER);
        let bundle = active_bundle(&client, cluster).await?;
        let settings = settings_of(&client, cluster).await?.spec;
        let packages = listed::<Package>(&client, &[], &cluster_namespace(cluster)).await?;
        Ok(Self { client, target, engine, bundle, settings, packages })
    }

    fn plan(&self, package: &Package) -> anyhow::Result<Install> {
        let observed = Observed {
            package,
            bundle: Ok(&self.bundle),
            settings: &self.settings,
            siblings: &self.packages,
            release: Found::Absent,
        };
        planned(&observed).map_err(|reason| Answer::missing(reason, None))
    }

    async fn prepare(&self, package: &Package) -> anyhow::Result<Prepared> {
        let plan = self.plan(package)?;
        let prepared = self.engine.prepare(&plan).await;
        prepared.with_context(|| format!("the package `{}` cannot be rendered", package.name()))
    }

    async fn named(&self, name: &str) -> anyhow::Result<Prepared> {
        let package = self.packages.iter().find(|package| package.name() == name);
        let package =
            package.ok_or_else(|| Answer::missing(format!("packages \"{name}\" not found"), None))?;
        self.prepare(package).await
    }
}

fn registry(charts: &ChartsArg) -> anyhow::Result<Registry> {
    let ca_pem = charts.registry_ca.as_deref().map(crate::commands::authority).transpose()?;
    let rule = charts.registry.clone().map(|host| HostRule {
        endpoint: host.clone(),
        host,
        prefix: None,
        plain_http: charts.plain_http,
        ca_pem: ca_pem.map(String::into_bytes),
    });
    // A person waits: a registry that is silent for half a minute is not there.
    let idle = std::time::Duration::from_secs(30);
    let hosts = rule.into_iter().collect();
    let config = ClientConfig {
        hosts,
        docker_config: docker_config(),
        idle,
        proxies: proxies(),
        ..ClientConfig::default()
    };
    Ok(Registry::new(config).map_err(packager::evidence::Error::Client)?)
}

async fn render(settings: &OnePackage, printer: &Printer) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, &settings.cluster.cluster, &settings.charts).await?;
    let prepared = cluster.named(&settings.name).await?;
    let value = json!({
        "package": settings.name, "chart": prepared.chart, "version": prepared.chart_version,
        "digest": prepared.chart_digest(), "namespace": prepared.namespace, "objects": prepared.objects()?,
    });
    printer.result(&value, |_| format!("{}{}", prepared.definitions, prepared.manifest))?;
    Ok(Status::Done)
}

/// An object's kind and name, for people.
fn called(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
}

async fn roll_back(
    settings: &RollbackPackage,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let charts = ChartsArg { registry: None, registry_ca: None, plain_http: false };
    let cluster = Cluster::of(client, &settings.cluster.cluster, &charts).await?;
    let found = cluster.packages.iter().find(|package| package.name() == settings.name);
    let package =
        found.ok_or_else(|| Answer::missing(format!("packages \"{}\" not found", settings.name), None))?;
    let history = cluster.engine.history(PACKAGES_NAMESPACE, &settings.name).await?;
    let record = earlier(&history, settings.revision)?;
    let spec = match spec_of(package, record, &cluster.bundle) {
        Ok(spec) => spec,
        Err(message) => {
            let all = listed::<PackageBundle>(&cluster.client, &[], PACKAGES_NAMESPACE).await?;
            let newest = all.iter().rev().find(|bundle| spec_of(package, record, bundle).is_ok());
            let hint = way_back(newest.map(PackageBundle::name), &settings.cluster.cluster);
            return Err(Answer::first(message, hint));
        }
    };
    let change = Change::of(settings.dry_run);
    let api: Api<Package> = Api::namespaced(cluster.client.clone(), package.namespace());
    let params = PatchParams {
        dry_run: change == Change::Checked,
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    // Chart and values bring the revision back; by its number the controller puts back its very manifest.
    let patch = json!({
        "metadata": { "annotations": { ROLLBACK: record.revision.to_string() } },
        "spec": { "packageVersion": spec.package_version, "config": spec.config },
    });
    let doing = format!("bringing package/{} back", settings.name);
    api.patch(&settings.name, &params, &Patch::Merge(patch)).await.map_err(|error| told(&doing, &error))?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
        work.evidence("revision", &record.revision);
        work.done()?;
    }
    let value = json!({
        "package": settings.name, "revision": record.revision, "chartVersion": record.chart_version,
        "dryRun": settings.dry_run,
    });
    printer.result(&value, |_| {
        let (revision, version) = (record.revision, &record.chart_version);
        format!(
            "package/{} goes back to revision {revision}, chart {version}{}\n",
            settings.name,
            change.note()
        )
    })?;
    Ok(Status::Done)
}

/// The revision to go back to.
fn earlier(history: &[Record], wanted: Option<u32>) -> anyhow::Result<&Record> {
    let newest = history.last().map(|record| record.revision);
    let found = match wanted {
        Some(revision) => history.iter().find(|record| record.revision == revision),
        None => history.iter().rev().find(|record| {
            let was_good = matches!(record.status, Release::Superseded | Release::Deployed);
            was_good && Some(record.revision) != newest
        }),
    };
    let kept: Vec<_> = history.iter().map(|record| record.revision.to_string()).collect();
    let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
    found.ok_or_else(|| Answer::missing(format!("there is no such revision; kept are: {kept}"), None))
}

/// How the bundle becomes active that offers what a revision had, wholly as it is typed.
fn way_back(bundle: Option<&str>, cluster: &str) -> String {
    let Some(bundle) = bundle else {
        return "no bundle in the cluster offers it: `airlock get packagebundles` lists those there are"
            .to_owned();
    };
    format!(
        "make the bundle active that does: `airlock upgrade packages --bundle-version {bundle} --cluster {cluster} \
         --allow-downgrade`"
    )
}

/// What the package must ask for, to come to what a revision was: the chart by its digest, and all values.
fn spec_of(package: &Package, record: &Record, bundle: &PackageBundle) -> Result<PackageSpec, String> {
    let offered = bundle.spec.package(&package.spec.package_name);
    let digest = record.chart_digest.as_ref().map(ToString::to_string);
    let versions = offered.into_iter().flat_map(|offered| &offered.source.versions);
    let found = digest.and_then(|digest| versions.into_iter().find(|version| version.digest == digest));
    let Some(version) = found else {
        return Err(format!(
            "the active bundle `{}` does not offer the chart of revision {} ({} {})",
            bundle.name(),
            record.revision,
            record.chart,
            record.chart_version
        ));
    };
    Ok(PackageSpec {
        package_version: Some(version.digest.clone()),
        config: Some(helm::yaml::write(&record.config)),
        ..package.spec.clone()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::way_back;
    use crate::cli::Cli;

    #[test]
    fn the_way_back_is_a_command_that_can_be_typed() {
        let hint = way_back(Some("v1-36-7"), "mgmt");
        let command = hint.split('`').nth(1).unwrap();
        assert!(command.contains("--bundle-version v1-36-7 --cluster mgmt"), "{command}");
        assert!(Cli::try_parse_from(command.split(' ')).is_ok(), "{command}");
        assert!(way_back(None, "mgmt").starts_with("no bundle"));
    }
}
