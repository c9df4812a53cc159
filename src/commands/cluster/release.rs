//! `airlock package`: what packages come to as charts, how that differs from what is there, the way back, and the
//! rights that it takes.

use std::collections::BTreeMap;

use anyhow::Context as _;
use audit::Kind;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{Package, PackageBundle, PackageBundleControllerSpec, PackageSpec};
use package_controller::engine::{Change as Differs, Engine, Prepared, Record, Status as Release};
use package_controller::package::{Install, Observed, ROLLBACK, Release as Found, planned};
use package_controller::rbac;
use registry::client::{Client as Registry, ClientConfig, HostRule};
use serde_json::{Value, json};

use super::reach::{Answer, Change, MANAGER, applied, connect, told};
use super::show::{active_bundle, listed, settings as settings_of};
use super::target::Target;
use crate::cli::{ChartsArg, OnePackage, PackageCommand, PackageRights, RollbackPackage};
use crate::commands::image::docker_config;
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(super) async fn run(settings: &PackageCommand, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        PackageCommand::Render(settings) => render(settings, printer).await,
        PackageCommand::Diff(settings) => diff(settings, printer).await,
        PackageCommand::Rollback(settings) if settings.dry_run => roll_back(settings, None, printer).await,
        PackageCommand::Rollback(settings) => {
            let mut work = logs.begin(Kind::PackageChange, ("package", &settings.name), None, printer)?;
            work.evidence("verb", "rollback");
            let result = roll_back(settings, Some(&mut work), printer).await;
            work.end(result)
        }
        PackageCommand::Rights(settings) if !settings.apply => rights(settings, None, printer).await,
        PackageCommand::Rights(settings) => {
            let cluster = &settings.cluster.cluster;
            let mut work = logs.begin(Kind::PackageChange, ("cluster", cluster), None, printer)?;
            work.evidence("verb", "rights");
            let result = rights(settings, Some(&mut work), printer).await;
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
    let ca_pem = charts.registry_ca.as_deref().map(crate::commands::read).transpose()?;
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
    let config = ClientConfig { hosts, docker_config: docker_config(), idle, ..ClientConfig::default() };
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

/// One object that would change, or that was changed.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Difference {
    object: String,
    change: String,
}

async fn diff(settings: &OnePackage, printer: &Printer) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, &settings.cluster.cluster, &settings.charts).await?;
    let prepared = cluster.named(&settings.name).await?;
    let current = cluster.engine.current(PACKAGES_NAMESPACE, &settings.name).await?;
    let wanted = helm::yaml::documents(&prepared.manifest, &helm::Limits::default())?;
    let (mut before, mut drifted) = (Vec::new(), Vec::new());
    if let Some(record) = &current {
        before = helm::yaml::documents(&record.manifest, &helm::Limits::default())?;
        drifted = cluster.engine.drift(record).await?;
    }
    let mut all = differences(&before, &wanted);
    all.extend(drifted.into_iter().map(|drift| Difference {
        object: drift.object,
        change: match drift.change {
            Differs::Gone => "is gone from the cluster".to_owned(),
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

/// What an upgrade would do to objects.
fn differences(before: &[Value], wanted: &[Value]) -> Vec<Difference> {
    let by_name = |all: &[Value]| -> BTreeMap<String, Value> {
        all.iter().filter(|object| !object.is_null()).map(|object| (called(object), object.clone())).collect()
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

fn called(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, name, namespace) = (text("/kind"), text("/metadata/name"), text("/metadata/namespace"));
    if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
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
    let spec = spec_of(package, record, &cluster.bundle)?;
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

/// What the package must ask for, to come to what a revision was: the chart by its digest, and all values.
fn spec_of(package: &Package, record: &Record, bundle: &PackageBundle) -> anyhow::Result<PackageSpec> {
    let offered = bundle.spec.package(&package.spec.package_name);
    let digest = record.chart_digest.as_ref().map(ToString::to_string);
    let versions = offered.into_iter().flat_map(|offered| &offered.source.versions);
    let found = digest.and_then(|digest| versions.into_iter().find(|version| version.digest == digest));
    let Some(version) = found else {
        let message = format!(
            "the active bundle `{}` does not offer the chart of revision {} ({} {})",
            bundle.name(),
            record.revision,
            record.chart,
            record.chart_version
        );
        let hint = "make the bundle active that does: `airlock upgrade packages --allow-downgrade`";
        return Err(Usage { message, hint }.into());
    };
    Ok(PackageSpec {
        package_version: Some(version.digest.clone()),
        config: Some(helm::yaml::write(&record.config)),
        ..package.spec.clone()
    })
}

async fn rights(
    settings: &PackageRights,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let cluster = Cluster::of(client, &settings.cluster.cluster, &settings.charts).await?;
    if cluster.target.is_workload && work.is_some() {
        let message = format!("nobody here may grant rights in cluster `{}`", settings.cluster.cluster);
        let hint = "without --apply they are printed for whoever the controller is there; apply them in that cluster";
        return Err(Usage { message, hint }.into());
    }
    let (mut objects, mut sums) = (Vec::new(), Vec::new());
    for package in wanted(&cluster) {
        match cluster.prepare(&package).await {
            Ok(prepared) => {
                objects.extend(prepared.objects()?);
                // What belongs to a release is not made for a package that nobody asked for.
                if cluster.packages.iter().any(|asked| asked.name() == package.name()) {
                    sums.extend(prepared.sums()?);
                }
            }
            // A chart that needs values before it renders brings its rights once there is a package with them.
            Err(error) => {
                let words = package_controller::causes(error.as_ref()).join(": ");
                printer.complain(&format!("warning: {words}; its rights are not among these"));
            }
        }
    }
    let derived = rbac::derive(&objects);
    for excess in &derived.excess {
        printer.complain(&format!("warning: {} is not covered: {}", excess.object, excess.reason));
    }
    let subject = cluster.target.subject().await?;
    let mut manifests = granted(&settings.cluster.cluster, &derived.rules, &subject);
    for role in sums {
        printer.complain(&format!(
            "note: {} is among these, because the controller may not make it",
            called(&role)
        ));
        manifests.push(role);
    }
    if let Some(work) = work {
        for manifest in &manifests {
            applied(&cluster.client, manifest, MANAGER, Change::Made).await?;
        }
        work.evidence("rules", &derived.rules.len());
        work.done()?;
    }
    printer.result(&manifests, |manifests| {
        manifests.iter().map(|manifest| format!("---\n{}", helm::yaml::write(manifest))).collect()
    })?;
    Ok(Status::Done)
}

/// Every package that there is, and every one that the bundle offers and there is none of yet.
fn wanted(cluster: &Cluster) -> Vec<Package> {
    let mut all = cluster.packages.clone();
    for offered in &cluster.bundle.spec.packages {
        if !all.iter().any(|package| package.spec.package_name.eq_ignore_ascii_case(&offered.name)) {
            let spec = PackageSpec { package_name: offered.name.clone(), ..PackageSpec::default() };
            all.push(Package::new(&offered.name.to_lowercase(), spec));
        }
    }
    all
}

fn granted(cluster: &str, rules: &[k8s_openapi::api::rbac::v1::PolicyRule], subject: &Value) -> Vec<Value> {
    let name = format!("airlock-packages-{cluster}");
    let labels = json!({ "app.kubernetes.io/name": "airlock", "app.kubernetes.io/part-of": "airlock" });
    let metadata = json!({ "name": name, "labels": labels });
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [subject],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_told_by_objects_and_fields() {
        let object = |kind: &str, name: &str, replicas: u8| json!({ "kind": kind, "metadata": { "name": name, "namespace": "n" }, "spec": { "replicas": replicas, "a": [1] } });
        let before = [object("Deployment", "a", 1), object("Service", "b", 1), object("Job", "d", 1)];
        let wanted =
            [object("Deployment", "a", 2), object("Service", "b", 1), object("Secret", "c", 1), Value::Null];
        let told: Vec<_> = differences(&before, &wanted)
            .into_iter()
            .map(|one| format!("{} {}", one.object, one.change))
            .collect();
        assert_eq!(
            told,
            [
                "Deployment n/a would be changed: .spec.replicas",
                "Secret n/c would be created",
                "Job n/d would be deleted"
            ]
        );
    }
}
