//! Commands that change the packages of a cluster. Each is logged as an event.

pub(super) mod delete;
pub(super) mod install;
pub(super) mod upgrade;

use std::path::PathBuf;

use anyhow::Context as _;
use audit::EventType;
use clap::Args;
use error_class::{Class, Classified as _};
use kube::Client;
use kube::api::PostParams;
use package_api::{AIRLOCK_GROUP, EKS_GROUP};
use serde_json::Value;

pub(crate) use self::delete::delete;
pub(crate) use self::install::install;
pub(crate) use self::upgrade::upgrade;
use super::reach::{
    ApplyResult, Change, ClusterError, MANAGER, api, api_error, applied, connect, object, object_name,
};
use crate::cli::ReachArg;
use crate::failure::{Status, Usage, unusable};
use crate::files::read;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

/// Packages from a file.
#[derive(Args, Debug)]
pub(crate) struct FromFile {
    /// Manifests, YAML; `-` is standard input.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// One change, as it is printed.
#[derive(serde::Serialize)]
struct Line {
    object: String,
    namespace: Option<String>,
    did: ApplyResult,
}

/// Logs work on packages, unless it is a dry run.
fn begin<'a>(
    verb: &str,
    name: &str,
    dry_run: bool,
    logs: &'a Logs,
    printer: &'a Printer,
) -> anyhow::Result<Option<Work<'a>>> {
    if dry_run {
        return Ok(None);
    }
    let mut work = logs.begin_in_cluster(EventType::PackageChange, "package", name, None, printer)?;
    work.evidence("verb", verb);
    Ok(Some(work))
}

/// Ends the logged work, if there is any.
fn end(work: Option<Work<'_>>, result: anyhow::Result<Status>) -> anyhow::Result<Status> {
    match work {
        Some(work) => work.end(result),
        None => result,
    }
}

/// Logs success, before it is printed.
fn done(work: &mut Option<Work<'_>>) -> anyhow::Result<()> {
    work.as_mut().map_or(Ok(()), Work::done)
}

pub(crate) async fn create(settings: &FromFile, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    from_file("create", settings, logs, printer).await
}

pub(crate) async fn apply(settings: &FromFile, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    from_file("apply", settings, logs, printer).await
}

async fn from_file(
    verb: &str,
    settings: &FromFile,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let name = settings.file.display().to_string();
    let mut work = begin(verb, &name, settings.dry_run, logs, printer)?;
    let result = change_objects(verb, settings, &mut work, printer).await;
    end(work, result)
}

async fn change_objects(
    verb: &str,
    settings: &FromFile,
    work: &mut Option<Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let manifests = manifests(settings)?;
    if let Some(work) = work {
        let text = serde_json::to_vec(&manifests)?;
        work.digests([oci::Digest::sha256(&text).to_string()]);
    }
    let client = connect(&settings.reach).await?;
    let change = Change::of(settings.dry_run);
    let (mut lines, mut refused) = (Vec::new(), Vec::new());
    for manifest in &manifests {
        let made = match verb {
            "create" => created(&client, manifest, change).await.map(|after| (after, ApplyResult::Created)),
            _ => applied(&client, manifest, MANAGER, change).await,
        };
        match made {
            Ok((after, did)) => {
                lines.push(Line {
                    object: object_name(&after),
                    namespace: after.metadata.namespace.clone(),
                    did,
                });
            }
            // A refused object does not stop the others, as with `kubectl`.
            Err(error) if is_object_error(&error) => refused.push(error),
            Err(error) => return Err(error),
        }
    }
    if let Some(work) = work {
        let names: Vec<_> = lines.iter().map(|line| line.object.as_str()).collect();
        work.evidence("objects", &names.join(" "));
    }
    let Some(last) = refused.pop() else {
        done(work)?;
        return printed(&lines, change, printer);
    };
    if !lines.is_empty() {
        printed(&lines, change, printer)?;
    }
    for error in refused {
        printer.complain(&format!("error: {error}"));
    }
    Err(last)
}

/// Whether the API server refused this object, rather than the user.
fn is_object_error(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClusterError>().is_some_and(|error| error.class() != Class::Network)
}

fn printed(lines: &Vec<Line>, change: Change, printer: &Printer) -> anyhow::Result<Status> {
    printer.result(lines, |lines| {
        lines.iter().map(|line| format!("{} {}{}\n", line.object, line.did.as_str(), change.note())).collect()
    })?;
    Ok(Status::Done)
}

/// The documents of a file. Only kinds about packages are accepted.
fn manifests(settings: &FromFile) -> anyhow::Result<Vec<Value>> {
    let text = if settings.file.as_os_str() == "-" {
        let all = input::read_from(std::io::stdin().lock(), input::MAX_SIZE).and_then(input::text);
        all.context("cannot read standard input")?
    } else {
        read(&settings.file)?
    };
    let documents = gostd::yaml::documents(&text, &gostd::Limits::default());
    let mut all = documents.map_err(unusable(format!("`{}` is not YAML", settings.file.display())))?;
    all.retain(|document| !document.is_null());
    for document in &all {
        if !is_about_packages(document) {
            let kind = document["kind"].as_str().unwrap_or("a document without a kind");
            let message =
                format!("`{}` contains {kind}, which is not about packages", settings.file.display());
            return Err(Usage { message, hint: OTHER_KINDS_HINT }.into());
        }
    }
    if all.is_empty() {
        let message = format!("`{}` contains no manifest", settings.file.display());
        return Err(Usage { message, hint: "`airlock generate package` prints a starter manifest" }.into());
    }
    Ok(all)
}

/// The hint about other manifests.
const OTHER_KINDS_HINT: &str = "only Package, PackageBundle, PackageBundleController and TrustPolicy are accepted; apply \
                                other objects with `kubectl apply`";

/// Whether a manifest is of a cluster's kinds about packages. airlock's own files have its API group, too.
fn is_about_packages(manifest: &Value) -> bool {
    let version = manifest["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    match manifest["kind"].as_str() {
        Some("Package" | "PackageBundle" | "PackageBundleController") => group == EKS_GROUP,
        Some("TrustPolicy") => group == AIRLOCK_GROUP,
        _ => false,
    }
}

async fn created(
    client: &Client,
    manifest: &Value,
    change: Change,
) -> anyhow::Result<kube::api::DynamicObject> {
    let (object, resource) = object(manifest)?;
    let params = PostParams { dry_run: change == Change::Checked, field_manager: Some(MANAGER.to_owned()) };
    let doing = format!("creating {}", object_name(&object));
    let api = api(client, &object, &resource);
    api.create(&params, &object).await.map_err(|error| api_error(&doing, &error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_kinds_of_a_cluster_are_accepted() {
        let manifest = |version: &str, kind: &str| json!({ "apiVersion": version, "kind": kind });
        assert!(is_about_packages(&manifest("packages.eks.amazonaws.com/v1alpha1", "Package")));
        assert!(is_about_packages(&manifest("airlock.dev/v1alpha1", "TrustPolicy")));
        assert!(!is_about_packages(&manifest("airlock.dev/v1alpha1", "MirrorConfig")));
        assert!(!is_about_packages(&manifest("v1", "Pod")) && !is_about_packages(&json!(1)));
    }
}
