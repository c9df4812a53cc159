//! Reconciles the Secret with the certificate and the webhook configurations, so that the API server trusts the
//! certificate that is served. Configurations that were changed or deleted are restored.
//!
//! Every replica does this independently, with one exception: if replicas have different services in their arguments, the
//! leader's value is used. Each write states the resource version that it is based on, so that of two concurrent writes
//! one is rejected and decided again. The configurations are read before the Secret: so the Secret is never older than a
//! configuration that another replica wrote because of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use error_text::one_line;
use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use telemetry::Part;
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::certificate::{CertificateState, Step, StepInput, Timing};
use super::configuration::{NAME, WebhookEndpoint, configurations};
use super::metrics::Metrics;
use super::server::CertificateResolver;
use crate::context::Context;
use crate::error::{Error, Result};

/// The Secret with the certificate.
pub(super) const SECRET: &str = "airlock-webhook-certificate";
/// The field manager for restoring a deleted configuration.
const MANAGER: &str = "airlock";
const KEY: &str = "certificate.json";
/// A changed value of this annotation of the Secret requests a new certificate.
pub(super) const ROTATE: &str = "airlock.dev/rotate";
/// The longest time between two passes.
const MAX_WAIT: Duration = Duration::from_mins(5);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often a waiting replica checks whether it is the leader.
const LEADER_CHECK: Duration = Duration::from_secs(2);
/// How long API servers and service proxies take to notice a new endpoint.
const PROPAGATION: Duration = Duration::from_secs(2);

/// Reconciles the certificate and the configurations.
pub(super) struct Reconciler {
    context: Context,
    metrics: Metrics,
    resolver: CertificateResolver,
    part: Part,
    timing: Timing,
    names: Vec<String>,
    /// The certificate that is served now, as PEM.
    serving: String,
    /// The webhooks that this replica wrote last into each configuration.
    written: BTreeMap<&'static str, Value>,
    /// The time since which this replica is an endpoint of the service.
    endpoint_since: Option<Instant>,
    /// The last logged reason for waiting.
    logged: &'static str,
}

impl Reconciler {
    pub(super) fn new(context: Context, metrics: Metrics, resolver: CertificateResolver) -> Self {
        let part = context.telemetry.part("webhook certificate");
        let names = names(&context);
        let timing = Timing::default();
        let (serving, written, endpoint_since, logged) = (String::new(), BTreeMap::new(), None, "");
        Self { context, metrics, resolver, part, timing, names, serving, written, endpoint_since, logged }
    }

    /// Reconciles until the future is dropped.
    pub(super) async fn run(mut self) {
        let changed = Notify::new();
        let kube = &self.context.kube;
        let secrets = Api::<Secret>::namespaced(kube.clone(), &self.context.settings.namespace);
        let watches = futures::future::join3(
            watch(secrets, SECRET, &changed),
            watch(Api::<ValidatingWebhookConfiguration>::all(kube.clone()), NAME, &changed),
            watch(Api::<MutatingWebhookConfiguration>::all(kube.clone()), NAME, &changed),
        );
        let pass = async {
            loop {
                let wait = match self.pass().await {
                    Ok(wait) => wait.min(MAX_WAIT),
                    Err(error) => {
                        tracing::warn!(
                            error = one_line(&error),
                            "cannot reconcile the certificate and the webhook configurations"
                        );
                        AFTER_ERROR
                    }
                };
                let _ = tokio::time::timeout(wait, changed.notified()).await;
            }
        };
        futures::future::join(watches, pass).await;
    }

    /// Reconciles once, and returns the time until the next pass.
    async fn pass(&mut self) -> Result<Duration> {
        let kube = self.context.kube.clone();
        let validating = Api::<ValidatingWebhookConfiguration>::all(kube.clone());
        let mutating = Api::<MutatingWebhookConfiguration>::all(kube.clone());
        let secrets = Api::<Secret>::namespaced(kube, &self.context.settings.namespace);
        let found_validating = validating.get_opt(NAME).await.map_err(Error::kube)?;
        let found_mutating = mutating.get_opt(NAME).await.map_err(Error::kube)?;
        let secret = secrets.get_opt(SECRET).await.map_err(Error::kube)?;
        let rotation = secret.as_ref().and_then(|secret| secret.annotations().get(ROTATE)).cloned();
        let rotation = rotation.unwrap_or_default();
        let now = OffsetDateTime::now_utc();
        let names = self.names.clone();
        let input = |published| StepInput { names: &names, rotation: &rotation, published, now };
        let Some(state) = secret.as_ref().and_then(read) else {
            let state = CertificateState::new(&input(false), &self.timing).map_err(Error::Certificate)?;
            write(&secrets, secret, &state).await?;
            return Ok(Duration::ZERO);
        };
        self.serve(&state)?;
        let (wanted_validating, wanted_mutating) = self.wanted(&state).await?;
        let current = found_validating.as_ref().and_then(endpoint);
        if current.is_some_and(|current| Some(current) != endpoint(&wanted_validating))
            && !(self.context.is_leader)().await.map_err(Error::kube)?
        {
            self.log_once(
                "the webhook configurations use another service; the leader decides which one is used",
            );
            self.part.is_ready(true);
            return Ok(LEADER_CHECK);
        }
        // The installation creates them empty.
        let validates = found_validating.as_ref().is_some_and(|found| !is_empty(found.webhooks.as_ref()));
        let mutates = found_mutating.as_ref().is_some_and(|found| !is_empty(found.webhooks.as_ref()));
        let is_complete = validates && mutates;
        if !is_complete && !self.is_endpoint_of_the_service().await? {
            self.log_once(
                "the webhook configurations stay empty until this pod is a ready endpoint of the service",
            );
            // The pod becomes an endpoint only when it is ready.
            self.part.is_ready(true);
            return Ok(AFTER_ERROR);
        }
        self.log_once("");
        let current = [
            self.ensure(&validating, "validating", found_validating, wanted_validating).await?,
            self.ensure(&mutating, "mutating", found_mutating, wanted_mutating).await?,
        ];
        let published = current == [true; 2];
        self.part.is_ready(published);
        if !published {
            return Ok(Duration::ZERO);
        }
        match state.step(&input(published), &self.timing).map_err(Error::Certificate)? {
            Step::Wait(wait) => Ok(wait.unsigned_abs()),
            Step::Write(state) => {
                write(&secrets, secret, &state).await?;
                Ok(Duration::ZERO)
            }
        }
    }

    /// Whether the API server can reach this replica through the service. Configurations that are filled in earlier would
    /// block every pod of the cluster, because no webhook could be reached.
    async fn is_endpoint_of_the_service(&mut self) -> Result<bool> {
        let settings = &self.context.settings;
        if settings.webhook_url.is_some() {
            return Ok(true);
        }
        let slices = Api::<EndpointSlice>::namespaced(self.context.kube.clone(), &settings.namespace);
        let label = format!("kubernetes.io/service-name={}", settings.service);
        let slices = slices.list(&ListParams::default().labels(&label)).await.map_err(Error::kube)?;
        let endpoints = slices.items.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let ready = endpoints.filter(|endpoint| {
            let target = endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref());
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
            target == Some(&settings.identity) && ready != Some(false)
        });
        if ready.count() == 0 {
            self.endpoint_since = None;
            return Ok(false);
        }
        Ok(self.endpoint_since.get_or_insert_with(Instant::now).elapsed() >= PROPAGATION)
    }

    /// Logs the reason for waiting, once.
    fn log_once(&mut self, reason: &'static str) {
        if self.logged != reason && !reason.is_empty() {
            let service = &self.context.settings.service;
            tracing::warn!(service, "{reason}");
        }
        self.logged = reason;
    }

    fn serve(&mut self, state: &CertificateState) -> Result<()> {
        let pair = state.serving();
        if self.serving == pair.certificate {
            return Ok(());
        }
        self.resolver.set(pair).map_err(Error::ServingCertificate)?;
        tracing::info!("switched to another serving certificate");
        self.metrics.switched();
        self.serving.clone_from(&pair.certificate);
        Ok(())
    }

    async fn wanted(
        &self,
        state: &CertificateState,
    ) -> Result<(ValidatingWebhookConfiguration, MutatingWebhookConfiguration)> {
        let settings = &self.context.settings;
        let endpoint = WebhookEndpoint {
            namespace: settings.namespace.clone(),
            service: settings.service.clone(),
            url: settings.webhook_url.clone(),
            ca_bundle: Some(state.bundle()),
        };
        let (mut validating, mut mutating) = configurations(&endpoint);
        // They are deleted with the namespace. Otherwise they would block every pod, because no webhook could be reached.
        let namespaces = Api::<Namespace>::all(self.context.kube.clone());
        let namespace = namespaces.get_opt(&settings.namespace).await.map_err(Error::kube)?;
        let owners =
            namespace.as_ref().and_then(|namespace| namespace.owner_ref(&())).map(|owner| vec![owner]);
        validating.metadata.owner_references.clone_from(&owners);
        mutating.metadata.owner_references = owners;
        Ok((validating, mutating))
    }

    /// Restores a configuration. Returns whether it was correct before.
    async fn ensure<K>(
        &mut self,
        api: &Api<K>,
        what: &'static str,
        found: Option<K>,
        mut wanted: K,
    ) -> Result<bool>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned + Send + Sync,
    {
        let hooks = |object: &K| json!(object)["webhooks"].clone();
        let should = hooks(&wanted);
        let is = found.as_ref().map(hooks);
        if is.as_ref() == Some(&should) {
            self.written.insert(what, should);
            return Ok(true);
        }
        // If the configuration is what we wrote, no one changed it.
        if self.written.get(what).is_some_and(|ours| is.as_ref() != Some(ours)) {
            let how = if found.is_some() { "changed" } else { "deleted" };
            tracing::warn!(what, how, "the {what} webhook configuration was {how}; restoring it");
            self.metrics.repaired(what);
        }
        let result = match found {
            // A patch of this name: the permission to create it is restricted by resourceNames.
            None => {
                let params = PatchParams::apply(MANAGER).force();
                api.patch(NAME, &params, &Patch::Apply(&wanted)).await
            }
            Some(found) => {
                *wanted.meta_mut() = merged(found.meta().clone(), wanted.meta());
                api.replace(NAME, &PostParams::default(), &wanted).await
            }
        };
        match result {
            Ok(_) => {
                self.written.insert(what, should);
                Ok(false)
            }
            // Another replica or another client was faster: decide again.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(Error::kube(error)),
        }
    }
}

fn is_empty<T>(webhooks: Option<&Vec<T>>) -> bool {
    webhooks.is_none_or(Vec::is_empty)
}

/// The address in a configuration, without the CA.
fn endpoint(configuration: &ValidatingWebhookConfiguration) -> Option<WebhookClientConfig> {
    let first = configuration.webhooks.iter().flatten().next()?;
    Some(WebhookClientConfig { ca_bundle: None, ..first.client_config.clone() })
}

/// The host names with which the API server calls the webhooks.
fn names(context: &Context) -> Vec<String> {
    let settings = &context.settings;
    let (service, namespace) = (&settings.service, &settings.namespace);
    let mut names = vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}")];
    if let Some(host) = settings.webhook_url.as_deref().and_then(host) {
        names.push(host);
    }
    names
}

fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1.split('/').next()?;
    match rest.strip_prefix('[') {
        Some(rest) => rest.split(']').next().map(str::to_owned),
        None => rest.split(':').next().map(str::to_owned),
    }
}

fn read(secret: &Secret) -> Option<CertificateState> {
    let bytes = secret.data.as_ref()?.get(KEY)?;
    match serde_json::from_slice(&bytes.0) {
        Ok(state) => Some(state),
        Err(error) => {
            tracing::warn!(%error, secret = SECRET, "the Secret cannot be parsed; creating a new certificate");
            None
        }
    }
}

async fn write(secrets: &Api<Secret>, found: Option<Secret>, state: &CertificateState) -> Result<()> {
    let bytes = serde_json::to_vec(state).map_err(Error::CertificateJson)?;
    let data = Some(BTreeMap::from([(KEY.to_owned(), ByteString(bytes))]));
    let written = if let Some(mut secret) = found {
        secret.data = data;
        secrets.replace(SECRET, &PostParams::default(), &secret).await
    } else {
        let metadata = ObjectMeta { name: Some(SECRET.to_owned()), ..ObjectMeta::default() };
        secrets.create(&PostParams::default(), &Secret { metadata, data, ..Secret::default() }).await
    };
    match written {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(()),
        Err(error) => Err(Error::kube(error)),
    }
}

/// Keeps the metadata that others wrote, including labels and owners.
fn merged(mut found: ObjectMeta, wanted: &ObjectMeta) -> ObjectMeta {
    found.labels.get_or_insert_default().extend(wanted.labels.clone().unwrap_or_default());
    let owners: &mut Vec<OwnerReference> = found.owner_references.get_or_insert_default();
    for owner in wanted.owner_references.iter().flatten() {
        if !owners.iter().any(|known| known.uid == owner.uid) {
            owners.push(owner.clone());
        }
    }
    found
}

async fn watch<K>(api: Api<K>, name: &str, changed: &Notify)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watch_object(api, name).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => changed.notify_one(),
            Err(error) => tracing::debug!(%error, name, "a watch failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_a_url_is_a_name_in_the_certificate() {
        for (url, name) in [
            ("https://127.0.0.1:9443", "127.0.0.1"),
            ("https://[::1]:9443/x", "::1"),
            ("https://hook.example", "hook.example"),
        ] {
            assert_eq!(host(url).as_deref(), Some(name));
        }
        assert_eq!(host("hook.example"), None);
    }
}
