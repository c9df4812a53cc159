//! The arguments of the process, and the state that all its parts share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use admission::keys::KeySource;
use kube::Client;
use registry::client::ClientConfig;
use telemetry::Telemetry;

/// The parts that the process runs. In the cluster, each part has a separate process, so that admission is not interrupted
/// when the process that installs packages ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duty {
    /// All parts.
    #[default]
    All,
    /// The webhooks.
    Webhooks,
    /// The package controllers, on the leader among the replicas.
    Packages,
}

/// The arguments of the process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kubeconfig. Default: the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The management cluster's name (`CLUSTER_NAME`).
    pub cluster: String,
    /// The name of this replica, for the lease.
    pub identity: String,
    /// The namespace of the process, its lease and its certificates.
    pub namespace: String,
    /// The service through which the API server calls the webhooks.
    pub service: String,
    /// The address that the webhooks listen on.
    pub webhooks: SocketAddr,
    /// The URL at which the API server calls the webhooks, instead of the service, if they run outside of the cluster.
    pub webhook_url: Option<String>,
    /// The address for `/healthz`, `/readyz` and `/metrics`, without TLS.
    pub health: SocketAddr,
    /// The version of the controller; `development` satisfies every bundle.
    pub version: String,
    /// The configuration of the registry client.
    pub registry: ClientConfig,
    /// The host of the mirror that serves all registries of images and charts, if there is one.
    pub mirror: Option<oci::RegistryHost>,
    /// The trusted keys for package bundles.
    pub keys: KeySource,
    /// The folder of the audit log. Without one, changes are recorded in events and log lines only.
    pub audit: Option<PathBuf>,
    /// The interval of drift detection.
    pub drift: Duration,
    /// The parts that the process runs.
    pub duty: Duty,
}

/// The state that all parts of the process share.
#[derive(Clone)]
pub struct Context {
    /// The arguments.
    pub settings: Arc<Settings>,
    /// The management cluster.
    pub kube: Client,
    /// The registry client.
    pub registry: registry::client::Client,
    /// Health, readiness and metrics.
    pub telemetry: Telemetry,
}
