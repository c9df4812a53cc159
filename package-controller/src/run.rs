//! The process of the controller: it runs the webhooks and the controllers until it is asked to stop.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use telemetry::Telemetry;

use crate::context::{Context, Duty, Settings};
use crate::error::{Error, Result};
use crate::kubeconfig::read_kubeconfig;
use crate::reconcile;

/// Runs the webhooks and the controllers, or one of them, until `stop` completes.
///
/// # Errors
/// If the cluster cannot be reached at the start, an address cannot be bound, or a part of the process fails.
pub async fn run(settings: Settings, stop: BoxFuture<'static, ()>) -> Result<()> {
    let kube = client(&settings).await?;
    let registry = registry::client::Client::new(settings.registry.clone())?;
    let health = settings.health;
    let (settings, telemetry) = (Arc::new(settings), Telemetry::default());
    let context = Context { settings, kube, registry, telemetry };
    let stop = stop.shared();
    // After `stop`, pending requests are completed and the lease is released.
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

/// The context of the webhooks.
fn webhooks_of(context: &Context) -> admission::Context {
    let leader = context.clone();
    let is_leader = move || {
        let leader = leader.clone();
        async move { reconcile::leads(&leader).await }.boxed()
    };
    admission::Context {
        settings: Arc::clone(&context.settings.process),
        kube: context.kube.clone(),
        registry: context.registry.clone(),
        telemetry: context.telemetry.clone(),
        is_leader: Arc::new(is_leader),
    }
}

async fn client(settings: &Settings) -> Result<Client> {
    let config = match &settings.kubeconfig {
        Some(path) => {
            let file = read_kubeconfig(path).map_err(Error::Kubeconfig)?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
                .await
                .map_err(Error::Kubeconfig)?
        }
        None => kube::Config::incluster().map_err(Error::NotInCluster)?,
    };
    Client::try_from(config).map_err(Error::kube)
}
