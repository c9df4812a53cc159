//! The `PackageBundleController` of each cluster: the active bundle, and whether a newer one exists.
//!
//! An unreachable registry does not affect bundles in the cluster.

use std::sync::Arc;
use std::time::Duration;

use error_text::one_line;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use package_api::conditions::{self, Condition, ConditionStatus};
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{
    BundleName, ControllerState, GoDuration, PackageBundle, PackageBundleController,
    PackageBundleControllerSpec, PackageBundleControllerStatus,
};
use serde_json::json;

use super::shared::Shared;
use super::status::{self, now};
use super::{bundles, discover};
use crate::bundle::{self, Decision, Observation};
use crate::error::{Error, Result};

/// The defaults in the CRD.
const INTERVAL: Duration = Duration::from_hours(24);
const SHORT_INTERVAL: Duration = Duration::from_hours(1);

/// Observes a cluster, and writes the decision.
pub(super) async fn reconcile(settings: Arc<PackageBundleController>, shared: Arc<Shared>) -> Result<Action> {
    if settings.namespace() != PACKAGES_NAMESPACE {
        let found = Observation { cluster: Ok(()), latest: Err(""), active_is_present: false };
        write(&shared, &settings, &bundle::decide(&settings, &found)).await?;
        return Ok(Action::await_change());
    }
    let version = kubernetes(&shared, settings.name()).await;
    let latest = match &version {
        Ok((major, minor)) => newest(&shared, &settings.spec, major, minor).await,
        Err(reason) => Err(reason.clone()),
    };
    let mut active = bundles::active(&shared, &settings.spec);
    if active.is_err() && latest.is_ok() {
        fetch_active(&shared, &settings.spec).await?;
        active = bundles::active(&shared, &settings.spec);
    }
    let found = Observation {
        cluster: version.as_ref().map(drop).map_err(String::as_str),
        latest: latest.as_ref().map_err(String::as_str),
        active_is_present: active.is_ok(),
    };
    let mut decision = bundle::decide(&settings, &found);
    let active_name = settings.spec.active_bundle.as_deref().unwrap_or_default();
    if let (Err(reason), false, true) = (&active, active_name.is_empty(), decision.detail.is_empty()) {
        decision.detail.clone_from(reason);
    }
    let settings = match &decision.activate {
        Some(name) => Arc::new(activate(&shared, &settings, name).await?),
        None => settings,
    };
    create_namespace(&shared, settings.name()).await?;
    write(&shared, &settings, &decision).await?;
    let all_well = version.is_ok() && latest.is_ok();
    Ok(Action::requeue(pause(&shared, &settings, all_well)))
}

/// The pause until the next check. After an error, it starts short and grows up to the short interval.
fn pause(shared: &Shared, settings: &PackageBundleController, all_well: bool) -> Duration {
    let read = |text: &Option<String>, default| {
        let read = text.as_deref().and_then(|text| text.parse::<GoDuration>().ok());
        read.map_or(default, GoDuration::get)
    };
    let key = format!("settings/{}", settings.name());
    if all_well {
        shared.failures.reset(&key);
        return read(&settings.spec.upgrade_check_interval, INTERVAL).max(Duration::from_secs(1));
    }
    let limit = read(&settings.spec.upgrade_check_short_interval, SHORT_INTERVAL);
    shared.failures.next_pause(key, limit.max(Duration::from_secs(1)))
}

async fn kubernetes(shared: &Shared, cluster: &str) -> Result<(String, String), String> {
    let target = shared.clusters.target(cluster).await.map_err(|error| error.message().to_owned())?;
    let version = target.client.apiserver_version().await;
    let version =
        version.map_err(|error| format!("getting server version of {cluster}: {}", one_line(&error)))?;
    Ok((version.major, version.minor))
}

/// The newest bundle in the registry for a Kubernetes version. It is created in the cluster.
async fn newest(
    shared: &Shared,
    settings: &PackageBundleControllerSpec,
    major: &str,
    minor: &str,
) -> Result<BundleName, String> {
    let number = |text: &str| {
        let number = text.trim_end_matches('+').parse::<u64>();
        number.map_err(|_| format!("the cluster's version `{major}.{minor}` is invalid"))
    };
    let tag = BundleName::latest_tag(number(major)?, number(minor)?);
    let found = discover::bundle(&shared.context, settings, &tag).await?;
    let name: BundleName = found.name().parse().map_err(|error: package_api::Error| error.to_string())?;
    if !name.is_for(major, minor) {
        return Err(format!("the bundle under `{tag}` is {name}, for another Kubernetes version"));
    }
    create(shared, found)
        .await
        .map_err(|error| format!("creating the bundle {name}: {}", one_line(&error)))?;
    Ok(name)
}

/// Creates a bundle unless one with its name exists. Admission verifies its signature again.
async fn create(shared: &Shared, found: PackageBundle) -> kube::Result<()> {
    let key = kube::runtime::reflector::ObjectRef::from_obj(&found);
    if shared.state.bundles.get(&key).is_some() {
        return Ok(());
    }
    let metadata = ObjectMeta {
        name: found.metadata.name.clone(),
        namespace: found.metadata.namespace.clone(),
        annotations: found.metadata.annotations.clone(),
        labels: found.metadata.labels.clone(),
        ..ObjectMeta::default()
    };
    let api = Api::<PackageBundle>::namespaced(shared.context.kube.clone(), PACKAGES_NAMESPACE);
    let made = PackageBundle { metadata, status: None, ..found };
    match api.create(&PostParams::default(), &made).await {
        Ok(_) => {
            tracing::info!(bundle = made.name_any(), "created the bundle from the registry");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates the active bundle from the registry if it does not exist in the cluster.
async fn fetch_active(shared: &Shared, settings: &PackageBundleControllerSpec) -> Result<()> {
    let name = settings.active_bundle.as_deref().unwrap_or_default();
    let key = kube::runtime::reflector::ObjectRef::new(name).within(PACKAGES_NAMESPACE);
    if name.is_empty() || shared.state.bundles.get(&key).is_some() {
        return Ok(());
    }
    match discover::bundle(&shared.context, settings, name).await {
        Ok(found) if found.name() == name => create(shared, found).await.map_err(Error::kube),
        Ok(found) => {
            tracing::warn!(
                bundle = name,
                found = found.name(),
                "the tag of the active bundle refers to another bundle"
            );
            Ok(())
        }
        Err(reason) => {
            tracing::warn!(
                bundle = name,
                reason,
                "the active bundle exists neither in the cluster nor in the registry"
            );
            Ok(())
        }
    }
}

async fn activate(
    shared: &Shared,
    settings: &PackageBundleController,
    name: &BundleName,
) -> Result<PackageBundleController> {
    let api = Api::<PackageBundleController>::namespaced(shared.context.kube.clone(), PACKAGES_NAMESPACE);
    let patch = json!({
        "metadata": { "resourceVersion": settings.metadata.resource_version },
        "spec": { "activeBundle": name.as_str() },
    });
    let patched = api.patch(settings.name(), &PatchParams::default(), &Patch::Merge(&patch)).await;
    let patched = patched.map_err(Error::kube)?;
    tracing::info!(cluster = settings.name(), bundle = name.as_str(), "activated the first bundle");
    Ok(patched)
}

/// Creates the namespace for the cluster's packages.
async fn create_namespace(shared: &Shared, cluster: &str) -> Result<()> {
    let name = cluster_namespace(cluster);
    if !shared.namespaces.is_new(&name) {
        return Ok(());
    }
    let api = Api::<Namespace>::all(shared.context.kube.clone());
    if api.get_metadata_opt(&name).await.map_err(Error::kube)?.is_none() {
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let made = api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await;
        match made {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            made => made.map(drop).map_err(Error::kube)?,
        }
    }
    shared.namespaces.add(name);
    Ok(())
}

async fn write(shared: &Shared, settings: &PackageBundleController, decision: &Decision) -> Result<()> {
    let old = settings.status.as_ref();
    let state = decision.state;
    let is = if decision.usable || decision.activate.is_some() {
        ConditionStatus::True
    } else {
        ConditionStatus::False
    };
    let known = old.and_then(|old| old.conditions.as_ref()).into_iter().flatten();
    let known = known.into_iter().find(|known| known.kind == conditions::READY && known.status == is);
    let ready = Condition {
        kind: conditions::READY.to_owned(),
        status: is,
        reason: reason(state).to_owned(),
        message: decision.detail.clone(),
        last_transition_time: known.map_or_else(now, |known| known.last_transition_time.clone()),
        observed_generation: settings.metadata.generation,
    };
    let new = PackageBundleControllerStatus {
        state: Some(state),
        detail: Some(decision.detail.clone()).filter(|detail| !detail.is_empty()),
        spec: Some(settings.spec.clone()),
        conditions: Some(vec![ready]),
    };
    let api = Api::namespaced(shared.context.kube.clone(), settings.namespace());
    let old = old.map_or_else(|| json!({}), |old| json!(old));
    status::write(&api, settings, &old, &json!(new)).await.map_err(Error::kube)?;
    shared.reporter.report_settings(settings, reason(state), &decision.detail).await;
    Ok(())
}

fn reason(state: ControllerState) -> &'static str {
    match state {
        ControllerState::Ignored => "WrongNamespace",
        ControllerState::Active => "Active",
        ControllerState::Disconnected => "Disconnected",
        ControllerState::UpgradeAvailable => "UpgradeAvailable",
    }
}
