//! The cluster that packages are installed in: the management cluster, or a workload cluster by the kubeconfig that
//! the controller uses, too.

use admission::workload;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, PostParams};
use package_api::name::{PACKAGES_NAMESPACE, SYSTEM_NAMESPACE};
use serde_json::{Value, json};

use super::reach::{ClusterError, api_error};

/// A cluster that packages are installed in.
pub(super) struct Target {
    pub(super) client: Client,
    /// Whether another cluster manages it.
    pub(super) is_workload: bool,
}

impl Target {
    /// Finds a cluster by its name, through the management cluster.
    pub(super) async fn of(management: &Client, cluster: &str) -> anyhow::Result<Self> {
        let own = Self { client: management.clone(), is_workload: false };
        let managing = managing(management).await?;
        if managing.as_deref() == Some(cluster) {
            return Ok(own);
        }
        let name = format!("{cluster}-kubeconfig");
        let doing = format!("getting the kubeconfig of cluster `{cluster}`");
        let secrets = Api::<Secret>::namespaced(management.clone(), SYSTEM_NAMESPACE);
        let secret = secrets.get_opt(&name).await.map_err(|error| api_error(&doing, &error))?;
        let Some(secret) = secret else {
            // Without a controller, the name of this cluster is unknown.
            let Some(managing) = managing else { return Ok(own) };
            let message = format!(
                "{doing}: secret `{name}` not found in `{SYSTEM_NAMESPACE}`, and this cluster is `{managing}`"
            );
            return Err(ClusterError::missing(message, None));
        };
        let client = workload::client(&secret).await;
        let client = client.map_err(|reason| ClusterError::missing(format!("{doing}: {reason}"), None))?;
        Ok(Self { client, is_workload: true })
    }

    /// The controller's user in this cluster, as the subject of a binding.
    pub(super) async fn subject(&self) -> anyhow::Result<Value> {
        if !self.is_workload {
            return Ok(json!({
                "kind": "ServiceAccount", "name": "airlock-controller", "namespace": PACKAGES_NAMESPACE,
            }));
        }
        let api = Api::<SelfSubjectReview>::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
        let review = review.map_err(|error| api_error("reading the user of the kubeconfig", &error))?;
        let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
        Ok(json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }))
    }
}

/// The name of the management cluster, from the environment of its controller.
async fn managing(management: &Client) -> anyhow::Result<Option<String>> {
    let api = Api::<Deployment>::namespaced(management.clone(), PACKAGES_NAMESPACE);
    let found = api.get_opt("airlock-controller").await;
    let found = found.map_err(|error| api_error("looking for the controller", &error))?;
    let pod = found.and_then(|found| found.spec?.template.spec);
    let containers = pod.map(|pod| pod.containers).unwrap_or_default();
    let mut settings = containers.into_iter().flat_map(|container| container.env.unwrap_or_default());
    Ok(settings.find(|setting| setting.name == "CLUSTER_NAME").and_then(|setting| setting.value))
}
