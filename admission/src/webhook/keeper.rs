//! Keeps what the API server trusts and what is served in step: the secret with the certificate, and the webhook
//! configurations, which are put right when somebody changes or deletes them.
//!
//! Every replica does this by itself, but for one thing: where replicas are told different services, the one that leads
//! decides which the API server is told. What is written names the version that it was decided on, so that of two that
//! decide at once one is refused and looks again. Configurations are read before the secret: what is read of the
//! secret is then never older than what another replica put into a configuration because of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use brief::words;
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

use super::certificate::{Facts, Kept, Step, Timing};
use super::configuration::{NAME, Reach, configurations};
use super::metrics::Metrics;
use super::server::Served;
use crate::context::Context;
use crate::error::{Error, Result};

/// The secret with the certificate.
pub(super) const SECRET: &str = "airlock-webhook-certificate";
/// Who applies a configuration that somebody deleted.
const MANAGER: &str = "airlock";
const KEY: &str = "certificate.json";
/// Another value in this annotation of the secret asks for another certificate.
pub(super) const ROTATE: &str = "airlock.dev/rotate";
/// However far the next step is, all is looked at so often.
const AT_LEAST: Duration = Duration::from_mins(5);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often a replica that stands back looks whether it leads.
const AWAY: Duration = Duration::from_secs(2);
/// How long API servers, and what forwards to services, take to know of an endpoint.
const KNOWN: Duration = Duration::from_secs(2);

/// Keeps certificate and configurations.
pub(super) struct Keeper {
    context: Context,
    metrics: Metrics,
    served: Served,
    part: Part,
    timing: Timing,
    names: Vec<String>,
    /// What is served now, as PEM.
    serving: String,
    /// What this replica wrote last into each configuration.
    written: BTreeMap<&'static str, Value>,
    /// Since when this replica is behind the service.
    behind: Option<Instant>,
    /// What was said last of what is waited for.
    said: &'static str,
}

impl Keeper {
    pub(super) fn new(context: Context, metrics: Metrics, served: Served) -> Self {
        let part = context.telemetry.part("webhook certificate");
        let names = names(&context);
        let timing = Timing::default();
        let (serving, written, behind, said) = (String::new(), BTreeMap::new(), None, "");
        Self { context, metrics, served, part, timing, names, serving, written, behind, said }
    }

    /// Keeps them until it is dropped.
    pub(super) async fn keep(mut self) {
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
                    Ok(wait) => wait.min(AT_LEAST),
                    Err(error) => {
                        tracing::warn!(error = words(&error), "cannot keep the webhooks' certificate");
                        AFTER_ERROR
                    }
                };
                let _ = tokio::time::timeout(wait, changed.notified()).await;
            }
        };
        futures::future::join(watches, pass).await;
    }

    /// Looks at everything once, and says when to look again.
    async fn pass(&mut self) -> Result<Duration> {
        let kube = self.context.kube.clone();
        let validating = Api::<ValidatingWebhookConfiguration>::all(kube.clone());
        let mutating = Api::<MutatingWebhookConfiguration>::all(kube.clone());
        let secrets = Api::<Secret>::namespaced(kube, &self.context.settings.namespace);
        let found_validating = validating.get_opt(NAME).await.map_err(Error::kube)?;
        let found_mutating = mutating.get_opt(NAME).await.map_err(Error::kube)?;
        let secret = secrets.get_opt(SECRET).await.map_err(Error::kube)?;
        let asked = secret.as_ref().and_then(|secret| secret.annotations().get(ROTATE)).cloned();
        let asked = asked.unwrap_or_default();
        let now = OffsetDateTime::now_utc();
        let names = self.names.clone();
        let facts = |published| Facts { names: &names, asked: &asked, published, now };
        let Some(kept) = secret.as_ref().and_then(read) else {
            let kept = Kept::new(&facts(false), &self.timing).map_err(Error::Certificate)?;
            write(&secrets, secret, &kept).await?;
            return Ok(Duration::ZERO);
        };
        self.serve(&kept)?;
        let (wanted_validating, wanted_mutating) = self.wanted(&kept).await?;
        let reaches = found_validating.as_ref().and_then(reach);
        if reaches.is_some_and(|reaches| Some(reaches) != reach(&wanted_validating))
            && !(self.context.leads)().await.map_err(Error::kube)?
        {
            self.say("the webhook configurations name another service, and who leads decides on that");
            self.part.is_ready(true);
            return Ok(AWAY);
        }
        // The installation makes them empty.
        let validates = found_validating.as_ref().is_some_and(|found| !is_empty(found.webhooks.as_ref()));
        let mutates = found_mutating.as_ref().is_some_and(|found| !is_empty(found.webhooks.as_ref()));
        let is_whole = validates && mutates;
        if !is_whole && !self.is_behind_the_service().await? {
            self.say("the webhook configurations wait until the service has this pod as a ready endpoint");
            // Which it has only when the pod is.
            self.part.is_ready(true);
            return Ok(AFTER_ERROR);
        }
        self.say("");
        let hold = [
            self.ensure(&validating, "validating", found_validating, wanted_validating).await?,
            self.ensure(&mutating, "mutating", found_mutating, wanted_mutating).await?,
        ];
        let published = hold == [true; 2];
        self.part.is_ready(published);
        if !published {
            return Ok(Duration::ZERO);
        }
        match kept.step(&facts(published), &self.timing).map_err(Error::Certificate)? {
            Step::Wait(wait) => Ok(wait.unsigned_abs()),
            Step::Write(kept) => {
                write(&secrets, secret, &kept).await?;
                Ok(Duration::ZERO)
            }
        }
    }

    /// Whether the API server finds this replica by the service, and has had the time to know. Configurations that
    /// come sooner refuse every pod of the cluster, with nobody there to ask.
    async fn is_behind_the_service(&mut self) -> Result<bool> {
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
            self.behind = None;
            return Ok(false);
        }
        Ok(self.behind.get_or_insert_with(Instant::now).elapsed() >= KNOWN)
    }

    /// Says once what is waited for.
    fn say(&mut self, what: &'static str) {
        if self.said != what && !what.is_empty() {
            let service = &self.context.settings.service;
            tracing::warn!(service, "{what}");
        }
        self.said = what;
    }

    fn serve(&mut self, kept: &Kept) -> Result<()> {
        let pair = kept.serving();
        if self.serving == pair.certificate {
            return Ok(());
        }
        self.served.set(pair).map_err(Error::ServingCertificate)?;
        tracing::info!("another certificate is served to the API server");
        self.metrics.switched();
        self.serving.clone_from(&pair.certificate);
        Ok(())
    }

    async fn wanted(
        &self,
        kept: &Kept,
    ) -> Result<(ValidatingWebhookConfiguration, MutatingWebhookConfiguration)> {
        let settings = &self.context.settings;
        let reach = Reach {
            namespace: settings.namespace.clone(),
            service: settings.service.clone(),
            url: settings.webhook_url.clone(),
            authorities: Some(kept.bundle()),
        };
        let (mut validating, mut mutating) = configurations(&reach);
        // They go with the namespace: left behind, they would refuse every pod, with nobody there to ask.
        let namespaces = Api::<Namespace>::all(self.context.kube.clone());
        let namespace = namespaces.get_opt(&settings.namespace).await.map_err(Error::kube)?;
        let owners =
            namespace.as_ref().and_then(|namespace| namespace.owner_ref(&())).map(|owner| vec![owner]);
        validating.metadata.owner_references.clone_from(&owners);
        mutating.metadata.owner_references = owners;
        Ok((validating, mutating))
    }

    /// Puts a configuration right; whether it was already.
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
        // What is there because we wrote it is no one's tampering.
        if self.written.get(what).is_some_and(|ours| is.as_ref() != Some(ours)) {
            let how = if found.is_some() { "changed" } else { "deleted" };
            tracing::warn!(what, how, "somebody {how} the {what} webhook configuration; it is put right");
            self.metrics.repaired(what);
        }
        let result = match found {
            // By its name, to which the right to make it is held.
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
            // Another replica, or whoever else writes, was faster: look again.
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(Error::kube(error)),
        }
    }
}

fn is_empty<T>(webhooks: Option<&Vec<T>>) -> bool {
    webhooks.is_none_or(Vec::is_empty)
}

/// Where the API server is told to go, whatever it trusts there.
fn reach(configuration: &ValidatingWebhookConfiguration) -> Option<WebhookClientConfig> {
    let first = configuration.webhooks.iter().flatten().next()?;
    Some(WebhookClientConfig { ca_bundle: None, ..first.client_config.clone() })
}

/// The names by which the API server calls.
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

fn read(secret: &Secret) -> Option<Kept> {
    let bytes = secret.data.as_ref()?.get(KEY)?;
    match serde_json::from_slice(&bytes.0) {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::warn!(%error, secret = SECRET, "the secret cannot be read; it is made anew");
            None
        }
    }
}

async fn write(secrets: &Api<Secret>, found: Option<Secret>, kept: &Kept) -> Result<()> {
    let bytes = serde_json::to_vec(kept).map_err(Error::CertificateJson)?;
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

/// What others wrote stays, their labels and owners too.
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
            Err(error) => tracing::debug!(%error, name, "a watch broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_a_url_is_what_the_certificate_names() {
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
