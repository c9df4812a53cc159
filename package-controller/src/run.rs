//! The controller's process: one client, one registry, and what runs on them until it is told to stop.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use telemetry::Telemetry;

use crate::context::{Context, Duty, Settings};
use crate::error::{Error, Result};
use crate::reconcile;

/// Runs webhooks and controllers, or one of them, until `stop` comes.
///
/// # Errors
/// When the cluster cannot be reached at the start, an address is taken, or a part of the process ends by itself.
pub async fn run(settings: Settings, stop: BoxFuture<'static, ()>) -> Result<()> {
    let kube = client(&settings).await?;
    let registry = registry::client::Client::new(settings.registry.clone())?;
    let health = settings.health;
    let (settings, telemetry) = (Arc::new(settings), Telemetry::default());
    let context = Context { settings, kube, registry, telemetry };
    let stop = stop.shared();
    // They end after `stop`: requests under way, and then the lease is given up.
    let duty = context.settings.duty;
    let webhooks = async {
        match duty {
            Duty::All | Duty::Webhooks => {
                let served = admission::webhook::serve(webhooks_of(&context), stop.clone().boxed());
                Ok(Box::pin(served).await?)
            }
            Duty::Packages => Ok(()),
        }
    };
    let packages = async {
        match duty {
            Duty::All | Duty::Packages => reconcile::run(context.clone(), stop.clone().boxed()).await,
            Duty::Webhooks => Ok(()),
        }
    };
    let parts = futures::future::try_join(webhooks, packages);
    tokio::select! {
        result = telemetry::serve(context.telemetry.clone(), health) => result.map_err(Error::from),
        result = parts => result.map(|((), ())| ()),
    }
}

/// What the webhooks get of all that.
fn webhooks_of(context: &Context) -> admission::Context {
    let settings = context.settings.as_ref();
    let arguments = admission::Settings {
        cluster: settings.cluster.clone(),
        identity: settings.identity.clone(),
        namespace: settings.namespace.clone(),
        service: settings.service.clone(),
        webhooks: settings.webhooks,
        webhook_url: settings.webhook_url.clone(),
        mirror: settings.mirror.clone(),
        keys: settings.keys.clone(),
    };
    let leader = context.clone();
    let leads = move || {
        let leader = leader.clone();
        async move { reconcile::leads(&leader).await }.boxed()
    };
    admission::Context {
        settings: Arc::new(arguments),
        kube: context.kube.clone(),
        registry: context.registry.clone(),
        telemetry: context.telemetry.clone(),
        leads: Arc::new(leads),
    }
}

async fn client(settings: &Settings) -> Result<Client> {
    let config = match &settings.kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path).map_err(Error::Kubeconfig)?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .map_err(Error::Kubeconfig)?
        }
        None => kube::Config::incluster().map_err(Error::NotInCluster)?,
    };
    Client::try_from(config).map_err(Error::kube)
}
