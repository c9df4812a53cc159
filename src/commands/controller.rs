//! `airlock controller`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use admission::keys::{BundleKeys, KeySource};
use clap::{Args, ValueEnum};
use futures::FutureExt as _;
use package_controller::run::run as run_controller;
use package_controller::{Duty, Settings};
use registry::client::{ClientConfig, HostRule};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::listen;
use crate::commands::image::proxies;
use crate::failure::{Status, Usage};
use crate::files::read;
use crate::logged::Logs;

/// Arguments of the controller. The defaults are for its pod.
#[derive(Debug, Args)]
pub(crate) struct Controller {
    /// The kubeconfig. Default: the pod's service account.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The name of the management cluster.
    #[arg(long, value_name = "NAME", env = "CLUSTER_NAME")]
    pub(crate) cluster_name: String,
    /// The name of this replica.
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "airlock")]
    pub(crate) identity: String,
    /// The namespace that the controller runs in.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "eksa-packages")]
    pub(crate) namespace: String,
    /// The Service through which the API server calls the webhooks.
    #[arg(long, value_name = "NAME", default_value = "airlock-webhook")]
    pub(crate) service: String,
    /// The address that serves the webhooks.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443", value_parser = listen)]
    pub(crate) webhook_listen: SocketAddr,
    /// The URL at which the API server calls the webhooks instead of the Service, as https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook_url: Option<String>,
    /// The address that serves /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081", value_parser = listen)]
    pub(crate) health_listen: SocketAddr,
    /// The registry that serves all content, as HOST or HOST:PORT.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<oci::RegistryHost>,
    /// The CA of the registry's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "registry")]
    pub(crate) registry_ca: Option<PathBuf>,
    /// Use plain HTTP for the registry.
    #[arg(long, requires = "registry", conflicts_with = "registry_ca")]
    pub(crate) plain_http: bool,
    /// A Docker config.json with the registry password.
    #[arg(long, value_name = "FILE")]
    pub(crate) docker_config: Option<PathBuf>,
    /// A trust file with the keys that may sign package bundles.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_trust: Option<PathBuf>,
    /// The public key that may sign package bundles: its DER form in base64, not a file. Default without a trust file: AWS's keys.
    #[arg(long, value_name = "BASE64", env = "EKSA_PUBLIC_KEY", conflicts_with = "bundle_trust")]
    pub(crate) bundle_key: Option<String>,
    /// How often installed objects are compared with the applied manifests, such as 10m.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) drift_interval: package_api::GoDuration,
    /// Run only this part. Default: both. In the cluster, each part runs in its own container.
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<Part>,
}

/// The parts of the controller.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Admission
    Webhooks,
    /// Installing packages
    Packages,
}

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
    let process = admission::Settings {
        cluster: settings.cluster_name,
        identity: settings.identity,
        namespace: settings.namespace,
        service: settings.service,
        webhooks: settings.webhook_listen,
        webhook_url: settings.webhook_url,
        mirror: settings.registry,
        keys: match (settings.bundle_trust, settings.bundle_key) {
            (Some(file), _) => KeySource::File(file),
            (None, Some(key)) if !key.is_empty() => KeySource::Key(key),
            (None, _) => KeySource::Aws,
        },
    };
    let settings = Settings {
        kubeconfig: settings.kubeconfig,
        process: Arc::new(process),
        health: settings.health_listen,
        version: format!("v{}", env!("CARGO_PKG_VERSION")),
        registry,
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
