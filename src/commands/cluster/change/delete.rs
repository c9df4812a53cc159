//! `airlock delete packages`: packages, and all that they installed, are waited for.

use std::time::{Duration, Instant};

use kube::api::{Api, DeleteParams};
use package_api::Package;
use package_api::name::cluster_namespace;
use package_controller::package::FINALIZER;
use serde_json::json;

use super::{begin, done, end};
use crate::cli::DeletePackages;
use crate::commands::cluster::reach::{Answer, Change, connect, told};
use crate::commands::cluster::show::listed;
use crate::failure::Status;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

/// How long a removal may take before it is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn delete(
    settings: &DeletePackages,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let names = settings.names.join(" ");
    let mut work = begin("delete", &names, settings.dry_run, logs, printer)?;
    let result = gone(settings, &mut work, printer).await;
    end(work, result)
}

async fn gone(
    settings: &DeletePackages,
    work: &mut Option<Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let namespace = cluster_namespace(&settings.cluster.cluster);
    // All must be there before one is deleted.
    let packages = listed::<Package>(&client, &settings.names, &namespace).await?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
    }
    let change = Change::of(settings.dry_run);
    let api: Api<Package> = Api::namespaced(client, &namespace);
    for package in &packages {
        let params = DeleteParams { dry_run: change == Change::Checked, ..DeleteParams::foreground() };
        let doing = format!("deleting package/{}", package.name());
        api.delete(package.name(), &params).await.map_err(|error| told(&doing, &error))?;
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
    let (begin, mut told_last) = (Instant::now(), String::new());
    for name in &settings.names {
        loop {
            let found = api.get_opt(name).await.map_err(|error| told("waiting", &error))?;
            let Some(package) = found else { break };
            let (waited, reason) = (begin.elapsed(), held_by(&package));
            if waited >= settings.timeout {
                let message = format!(
                    "package/{name} is marked as deleted and not gone after {} s",
                    settings.timeout.as_secs()
                );
                let hint = "`airlock describe packages` tells what happened; `kubectl get pods -n eksa-packages` whether the \
                            controller runs, which takes away what the package installed";
                return Err(Answer::late(format!("{message}: {reason}"), hint));
            }
            // What takes its time is told, and again when the reason is another.
            let line = format!("waiting until package/{name} is gone: {reason}");
            if waited >= PATIENCE && line != told_last {
                printer.say(&line);
                told_last = line;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    Ok(())
}

/// What keeps a package that was deleted from being gone.
fn held_by(package: &Package) -> String {
    let finalizers = package.metadata.finalizers.iter().flatten();
    let others: Vec<_> = finalizers.filter(|name| *name != FINALIZER).map(String::as_str).collect();
    let detail = package.status.as_ref().and_then(|status| status.detail.clone());
    let detail = detail.filter(|detail| !detail.is_empty());
    let others = (!others.is_empty()).then(|| format!("the finalizer {} holds it", others.join(", ")));
    let reasons: Vec<_> = others.into_iter().chain(detail).collect();
    if reasons.is_empty() {
        return "the controller takes away what it installed".to_owned();
    }
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use package_api::PackageSpec;

    use super::*;

    #[test]
    fn what_holds_a_package_is_told() {
        let mut package = Package::new("a", PackageSpec::default());
        package.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        assert_eq!(held_by(&package), "the controller takes away what it installed");
        let detail = Some("not gone after 15 s: ConfigMap default/a".to_owned());
        package.status = Some(package_api::PackageStatus { detail, ..Default::default() });
        assert_eq!(held_by(&package), "not gone after 15 s: ConfigMap default/a");
        package.metadata.finalizers = Some(vec![FINALIZER.to_owned(), "example.com/stay".to_owned()]);
        assert!(held_by(&package).starts_with("the finalizer example.com/stay holds it; not gone"));
    }
}
