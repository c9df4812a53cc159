//! The target clusters of packages: this one, and those whose kubeconfigs are in Secrets here, as Cluster API stores them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use admission::workload;
use error_text::one_line;
use installer::Engine;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use package_api::name::SYSTEM_NAMESPACE;
use tokio::sync::Mutex;

use crate::context::Context;

/// The field manager, and the reporting controller of events.
pub(super) const MANAGER: &str = "airlock";
/// How long a kubeconfig is cached before its Secret is checked again.
const CACHE_LIFETIME: Duration = Duration::from_mins(1);

/// A target cluster.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) engine: Engine,
}

/// A target cluster is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TargetError {
    /// There is no kubeconfig for it.
    NotFound(String),
    /// The problem may be temporary.
    Unavailable(String),
}

impl TargetError {
    pub(super) fn message(&self) -> &str {
        match self {
            Self::NotFound(message) | Self::Unavailable(message) => message,
        }
    }
}

/// All clusters.
pub(super) struct Clusters {
    context: Context,
    management: Target,
    cache: Mutex<HashMap<String, CachedTarget>>,
}

struct CachedTarget {
    target: Target,
    /// The resource version of the Secret.
    version: Option<String>,
    checked: Instant,
}

impl Clusters {
    pub(super) fn new(context: Context) -> Self {
        let name = &context.settings.process.cluster;
        let hint = format!(
            "`airlock package rights --cluster {name} --apply` grants the permissions that packages need"
        );
        let management = target(&context, context.kube.clone(), &hint);
        Self { context, management, cache: Mutex::default() }
    }

    /// The target cluster with this name.
    pub(super) async fn target(&self, name: &str) -> Result<Target, TargetError> {
        if name == self.context.settings.process.cluster {
            return Ok(self.management.clone());
        }
        let mut cache = self.cache.lock().await;
        if let Some(cached) = cache.get(name)
            && cached.checked.elapsed() < CACHE_LIFETIME
        {
            return Ok(cached.target.clone());
        }
        let about = |reason: String| format!("getting kubeconfig for cluster {name:?}: {reason}");
        let secrets = Api::<Secret>::namespaced(self.context.kube.clone(), SYSTEM_NAMESPACE);
        let secret = secrets.get_opt(&format!("{name}-kubeconfig")).await;
        let secret = secret.map_err(|error| TargetError::Unavailable(about(one_line(&error))))?;
        let Some(secret) = secret else {
            cache.remove(name);
            return Err(TargetError::NotFound(about(format!("secrets \"{name}-kubeconfig\" not found"))));
        };
        let version = secret.metadata.resource_version.clone();
        let same = cache.get(name).filter(|cached| cached.version == version && version.is_some());
        let target = if let Some(cached) = same {
            cached.target.clone()
        } else {
            let client =
                workload::client(&secret).await.map_err(|error| TargetError::Unavailable(about(error)))?;
            let hint = format!(
                "`airlock package rights --cluster {name}` prints the permissions that the user of its kubeconfig needs"
            );
            target(&self.context, client, &hint)
        };
        cache.insert(
            name.to_owned(),
            CachedTarget { target: target.clone(), version, checked: Instant::now() },
        );
        Ok(target)
    }
}

fn target(context: &Context, client: Client, hint: &str) -> Target {
    let (registry, mirror) = (context.registry.clone(), context.settings.process.mirror.clone());
    let engine = Engine::new(client.clone(), registry, mirror, MANAGER).with_permission_hint(hint);
    Target { client, engine }
}
