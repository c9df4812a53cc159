//! What the webhooks work with.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use oci::RegistryHost;
use telemetry::Telemetry;

use crate::keys::KeySource;

/// The webhooks' arguments.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The management cluster's name (`CLUSTER_NAME`).
    pub cluster: String,
    /// This replica's name, by which it finds itself behind the service.
    pub identity: String,
    /// The namespace that the process runs in: its certificates are there.
    pub namespace: String,
    /// The service that the API server reaches the webhooks by.
    pub service: String,
    /// Where webhooks are served.
    pub webhooks: SocketAddr,
    /// How the API server reaches the webhooks from outside of the cluster, instead of by the service.
    pub webhook_url: Option<String>,
    /// The host that stands for every registry that images name, when one mirror serves them all.
    pub mirror: Option<RegistryHost>,
    /// Whose signature on a bundle of packages counts.
    pub keys: KeySource,
}

/// Says whether this replica leads, in this process or in another container of its pod.
pub type Leads = Arc<dyn Fn() -> BoxFuture<'static, kube::Result<bool>> + Send + Sync>;

/// What the webhooks work with.
#[derive(Clone)]
pub struct Context {
    /// Their arguments.
    pub settings: Arc<Settings>,
    /// The management cluster.
    pub kube: Client,
    /// Registries.
    pub registry: registry::client::Client,
    /// Health, readiness and metrics.
    pub telemetry: Telemetry,
    /// When replicas have different services in their arguments, the one that leads decides.
    pub leads: Leads,
}
