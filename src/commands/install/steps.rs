//! The installation's requests to the API server, and waiting for their effects.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use package_api::name::{PACKAGES_NAMESPACE, SYSTEM_NAMESPACE};
use package_api::{PackageBundle, PackageBundleSpec};
use serde_json::Value;

use crate::commands::cluster::reach::{ApplyResult, Change, api_error, applied, object_name};

/// The field manager of the installation; commands for single changes use another.
const MANAGER: &str = "airlock-install";
/// The controller's Deployment.
const DEPLOYMENT: &str = "airlock-controller";
/// The polling interval.
const PAUSE: Duration = Duration::from_millis(300);

/// The result for one object.
#[derive(serde::Serialize)]
pub(super) struct Line {
    pub(super) object: String,
    pub(super) did: ApplyResult,
}

/// Applies manifests, in order.
pub(super) async fn apply(client: &Client, manifests: &[Value], lines: &mut Vec<Line>) -> anyhow::Result<()> {
    for manifest in manifests {
        let (after, did): (DynamicObject, ApplyResult) =
            applied(client, manifest, MANAGER, Change::Made).await?;
        lines.push(Line { object: object_name(&after), did });
    }
    Ok(())
}

/// Whether this cluster manages others.
pub(super) async fn manages_workload_clusters(client: &Client) -> anyhow::Result<bool> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_opt(SYSTEM_NAMESPACE).await;
    Ok(found.map_err(|error| api_error("looking for other clusters", &error))?.is_some())
}

/// Waits until the API server serves the CRDs.
pub(super) async fn established(client: &Client, crds: &[Value], end: Instant) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds.iter().filter(|manifest| manifest["kind"] == "CustomResourceDefinition") {
        let name = crd["metadata"]["name"].as_str().unwrap_or_default();
        loop {
            let found = api.get(name).await.map_err(|error| api_error("waiting for the CRDs", &error))?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
            {
                break;
            }
            check_deadline(end, || format!("the CRD `{name}` is not served"))?;
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Waits until every replica of the controller is up to date and ready.
pub(super) async fn ready(client: &Client, end: Instant) -> anyhow::Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), PACKAGES_NAMESPACE);
    loop {
        let found =
            api.get(DEPLOYMENT).await.map_err(|error| api_error("waiting for the controller", &error))?;
        let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = found.status.unwrap_or_default();
        let seen = status.observed_generation >= found.metadata.generation;
        let are = |count: Option<i32>| count == Some(wanted);
        if seen && are(status.updated_replicas) && are(status.ready_replicas) && are(status.replicas) {
            return Ok(());
        }
        if Instant::now() >= end {
            let reasons = unready_reasons(client).await.unwrap_or_default();
            let ready = status.ready_replicas.unwrap_or_default();
            anyhow::bail!(
                "the controller is not ready in time: {ready} of {wanted} replicas are ready{reasons}"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The reasons why pods of the controller are not ready.
async fn unready_reasons(client: &Client) -> anyhow::Result<String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), PACKAGES_NAMESPACE);
    let own =
        ListParams::default().labels("app.kubernetes.io/name=airlock,app.kubernetes.io/component=controller");
    let mut out = String::new();
    for pod in api.list(&own).await?.items {
        let name = pod.metadata.name.unwrap_or_default();
        let status = pod.status.unwrap_or_default();
        for container in status.container_statuses.iter().flatten() {
            let state = container.state.as_ref();
            let waiting = state.and_then(|state| state.waiting.as_ref());
            let ended = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let status = waiting.map(|waiting| (waiting.reason.clone(), waiting.message.clone()));
            if let Some((reason, message)) = status {
                let _ =
                    write!(out, "; {name}: {} {}", reason.unwrap_or_default(), message.unwrap_or_default());
            }
            if let Some(ended) = ended {
                let message = ended.message.as_deref().unwrap_or_default().trim_end();
                let _ = write!(out, "; {name} exited with {}: {message}", ended.exit_code);
            }
        }
        for condition in status.conditions.iter().flatten().filter(|condition| condition.status == "False") {
            if let Some(message) = &condition.message {
                let _ = write!(out, "; {name}: {message}");
            }
        }
    }
    Ok(out)
}

/// Waits until the API server calls the webhook and gets its response: only the webhook refuses this invalid bundle.
/// Nothing is created.
pub(super) async fn answers(client: &Client, end: Instant) -> anyhow::Result<()> {
    let api: Api<PackageBundle> = Api::namespaced(client.clone(), PACKAGES_NAMESPACE);
    let mut probe = PackageBundle::new("airlock-probe", PackageBundleSpec::default());
    probe.metadata.namespace = Some(PACKAGES_NAMESPACE.to_owned());
    let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
    loop {
        let message = match api.create(&params, &probe).await {
            Ok(_) => "the API server does not call the webhook".to_owned(),
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => return Ok(()),
            Err(kube::Error::Api(status)) => status.message,
            Err(error) => return Err(api_error("calling the webhook", &error)),
        };
        check_deadline(end, || format!("the webhook does not answer: {message}"))?;
        tokio::time::sleep(PAUSE).await;
    }
}

fn check_deadline(end: Instant, what: impl FnOnce() -> String) -> anyhow::Result<()> {
    anyhow::ensure!(Instant::now() < end, "{} in time", what());
    Ok(())
}
