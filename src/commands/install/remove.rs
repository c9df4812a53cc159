//! `airlock uninstall controller`: webhooks first, then their servers.

use std::time::{Duration, Instant};

use audit::EventType;
use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt as _};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{Package, TrustPolicy};
use serde_json::{Value, json};

use super::manifests::Manifests;
use crate::cli::{ReachArg, duration};
use crate::commands::cluster::ROLES;
use crate::commands::cluster::reach::{api, api_error, connect, object, object_name};
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

pub(in crate::commands) async fn run(
    settings: &UninstallController,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    if settings.dry_run {
        return uninstall(settings, None, printer).await;
    }
    let mut work =
        logs.begin_in_cluster(EventType::ClusterUninstall, "cluster", "management cluster", None, printer)?;
    let result = uninstall(settings, Some(&mut work), printer).await;
    work.end(result)
}

#[derive(Args, Debug)]
#[command(after_help = "CRDs, bundles, packages and the namespace are kept, unless --all is given.\n\
    Example: airlock uninstall controller")]
pub(crate) struct UninstallController {
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    /// Also delete the CRDs and the namespace. Only possible if no packages are left.
    #[arg(long)]
    pub(crate) all: bool,
    /// Uninstall even if packages exist. Nothing manages them afterward.
    #[arg(long, conflicts_with = "all")]
    pub(crate) leave_packages: bool,
    /// The maximum time to wait for the deletion to finish.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print what would be deleted, without deleting it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

async fn uninstall(
    settings: &UninstallController,
    work: Option<&mut Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = &connect(&settings.reach).await?;
    let packages = packages(client).await?;
    if !packages.is_empty() && !settings.leave_packages {
        let message = format!("packages exist that nothing would manage anymore: {}", packages.join(", "));
        let hint = "delete them with `airlock delete packages`, or give --leave-packages";
        return Err(Usage { message, hint }.into());
    }
    let end = Instant::now() + settings.timeout;
    let mut gone = Vec::new();
    let mut manifests = granted(client).await?;
    manifests.extend(Manifests::to_remove(settings.all)?);
    let (namespaces, kept) = namespaces(client).await?;
    if settings.all {
        manifests.extend(namespaces);
    }
    let idle = if settings.all { Vec::new() } else { policies(client).await? };
    for manifest in manifests {
        if deleted(client, &manifest, settings, end).await? {
            let kind = manifest["kind"].as_str().unwrap_or_default().to_lowercase();
            gone.push(format!("{kind}/{}", manifest["metadata"]["name"].as_str().unwrap_or_default()));
        }
    }
    if let Some(work) = work {
        work.evidence("objects", &gone.len());
        work.done()?;
    }
    if !idle.is_empty() {
        printer.complain(&format!(
            "warning: these policies remain, but are no longer enforced: {}",
            idle.join(", ")
        ));
    }
    if settings.all && !kept.is_empty() {
        printer.say(&format!(
            "kept, because airlock did not create it: namespace/{}",
            kept.join(", namespace/")
        ));
    }
    let value = json!({ "deleted": gone, "dryRun": settings.dry_run });
    let note = if settings.dry_run { " (dry run)" } else { "" };
    printer.result(&value, |_| gone.iter().map(|name| format!("{name} deleted{note}\n")).collect())?;
    Ok(Status::Done)
}

/// Deletes an object and waits until it is gone. Returns false if it did not exist.
async fn deleted(
    client: &Client,
    manifest: &Value,
    settings: &UninstallController,
    end: Instant,
) -> anyhow::Result<bool> {
    let (object, resource) = object(manifest)?;
    let api = api(client, &object, &resource);
    let name = object.metadata.name.clone().unwrap_or_default();
    let doing = format!("deleting {}", object_name(&object));
    let params = DeleteParams { dry_run: settings.dry_run, ..DeleteParams::background() };
    match api.delete(&name, &params).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
        Err(error) => return Err(api_error(&doing, &error)),
    }
    while !settings.dry_run && api.get_opt(&name).await.map_err(|error| api_error(&doing, &error))?.is_some()
    {
        anyhow::ensure!(
            Instant::now() < end,
            "{} is marked for deletion, but still exists after the timeout",
            object_name(&object)
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(true)
}

/// What `airlock package rights --apply` granted: bindings first.
async fn granted(client: &Client) -> anyhow::Result<Vec<Value>> {
    let api_error = |error| api_error("listing granted permissions", &error);
    let ours = ListParams::default().labels("app.kubernetes.io/part-of=airlock");
    let bindings = Api::<ClusterRoleBinding>::all(client.clone()).list(&ours).await.map_err(api_error)?;
    let roles = Api::<ClusterRole>::all(client.clone()).list(&ours).await.map_err(api_error)?;
    let named = |kind: &'static str, names: Vec<String>| {
        let names = names.into_iter().filter(|name| name.starts_with(ROLES));
        names.map(move |name| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name } }))
    };
    let bindings = named("ClusterRoleBinding", bindings.iter().map(kube::ResourceExt::name_any).collect());
    let everywhere =
        bindings.chain(named("ClusterRole", roles.iter().map(kube::ResourceExt::name_any).collect()));
    let mut gone: Vec<_> = everywhere.collect();
    let bindings = Api::<RoleBinding>::all(client.clone()).list(&ours).await.map_err(api_error)?;
    let roles = Api::<Role>::all(client.clone()).list(&ours).await.map_err(api_error)?;
    gone.extend(bindings.iter().filter_map(|binding| namespaced("RoleBinding", binding)));
    gone.extend(roles.iter().filter_map(|role| namespaced("Role", role)));
    Ok(gone)
}

/// A role for packages in a namespace, or its binding.
fn namespaced(kind: &str, object: &impl kube::ResourceExt) -> Option<Value> {
    let (name, namespace) = (object.name_any(), object.namespace());
    let metadata = json!({ "name": name, "namespace": namespace });
    name.starts_with(ROLES)
        .then(|| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata }))
}

/// Namespaces of clusters' packages: those that an installation created, and the names of others.
async fn namespaces(client: &Client) -> anyhow::Result<(Vec<Value>, Vec<String>)> {
    let found = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await;
    let found = found.map_err(|error| api_error("listing namespaces", &error))?;
    let below = format!("{PACKAGES_NAMESPACE}-");
    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for namespace in found.items.iter().filter(|namespace| namespace.name_any().starts_with(&below)) {
        let name = namespace.name_any();
        if namespace.labels().get("app.kubernetes.io/part-of").is_some_and(|of| of == "airlock") {
            ours.push(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
        } else {
            others.push(name);
        }
    }
    Ok((ours, others))
}

/// Policies that are not enforced once the controller is gone.
async fn policies(client: &Client) -> anyhow::Result<Vec<String>> {
    match Api::<TrustPolicy>::all(client.clone()).list(&ListParams::default()).await {
        Ok(found) => Ok(found.items.iter().map(|policy| policy.name().to_owned()).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(api_error("listing policies", &error)),
    }
}

/// The packages of all clusters, as `namespace/name`.
async fn packages(client: &Client) -> anyhow::Result<Vec<String>> {
    let api: Api<Package> = Api::all(client.clone());
    match api.list(&ListParams::default()).await {
        Ok(found) => {
            let name = |package: &Package| format!("{}/{}", package.namespace(), package.name());
            Ok(found.items.iter().map(name).collect())
        }
        // Without the CRD, no packages exist.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(api_error("listing packages", &error)),
    }
}
