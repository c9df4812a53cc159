//! Arguments of `airlock controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::address::listen;

/// The parts of the controller.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Admission
    Webhooks,
    /// Installing packages
    Packages,
}

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
    /// The key that may sign package bundles: the base64 of its DER form, not a file. Default without a trust file: AWS's keys.
    #[arg(long, value_name = "BASE64", env = "EKSA_PUBLIC_KEY", conflicts_with = "bundle_trust")]
    pub(crate) bundle_key: Option<String>,
    /// How often installed objects are compared with the applied manifests, such as 10m.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) drift_interval: package_api::GoDuration,
    /// Run only this part. Default: both. In the cluster, each part runs in its own container.
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<Part>,
}
