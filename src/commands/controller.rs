//! `airlock controller`.

use admission::keys::{BundleKeys, KeySource};
use futures::FutureExt as _;
use package_controller::run::run as run_controller;
use package_controller::{Duty, Settings};
use registry::client::{ClientConfig, HostRule};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Controller, Part};
use crate::commands::image::proxies;
use crate::commands::read;
use crate::failure::{Status, Usage};
use crate::logged::Logs;

pub(crate) async fn run(settings: Controller, logs: &Logs) -> anyhow::Result<Status> {
    check_arguments(&settings)?;
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
        proxies: proxies(),
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

/// Checks the arguments.
fn check_arguments(settings: &Controller) -> Result<(), Usage> {
    let key = settings.bundle_key.as_ref().filter(|key| !key.is_empty() && settings.bundle_trust.is_none());
    if key.is_some_and(|key| BundleKeys::load(&KeySource::Key(key.clone())).is_err()) {
        return Err(Usage {
            message: "`--bundle-key` or `EKSA_PUBLIC_KEY` is not a public key".to_owned(),
            hint: "give the key itself, the base64 of its DER form; for a trust file, use `--bundle-trust FILE`",
        });
    }
    let is_url = |url: &str| {
        url.strip_prefix("https://").is_some_and(|rest| !rest.starts_with(['/', ':']) && !rest.is_empty())
    };
    match &settings.webhook_url {
        Some(url) if !is_url(url) => Err(Usage {
            message: format!("`{url}` is not a valid `--webhook-url`"),
            hint: "give https://HOST:PORT, at which the API server reaches the webhooks",
        }),
        _ => Ok(()),
    }
}
