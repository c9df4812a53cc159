//! The manifests to apply: the files of `manifests`, with a site's values filled in.

use admission::webhook::{WebhookEndpoint, configurations};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gostd::{Limits, yaml};
use oci::{RegistryHost, RepositoryName};
use package_api::name::{PACKAGES_NAMESPACE, cluster_namespace};
use package_api::{PackageBundleController, PackageBundleControllerSpec, crd};
use serde_json::{Map, Value, json};

/// The Secret with the registry's CA and credentials for the controller.
const REGISTRY_SECRET: &str = "airlock-registry";
/// The Secret that nodes use to pull the controller's image.
const PULL_SECRET: &str = "airlock-registry-pull";
/// The Secret that contains the controller's certificate.
const CERTIFICATE: &str = "airlock-webhook-certificate";
/// The Service through which the API server calls the webhooks.
pub(super) const SERVICE: &str = "airlock-webhook";
/// The mount path of the registry's Secret in the pod.
const REGISTRY_FOLDER: &str = "/etc/airlock/registry";

const NAMESPACE: &str = include_str!("../../../manifests/namespace.yaml");
/// The controller's files, in the order in which they are applied.
const CONTROLLER: [&str; 7] = [
    include_str!("../../../manifests/controller/service-account.yaml"),
    include_str!("../../../manifests/controller/webhook-configurations.yaml"),
    include_str!("../../../manifests/controller/rbac.yaml"),
    include_str!("../../../manifests/controller/service.yaml"),
    include_str!("../../../manifests/controller/network-policy.yaml"),
    include_str!("../../../manifests/controller/disruption-budget.yaml"),
    include_str!("../../../manifests/controller/deployment.yaml"),
];

/// The controller's permissions in the namespace of other clusters' kubeconfigs.
const WORKLOAD_CLUSTERS: &str = include_str!("../../../manifests/workload-clusters.yaml");

/// A site's values.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) cluster: String,
    pub(super) registry: RegistryHost,
    /// The repository prefix in the registry.
    pub(super) prefix: Option<RepositoryName>,
    /// PEM.
    pub(super) ca: String,
    /// Docker's `config.json`.
    pub(super) docker_config: Option<String>,
    /// The key that bundles are signed by: base64 of its DER form.
    pub(super) bundle_key: Option<String>,
    pub(super) replicas: u16,
    /// The image reference, by digest.
    pub(super) image: String,
    /// Whether to create the cluster's package settings.
    pub(super) settings: bool,
}

/// Manifests in the order of the steps.
#[derive(Clone, Debug)]
pub(super) struct Manifests {
    /// The namespace and the CRDs, which must exist before everything else.
    pub(super) namespace_and_crds: Vec<Value>,
    pub(super) controller: Vec<Value>,
    /// The webhook configurations, which the controller creates once it is ready. Earlier, they would block pods
    /// without a server to check them.
    pub(super) webhooks: Vec<Value>,
    pub(super) settings: Vec<Value>,
    /// Only for a cluster that manages others.
    pub(super) workload: Vec<Value>,
}

impl Manifests {
    /// The fixed manifests, with the site's values.
    pub(super) fn of(site: &Site) -> anyhow::Result<Self> {
        let mut namespace_and_crds = yaml::documents(NAMESPACE, &Limits::default())?;
        namespace_and_crds.extend(crd::all());
        let mut controller = Vec::new();
        for text in CONTROLLER {
            controller.extend(yaml::documents(text, &Limits::default())?);
        }
        for manifest in &mut controller {
            match manifest["kind"].as_str() {
                Some("Deployment") => fill_deployment(manifest, site),
                Some("NetworkPolicy") => fill_network_policy(manifest, site),
                _ => {}
            }
        }
        // Secrets come before the pods that mount them.
        let secrets = secrets(site);
        controller.splice(0..0, secrets);
        let mut settings = Vec::new();
        if site.settings {
            settings = cluster_settings(site)?;
        }
        let workload = yaml::documents(WORKLOAD_CLUSTERS, &Limits::default())?;
        Ok(Self { namespace_and_crds, controller, webhooks: webhooks()?, settings, workload })
    }

    /// The objects of an installation, in the order of deletion; the CRDs and the namespace only if requested. The
    /// controller's permissions go first, so that it does not create its webhooks again.
    pub(super) fn to_remove(all: bool) -> anyhow::Result<Vec<Value>> {
        let mut gone = Vec::new();
        for text in CONTROLLER {
            gone.extend(yaml::documents(text, &Limits::default())?);
        }
        // They are deleted with those of `webhooks`, below.
        gone.retain(|manifest| manifest["apiVersion"] != "admissionregistration.k8s.io/v1");
        gone.extend(yaml::documents(WORKLOAD_CLUSTERS, &Limits::default())?);
        gone.sort_by_key(|manifest| match manifest["kind"].as_str() {
            Some("ClusterRoleBinding") => 0,
            Some("Deployment") => 2,
            Some("Service") => 3,
            _ => 4,
        });
        let bindings = gone.partition_point(|manifest| manifest["kind"] == "ClusterRoleBinding");
        gone.splice(bindings..bindings, webhooks()?);
        let named = |kind: &str, version: &str, name: &str| json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": PACKAGES_NAMESPACE } });
        gone.extend([REGISTRY_SECRET, PULL_SECRET, CERTIFICATE].map(|name| named("Secret", "v1", name)));
        if all {
            gone.extend(crd::all());
            gone.extend(yaml::documents(NAMESPACE, &Limits::default())?);
        }
        Ok(gone)
    }

    /// All manifests to apply, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Value> {
        let parts = [&self.namespace_and_crds, &self.controller, &self.settings];
        parts.into_iter().flatten()
    }

    /// As one file of YAML documents.
    pub(super) fn text(&self) -> String {
        self.all().map(|manifest| format!("---\n{}", yaml::write(manifest))).collect()
    }
}

/// The webhook configurations, which the controller creates once it is ready, and repairs.
fn webhooks() -> anyhow::Result<Vec<Value>> {
    let endpoint = WebhookEndpoint {
        namespace: PACKAGES_NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        url: None,
        ca_bundle: None,
    };
    let (validating, mutating) = configurations(&endpoint);
    Ok(vec![serde_json::to_value(validating)?, serde_json::to_value(mutating)?])
}

fn fill_deployment(deployment: &mut Value, site: &Site) {
    deployment["spec"]["replicas"] = json!(site.replicas);
    let pod = &mut deployment["spec"]["template"]["spec"];
    if site.docker_config.is_some() {
        pod["imagePullSecrets"] = json!([{ "name": PULL_SECRET }]);
    }
    for container in pod["containers"].as_array_mut().into_iter().flatten() {
        fill_container(container, site);
    }
}

fn fill_container(container: &mut Value, site: &Site) {
    container["image"] = json!(site.image);
    if let Some(arguments) = container["args"].as_array_mut() {
        arguments.push(json!(format!("--registry={}", site.registry)));
        arguments.push(json!(format!("--registry-ca={REGISTRY_FOLDER}/ca.crt")));
        if site.docker_config.is_some() {
            arguments.push(json!(format!("--docker-config={REGISTRY_FOLDER}/config.json")));
        }
    }
    let Some(environment) = container["env"].as_array_mut() else { return };
    for variable in environment.iter_mut().filter(|variable| variable["name"] == "CLUSTER_NAME") {
        variable["value"] = json!(site.cluster);
    }
    if let Some(key) = &site.bundle_key {
        environment.push(json!({ "name": "EKSA_PUBLIC_KEY", "value": key }));
    }
}

/// Allows the registry's port, which the controller must reach.
fn fill_network_policy(policy: &mut Value, site: &Site) {
    let text = site.registry.to_string();
    let registry_port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = json!({ "port": registry_port.unwrap_or(443), "protocol": "TCP" });
    let rules = policy["spec"]["egress"].as_array_mut();
    let ports = rules.and_then(|rules| rules.last_mut()).and_then(|rule| rule["ports"].as_array_mut());
    if let Some(ports) = ports.filter(|ports| !ports.contains(&port)) {
        ports.push(port);
    }
}

fn secrets(site: &Site) -> Vec<Value> {
    let secret = |name: &str, kind: &str, data: Map<String, Value>| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": PACKAGES_NAMESPACE, "labels": labels() },
            "type": kind, "data": data,
        })
    };
    let encoded = |text: &String| json!(STANDARD.encode(text));
    let mut data = Map::from_iter([("ca.crt".to_owned(), encoded(&site.ca))]);
    data.extend(site.docker_config.iter().map(|text| ("config.json".to_owned(), encoded(text))));
    let mut all = vec![secret(REGISTRY_SECRET, "Opaque", data)];
    if let Some(text) = &site.docker_config {
        let data = Map::from_iter([(".dockerconfigjson".to_owned(), encoded(text))]);
        all.push(secret(PULL_SECRET, "kubernetes.io/dockerconfigjson", data));
    }
    all
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/name": "airlock", "app.kubernetes.io/part-of": "airlock" })
}

/// The namespace of the management cluster's packages, and its settings: everything comes from the one registry.
fn cluster_settings(site: &Site) -> anyhow::Result<Vec<Value>> {
    let below = |host: &RegistryHost| match &site.prefix {
        Some(prefix) => format!("{host}/{prefix}"),
        None => host.to_string(),
    };
    let mut settings = PackageBundleController::new(
        &site.cluster,
        PackageBundleControllerSpec {
            default_registry: Some(below(&site.registry)),
            default_image_registry: Some(below(&site.registry)),
            create_namespace: Some(true),
            ..PackageBundleControllerSpec::default()
        },
    );
    settings.metadata.namespace = Some(PACKAGES_NAMESPACE.to_owned());
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": cluster_namespace(&site.cluster), "labels": { "app.kubernetes.io/part-of": "airlock" } },
    });
    Ok(vec![namespace, serde_json::to_value(settings)?])
}
