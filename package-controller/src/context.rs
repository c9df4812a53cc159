//! The arguments of the process, and the state that all its parts share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    /// Who and where the process is, and how it verifies: the webhooks use these arguments, too.
    pub process: Arc<admission::Settings>,
    /// The address for `/healthz`, `/readyz` and `/metrics`, without TLS.
    pub health: SocketAddr,
    /// The version of the controller; `development` satisfies every bundle.
    pub version: String,
    /// The configuration of the registry client.
    pub registry: ClientConfig,
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
