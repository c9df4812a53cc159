//! `airlock upgrade packages`: activates another bundle.

use clap::Args;
use kube::api::{Api, Patch, PatchParams};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleName, PackageBundle, PackageBundleController};
use serde_json::json;

use super::{begin, done, end};
use crate::cli::ClusterArg;
use crate::commands::cluster::reach::{ApplyResult, Change, ClusterError, MANAGER, api_error, connect};
use crate::commands::cluster::show::{listed, settings as settings_of};
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

#[derive(Args, Debug)]
pub(crate) struct UpgradePackages {
    /// The name of the bundle.
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) bundle_version: BundleName,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// Accept a bundle that is older than the active one.
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(crate) async fn upgrade(
    settings: &UpgradePackages,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let mut work = begin("upgrade", &settings.cluster.cluster, settings.dry_run, logs, printer)?;
    let result = activate(settings, &mut work, printer).await;
    end(work, result)
}

async fn activate(
    settings: &UpgradePackages,
    work: &mut Option<Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let (cluster, bundle) = (&settings.cluster.cluster, &settings.bundle_version);
    let client = connect(&settings.cluster.reach).await?;
    let before = settings_of(&client, cluster).await?.spec.active_bundle.unwrap_or_default();
    if let Some(work) = work {
        work.evidence("cluster", cluster);
        work.evidence("bundle", bundle);
        work.evidence("before", &before);
    }
    let bundles = listed::<PackageBundle>(&client, &[], PACKAGES_NAMESPACE).await?;
    if !bundles.iter().any(|known| known.name() == bundle.as_str()) {
        let message = format!("packagebundles \"{bundle}\" not found in {PACKAGES_NAMESPACE}");
        return Err(ClusterError::missing_with_hint(message, check_now_hint(cluster)));
    }
    if let Some(older) = older(&before, bundle)
        && !settings.allow_downgrade
    {
        let message = format!("`{bundle}` is older than the active bundle `{older}`");
        return Err(Usage { message, hint: "give --allow-downgrade to activate it" }.into());
    }
    let change = Change::of(settings.dry_run);
    let did = if before == bundle.as_str() { ApplyResult::Unchanged } else { ApplyResult::Configured };
    let api: Api<PackageBundleController> = Api::namespaced(client, PACKAGES_NAMESPACE);
    let params = PatchParams {
        dry_run: change == Change::Checked,
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "spec": { "activeBundle": bundle.as_str() } }));
    let doing = format!("activating bundle `{bundle}` of cluster `{cluster}`");
    api.patch(cluster, &params, &patch).await.map_err(|error| api_error(&doing, &error))?;
    done(work)?;
    let value = json!({ "cluster": cluster, "activeBundle": bundle.as_str(), "before": before, "did": did });
    printer.result(&value, |_| {
        let from = if before.is_empty() { "none".to_owned() } else { before.clone() };
        format!(
            "packagebundlecontroller/{cluster} {}{}: active bundle {bundle} (was {from})\n",
            did.as_str(),
            change.note()
        )
    })?;
    Ok(Status::Done)
}

/// The hint with a command that makes the controller check the registry at once, as it does whenever a cluster's
/// settings change.
fn check_now_hint(cluster: &str) -> String {
    format!(
        "the controller checks the registry for newer bundles every `upgradeCheckInterval`, by default once a day; to \
         check now, and then every hour, run: kubectl patch pbc -n {PACKAGES_NAMESPACE} {cluster} --type merge -p \
         '{{\"spec\":{{\"upgradeCheckInterval\":\"1h\"}}}}'"
    )
}

/// The active bundle, if it is newer than this one, or for a later Kubernetes version.
fn older(active: &str, wanted: &BundleName) -> Option<BundleName> {
    let active: BundleName = active.parse().ok()?;
    (active > *wanted).then_some(active)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_bundle_is_older_by_its_name_and_not_because_it_differs() {
        let wanted: BundleName = "v1-36-2026-03-12-1773300000".parse().unwrap();
        assert!(older("v1-36-2026-03-13-1773386400", &wanted).is_some());
        for active in ["", "v1-36-7", "v1-36-2026-03-12-1773300000", "v1-35-2026-09-12-1789200000"] {
            assert_eq!(older(active, &wanted), None, "{active}");
        }
    }

    #[test]
    fn the_hint_to_check_for_bundles_now_is_a_command() {
        let hint = check_now_hint("mgmt");
        assert!(hint.contains("kubectl patch pbc -n eksa-packages mgmt --type merge"), "{hint}");
        let patch = hint.split('\'').nth(1).unwrap();
        let patch: Value = serde_json::from_str(patch).unwrap();
        assert_eq!(patch["spec"]["upgradeCheckInterval"], "1h");
    }
}
