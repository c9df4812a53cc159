//! The controller in the cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::address::listen;

/// What a controller can be for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Part {
    /// Admission
    Webhooks,
    /// Installing packages
    Packages,
}

/// How the controller runs. In its pod the defaults are right.
#[derive(Debug, Args)]
pub(crate) struct Controller {
    /// The kubeconfig; the pod's service account unless given.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The management cluster's name.
    #[arg(long, value_name = "NAME", env = "CLUSTER_NAME")]
    pub(crate) cluster_name: String,
    /// This replica's name.
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value = "airlock")]
    pub(crate) identity: String,
    /// The namespace that it runs in.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "eksa-packages")]
    pub(crate) namespace: String,
    /// The service that the API server reaches the webhooks by.
    #[arg(long, value_name = "NAME", default_value = "airlock-webhook")]
    pub(crate) service: String,
    /// Where webhooks are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443", value_parser = listen)]
    pub(crate) webhook_listen: SocketAddr,
    /// How the API server reaches the webhooks when it cannot use the service, as https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) webhook_url: Option<String>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081", value_parser = listen)]
    pub(crate) health_listen: SocketAddr,
    /// The registry that serves everything, as HOST or HOST:PORT.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<oci::RegistryHost>,
    /// The authority of the registry's certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "registry")]
    pub(crate) registry_ca: Option<PathBuf>,
    /// Speak plain HTTP to the registry.
    #[arg(long, requires = "registry", conflicts_with = "registry_ca")]
    pub(crate) plain_http: bool,
    /// Docker's config.json with the registry's password.
    #[arg(long, value_name = "FILE")]
    pub(crate) docker_config: Option<PathBuf>,
    /// The keys that may sign bundles of packages: a trust file.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_trust: Option<PathBuf>,
    /// The one key that may sign bundles of packages: the key itself, base64 of its DER form, and no file. AWS's keys,
    /// when neither is given.
    #[arg(long, value_name = "BASE64", env = "EKSA_PUBLIC_KEY", conflicts_with = "bundle_trust")]
    pub(crate) bundle_key: Option<String>,
    /// How often what is installed is compared with what was applied, as 10m.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub(crate) drift_interval: package_api::GoDuration,
    /// Do this alone; both unless given. In the cluster each has a container of its own.
    #[arg(long, value_name = "PART")]
    pub(crate) only: Option<Part>,
}
