//! `airlock delete packages`: deletes packages, and waits until everything that they installed is gone.

use std::time::{Duration, Instant};

use clap::Args;
use kube::api::{Api, DeleteParams};
use package_api::Package;
use package_api::name::cluster_namespace;
use package_controller::package::FINALIZER;
use serde_json::json;

use super::{begin, done, end};
use crate::cli::{ClusterArg, duration};
use crate::commands::cluster::reach::{Change, ClusterError, api_error, connect};
use crate::commands::cluster::show::listed;
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

/// The time after which the reason for waiting is printed.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub(crate) struct DeletePackages {
    /// The packages to delete.
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// Do not wait for the deletion to finish.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// The maximum time to wait.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

pub(crate) async fn delete(
    settings: &DeletePackages,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let names = settings.names.join(" ");
    let mut work = begin("delete", &names, settings.dry_run, logs, printer)?;
    let result = delete_all(settings, &mut work, printer).await;
    end(work, result)
}

async fn delete_all(
    settings: &DeletePackages,
    work: &mut Option<Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let namespace = cluster_namespace(&settings.cluster.cluster);
    // All must exist before one is deleted.
    let packages = listed::<Package>(&client, &settings.names, &namespace).await?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
    }
    let change = Change::of(settings.dry_run);
    let api: Api<Package> = Api::namespaced(client, &namespace);
    for package in &packages {
        let params = DeleteParams { dry_run: change == Change::Checked, ..DeleteParams::foreground() };
        let doing = format!("deleting package/{}", package.name());
        api.delete(package.name(), &params).await.map_err(|error| api_error(&doing, &error))?;
    }
    if change == Change::Made && !settings.no_wait {
        wait_until_gone(&api, settings, printer).await?;
    }
    done(work)?;
    let value = json!({ "deleted": settings.names, "namespace": namespace, "dryRun": settings.dry_run });
    printer.result(&value, |_| {
        let line = |name: &String| format!("package/{name} deleted{}\n", change.note());
        settings.names.iter().map(line).collect()
    })?;
    Ok(Status::Done)
}

async fn wait_until_gone(
    api: &Api<Package>,
    settings: &DeletePackages,
    printer: &Printer,
) -> anyhow::Result<()> {
    let (begin, mut last_line) = (Instant::now(), String::new());
    for name in &settings.names {
        loop {
            let found = api.get_opt(name).await.map_err(|error| api_error("waiting", &error))?;
            let Some(package) = found else { break };
            let (waited, reason) = (begin.elapsed(), blocked_by(&package));
            if waited >= settings.timeout {
                let message = format!(
                    "package/{name} is marked for deletion, but still exists after {} s",
                    settings.timeout.as_secs()
                );
                let hint = "check the package with `airlock describe packages`; the controller deletes what it installed: \
                            check with `kubectl get pods -n eksa-packages` that the controller is running";
                return Err(ClusterError::timed_out(format!("{message}: {reason}"), hint));
            }
            // Print the reason if the deletion takes long, and again if the reason changes.
            let line = format!("waiting for the deletion of package/{name}: {reason}");
            if waited >= PATIENCE && line != last_line {
                printer.say(&line);
                last_line = line;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    Ok(())
}

/// The reason why a deleted package still exists.
fn blocked_by(package: &Package) -> String {
    let finalizers = package.metadata.finalizers.iter().flatten();
    let others: Vec<_> = finalizers.filter(|name| *name != FINALIZER).map(String::as_str).collect();
    let detail = package.status.as_ref().and_then(|status| status.detail.clone());
    let detail = detail.filter(|detail| !detail.is_empty());
    let others = (!others.is_empty()).then(|| format!("the finalizer {} blocks it", others.join(", ")));
    let reasons: Vec<_> = others.into_iter().chain(detail).collect();
    if reasons.is_empty() {
        return "the controller is deleting what it installed".to_owned();
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use package_api::PackageSpec;

    use super::*;

    #[test]
    fn the_reason_why_a_package_still_exists_is_reported() {
        let mut package = Package::new("a", PackageSpec::default());
        package.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        assert_eq!(blocked_by(&package), "the controller is deleting what it installed");
        let detail = Some("not deleted after 15 s: ConfigMap default/a".to_owned());
        package.status = Some(package_api::PackageStatus { detail, ..Default::default() });
        assert_eq!(blocked_by(&package), "not deleted after 15 s: ConfigMap default/a");
        package.metadata.finalizers = Some(vec![FINALIZER.to_owned(), "example.com/stay".to_owned()]);
        assert!(blocked_by(&package).starts_with("the finalizer example.com/stay blocks it; not deleted"));
    }
}
