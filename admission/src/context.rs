//! The arguments and the dependencies of the webhooks.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use oci::RegistryHost;
use telemetry::Telemetry;

use crate::keys::KeySource;

/// The arguments of the webhooks. The controllers use some of them, too.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The management cluster's name (`CLUSTER_NAME`).
    pub cluster: String,
    /// The name of this replica, for the lease, and by which it finds its own endpoint of the service.
    pub identity: String,
    /// The namespace of the process, its lease and its certificates.
    pub namespace: String,
    /// The service through which the API server calls the webhooks.
    pub service: String,
    /// The address that the webhooks listen on.
    pub webhooks: SocketAddr,
    /// The URL at which the API server calls the webhooks, instead of the service, if they run outside of the cluster.
    pub webhook_url: Option<String>,
    /// The host of the mirror that serves all registries of images and charts, if there is one.
    pub mirror: Option<RegistryHost>,
    /// The trusted keys for package bundles.
    pub keys: KeySource,
}

/// Returns whether this replica is the leader, in this process or in another container of its pod.
pub type LeaderCheck = Arc<dyn Fn() -> BoxFuture<'static, kube::Result<bool>> + Send + Sync>;

/// The dependencies of the webhooks.
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
    /// If replicas have different services in their arguments, the leader's value is used.
    pub is_leader: LeaderCheck,
}
