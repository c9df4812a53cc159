//! `airlock package rollback`: returns a package to an earlier revision, or to the latest version.

use clap::Args;
use installer::{Record, Status as Release};
use kube::api::{Api, Patch, PatchParams};
use package_api::bundle::LATEST;
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleName, Package, PackageBundle, PackageSpec};
use package_controller::package::ROLLBACK;
use serde_json::{Value, json};

use super::{ChartsArg, Cluster};
use crate::cli::ClusterArg;
use crate::commands::cluster::reach::{Change, ClusterError, MANAGER, api_error, connect};
use crate::commands::cluster::show::listed;
use crate::failure::Status;
use crate::logged::Work;
use crate::printer::Printer;

#[derive(Args, Debug)]
pub(crate) struct RollbackPackage {
    /// The name of the package in the cluster.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// The revision to return to. Default: the last revision before this one that was installed successfully.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) revision: Option<u32>,
    /// Return to the latest version in the active bundle, and follow the bundle again. The values are kept.
    #[arg(long, conflicts_with = "revision")]
    pub(crate) latest: bool,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(super) async fn rollback(
    settings: &RollbackPackage,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let charts = ChartsArg { registry: None, registry_ca: None, plain_http: false };
    let cluster = Cluster::of(client, &settings.cluster.cluster, &charts).await?;
    let found = cluster.packages.iter().find(|package| package.name() == settings.name);
    let package = found
        .ok_or_else(|| ClusterError::missing(format!("packages \"{}\" not found", settings.name), None))?;
    if settings.latest {
        return latest(settings, &cluster, package, work, printer).await;
    }
    let history = cluster.engine.history(PACKAGES_NAMESPACE, &settings.name).await?;
    let record = earlier(&history, settings.revision)?;
    let spec = match spec_of(package, record, &cluster.bundle) {
        Ok(spec) => spec,
        Err(message) => {
            let all = listed::<PackageBundle>(&cluster.client, &[], PACKAGES_NAMESPACE).await?;
            let offering = all.iter().filter(|bundle| spec_of(package, record, bundle).is_ok());
            let newest = newest(offering.map(PackageBundle::name));
            let hint = activation_hint(newest, &settings.cluster.cluster);
            return Err(ClusterError::needs_command(message, hint));
        }
    };
    // The chart and the values restore the revision; by its number, the controller restores the exact manifest.
    let patch = json!({
        "metadata": { "annotations": { ROLLBACK: record.revision.to_string() } },
        "spec": { "packageVersion": spec.package_version, "config": spec.config },
    });
    let change = patched(settings, &cluster, package, &patch).await?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
        work.evidence("revision", &record.revision);
        work.done()?;
    }
    let latest = latest_command(&settings.name, &settings.cluster.cluster);
    let value = json!({
        "package": settings.name, "revision": record.revision, "chartVersion": record.chart_version,
        "dryRun": settings.dry_run, "toTheLatest": latest,
    });
    printer.result(&value, |_| {
        let (revision, version) = (record.revision, &record.chart_version);
        format!(
            "package/{} returns to revision {revision}, chart {version}{}\n",
            settings.name,
            change.note()
        )
    })?;
    printer.say(&format!(
        "note: it stays at this version, even if another bundle becomes active; to follow the active bundle again, run `{latest}`"
    ));
    Ok(Status::Done)
}

/// Makes the package follow the active bundle's latest version again.
async fn latest(
    settings: &RollbackPackage,
    cluster: &Cluster,
    package: &Package,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let patch = json!({
        "metadata": { "annotations": { ROLLBACK: null } }, "spec": { "packageVersion": LATEST },
    });
    let change = patched(settings, cluster, package, &patch).await?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
        work.evidence("version", LATEST);
        work.done()?;
    }
    let bundle = cluster.bundle.name();
    let value = json!({ "package": settings.name, "bundle": bundle, "dryRun": settings.dry_run });
    printer.result(&value, |_| {
        let note = change.note();
        format!("package/{} returns to the latest version of the bundle {bundle}{note}\n", settings.name)
    })?;
    Ok(Status::Done)
}

/// Changes the package, or has the API server validate the change.
async fn patched(
    settings: &RollbackPackage,
    cluster: &Cluster,
    package: &Package,
    patch: &Value,
) -> anyhow::Result<Change> {
    let change = Change::of(settings.dry_run);
    let api: Api<Package> = Api::namespaced(cluster.client.clone(), package.namespace());
    let params = PatchParams {
        dry_run: change == Change::Checked,
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let doing = format!("rolling back package/{}", settings.name);
    api.patch(&settings.name, &params, &Patch::Merge(patch))
        .await
        .map_err(|error| api_error(&doing, &error))?;
    Ok(change)
}

/// The command that returns a package to the latest version.
fn latest_command(name: &str, cluster: &str) -> String {
    format!("airlock package rollback {name} --cluster {cluster} --latest")
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
    found.ok_or_else(|| {
        ClusterError::missing(format!("revision not found; available revisions: {kept}"), None)
    })
}

/// The hint with the command that activates a bundle with the revision's chart.
fn activation_hint(bundle: Option<&str>, cluster: &str) -> String {
    let Some(bundle) = bundle else {
        return "no bundle in the cluster offers it; `airlock get packagebundles` lists the bundles"
            .to_owned();
    };
    format!(
        "activate a bundle that offers it: `airlock upgrade packages --bundle-version {bundle} --cluster {cluster} \
         --allow-downgrade`"
    )
}

/// The newest bundle by name; in alphabetical order, `v1-36-9` would be newer than `v1-36-10`.
fn newest<'a>(bundles: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    bundles.max_by_key(|name| name.parse::<BundleName>().ok())
}

/// The package spec that restores a revision: the chart by its digest, and all values.
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
        config: Some(gostd::yaml::write(&record.config)),
        ..package.spec.clone()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{activation_hint, latest_command, newest};
    use crate::cli::Cli;

    #[test]
    fn the_newest_bundle_is_the_one_with_the_greatest_number() {
        assert_eq!(newest(["v1-36-10", "v1-36-9"].into_iter()), Some("v1-36-10"));
        assert_eq!(newest(["v1-36-9", "v1-36-10", "other"].into_iter()), Some("v1-36-10"));
        assert_eq!(newest([].into_iter()), None);
    }

    #[test]
    fn the_activation_hint_is_a_valid_command() {
        let hint = activation_hint(Some("v1-36-7"), "mgmt");
        let command = hint.split('`').nth(1).unwrap();
        assert!(command.contains("--bundle-version v1-36-7 --cluster mgmt"), "{command}");
        assert!(Cli::try_parse_from(command.split(' ')).is_ok(), "{command}");
        assert!(activation_hint(None, "mgmt").starts_with("no bundle"));
    }

    #[test]
    fn o32_the_command_for_the_latest_version_is_valid() {
        let command = latest_command("harbor", "mgmt");
        assert!(Cli::try_parse_from(command.split(' ')).is_ok(), "{command}");
    }
}
