//! The process's arguments, and what all its parts share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use admission::keys::KeySource;
use kube::Client;
use registry::client::ClientConfig;
use telemetry::Telemetry;

/// What the process is for. In the cluster each part has a process of its own, so that admission does not pause when
/// the one that installs packages ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duty {
    /// Both.
    #[default]
    All,
    /// Webhooks.
    Webhooks,
    /// Packages, by turns with other replicas.
    Packages,
}

/// The process's arguments.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kubeconfig; that of the pod, when absent.
    pub kubeconfig: Option<PathBuf>,
    /// The management cluster's name (`CLUSTER_NAME`).
    pub cluster: String,
    /// This replica's name, for the lease.
    pub identity: String,
    /// The namespace that the process runs in: its lease and its certificates are there.
    pub namespace: String,
    /// The service that the API server reaches the webhooks by.
    pub service: String,
    /// Where webhooks are served.
    pub webhooks: SocketAddr,
    /// How the API server reaches the webhooks from outside of the cluster, instead of by the service.
    pub webhook_url: Option<String>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served, in the clear.
    pub health: SocketAddr,
    /// The controller's own version; `development` satisfies every bundle.
    pub version: String,
    /// How registries are reached.
    pub registry: ClientConfig,
    /// The host that stands for every registry that images and charts name, when one mirror serves them all.
    pub mirror: Option<oci::RegistryHost>,
    /// Whose signature on a bundle of packages counts.
    pub keys: KeySource,
    /// The folder of the audit log. Without one, events and log lines tell what was done.
    pub audit: Option<PathBuf>,
    /// How often what is installed is compared with what was applied.
    pub drift: Duration,
    /// What the process is for.
    pub duty: Duty,
}

/// What all parts of the process share.
#[derive(Clone)]
pub struct Context {
    /// The arguments.
    pub settings: Arc<Settings>,
    /// The management cluster.
    pub kube: Client,
    /// Registries.
    pub registry: registry::client::Client,
    /// Health, readiness and metrics.
    pub telemetry: Telemetry,
}
