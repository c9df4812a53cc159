//! Commands that change the packages of a cluster. Each is logged as an event.

pub(super) mod delete;

use anyhow::Context as _;
use audit::EventType;
use error_class::{Class, Classified as _};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{
    AIRLOCK_GROUP, BundleName, EKS_GROUP, Package, PackageBundle, PackageBundleController, PackageSpec,
};
use serde_json::{Map, Value, json};

pub(crate) use delete::delete;

use super::reach::{
    ApplyResult, Change, ClusterError, MANAGER, api, api_error, applied, connect, object, object_name,
};
use super::show::{active_bundle, listed, settings as settings_of};
use crate::cli::{FromFile, InstallPackage, UpgradePackages};
use crate::failure::{Status, Usage, unusable};
use crate::files::read;
use crate::logged::{Logs, Work};
use crate::printer::Printer;

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
    let mut work = logs.begin_in_cluster(EventType::PackageChange, ("package", name), None, printer)?;
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

pub(crate) async fn install(
    settings: &InstallPackage,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let mut work = begin("install", &settings.package_name, settings.dry_run, logs, printer)?;
    let result = install_package(settings, &mut work, printer).await;
    end(work, result)
}

async fn install_package(
    settings: &InstallPackage,
    work: &mut Option<Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let bundle = active_bundle(&client, &settings.cluster.cluster).await?;
    let Some(offered) = bundle.spec.package(&settings.package) else {
        let names: Vec<_> = bundle.spec.packages.iter().map(|package| package.name.as_str()).collect();
        let message =
            format!("`{}` has no package `{}`, only {}", bundle.name(), settings.package, names.join(", "));
        return Err(ClusterError::missing(message, None));
    };
    let spec = PackageSpec {
        package_name: offered.name.clone(),
        package_version: None,
        config: config(&settings.set)?,
        target_namespace: settings.target_namespace.clone(),
    };
    let mut package = Package::new(&settings.package_name, spec);
    package.metadata.namespace = Some(cluster_namespace(&settings.cluster.cluster));
    let change = Change::of(settings.dry_run);
    let after = created(&client, &serde_json::to_value(&package)?, change).await?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
        work.evidence("package", &offered.name);
        work.evidence("bundle", bundle.name());
    }
    done(work)?;
    let line = Line {
        object: object_name(&after),
        namespace: after.metadata.namespace.clone(),
        did: ApplyResult::Created,
    };
    printed(&vec![line], change, printer)
}

/// The values of `--set` as a YAML document: dots separate nested maps; `true` and `false` are booleans, all other
/// values are strings, as with `eksctl anywhere`.
fn config(settings: &[(String, String)]) -> anyhow::Result<Option<String>> {
    let mut all = Map::new();
    for (key, value) in settings {
        let value = match value.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            text => json!(text),
        };
        let clash = || Usage {
            message: format!("`{key}` is set twice, or together with a key below it"),
            hint: "set each key once; dots separate nested maps",
        };
        let (path, last) =
            key.rsplit_once('.').map_or((None, key.as_str()), |(path, last)| (Some(path), last));
        let mut table = &mut all;
        for part in path.into_iter().flat_map(|path| path.split('.')) {
            let below = table.entry(part).or_insert_with(|| json!({}));
            table = below.as_object_mut().ok_or_else(clash)?;
        }
        if table.insert(last.to_owned(), value).is_some() {
            return Err(clash().into());
        }
    }
    Ok((!all.is_empty()).then(|| gostd::yaml::write(&Value::Object(all))))
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
    use super::*;

    #[test]
    fn settings_become_a_document() {
        let set = |pairs: &[(&str, &str)]| {
            config(
                &pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(set(&[]).unwrap(), None);
        let text = set(&[("a.b", "true"), ("a.c", "1"), ("d", "x")]).unwrap().unwrap();
        assert_eq!(text, "a:\n  b: true\n  c: \"1\"\nd: x\n");
        assert!(set(&[("a", "1"), ("a.b", "2")]).is_err() && set(&[("a", "1"), ("a", "2")]).is_err());
    }

    #[test]
    fn a_bundle_is_older_by_its_name_and_not_because_it_differs() {
        let wanted: BundleName = "v1-36-2026-03-12-1773300000".parse().unwrap();
        assert!(older("v1-36-2026-03-13-1773386400", &wanted).is_some());
        for active in ["", "v1-36-7", "v1-36-2026-03-12-1773300000", "v1-35-2026-09-12-1789200000"] {
            assert_eq!(older(active, &wanted), None, "{active}");
        }
    }

    #[test]
    fn only_kinds_of_a_cluster_are_accepted() {
        let manifest = |version: &str, kind: &str| json!({ "apiVersion": version, "kind": kind });
        assert!(is_about_packages(&manifest("packages.eks.amazonaws.com/v1alpha1", "Package")));
        assert!(is_about_packages(&manifest("airlock.dev/v1alpha1", "TrustPolicy")));
        assert!(!is_about_packages(&manifest("airlock.dev/v1alpha1", "MirrorConfig")));
        assert!(!is_about_packages(&manifest("v1", "Pod")) && !is_about_packages(&json!(1)));
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
