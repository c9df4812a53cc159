//! `airlock controller`.

use futures::FutureExt as _;
use package_controller::keys::KeySource;
use package_controller::run::{Duty, Settings, run as run_controller};
use registry::client::{ClientConfig, HostRule};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Controller, Part};
use crate::commands::read;
use crate::failure::Status;
use crate::logged::Logs;

pub(crate) async fn run(settings: Controller, logs: &Logs) -> anyhow::Result<Status> {
    let ca_pem = settings.registry_ca.as_deref().map(read).transpose()?.map(String::into_bytes);
    let hosts = settings.registry.clone().map(|host| HostRule {
        endpoint: host.clone(),
        host,
        prefix: None,
        plain_http: settings.plain_http,
        ca_pem,
    });
    let registry = ClientConfig {
        hosts: hosts.into_iter().collect(),
        docker_config: settings.docker_config,
        ..ClientConfig::default()
    };
    let settings = Settings {
        kubeconfig: settings.kubeconfig,
        cluster: settings.cluster_name,
        identity: settings.identity,
        namespace: settings.namespace,
        service: settings.service,
        webhooks: settings.webhook_listen,
        webhook_url: settings.webhook_url,
        health: settings.health_listen,
        version: format!("v{}", env!("CARGO_PKG_VERSION")),
        registry,
        mirror: settings.registry,
        keys: match (settings.bundle_trust, settings.bundle_key) {
            (Some(file), _) => KeySource::File(file),
            (None, Some(key)) if !key.is_empty() => KeySource::Key(key),
            (None, _) => KeySource::Aws,
        },
        audit: logs.named.clone(),
        drift: settings.drift_interval.get(),
        duty: match settings.only {
            None => Duty::All,
            Some(Part::Webhooks) => Duty::Webhooks,
            Some(Part::Packages) => Duty::Packages,
        },
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => (),
            _ = tokio::signal::ctrl_c() => (),
        }
    };
    Box::pin(run_controller(settings, stop.boxed())).await?;
    Ok(Status::Done)
}
