//! The clusters that packages are installed in: this one, and those whose kubeconfigs lie here as Secrets, as
//! Cluster API leaves them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use admission::workload;
use brief::words;
use installer::Engine;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use package_api::name::SYSTEM_NAMESPACE;
use tokio::sync::Mutex;

use crate::context::Context;

/// The field manager, and who events come from.
pub(super) const MANAGER: &str = "airlock";
/// How long a kubeconfig counts before it is looked at again.
const FRESH: Duration = Duration::from_mins(1);

/// A cluster that packages are installed in.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) engine: Engine,
}

/// Why a cluster is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing here says how to reach it.
    Unknown(String),
    /// It may come back.
    Away(String),
}

impl Lost {
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Unknown(words) | Self::Away(words) => words,
        }
    }
}

/// All clusters.
pub(super) struct Clusters {
    context: Context,
    management: Target,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    target: Target,
    /// Of the Secret.
    version: Option<String>,
    looked: Instant,
}

impl Clusters {
    pub(super) fn new(context: Context) -> Self {
        let name = &context.settings.cluster;
        let grants = format!("`airlock package rights --cluster {name} --apply` grants what packages need");
        let management = target(&context, context.kube.clone(), &grants);
        Self { context, management, known: Mutex::default() }
    }

    /// A cluster by its name.
    pub(super) async fn target(&self, name: &str) -> Result<Target, Lost> {
        if name == self.context.settings.cluster {
            return Ok(self.management.clone());
        }
        let mut known = self.known.lock().await;
        if let Some(known) = known.get(name)
            && known.looked.elapsed() < FRESH
        {
            return Ok(known.target.clone());
        }
        let about = |words: String| format!("getting kubeconfig for cluster {name:?}: {words}");
        let secrets = Api::<Secret>::namespaced(self.context.kube.clone(), SYSTEM_NAMESPACE);
        let secret = secrets.get_opt(&format!("{name}-kubeconfig")).await;
        let secret = secret.map_err(|error| Lost::Away(about(words(&error))))?;
        let Some(secret) = secret else {
            known.remove(name);
            return Err(Lost::Unknown(about(format!("secrets \"{name}-kubeconfig\" not found"))));
        };
        let version = secret.metadata.resource_version.clone();
        let same = known.get(name).filter(|known| known.version == version && version.is_some());
        let target = if let Some(known) = same {
            known.target.clone()
        } else {
            let client = workload::client(&secret).await.map_err(|error| Lost::Away(about(error)))?;
            let grants = format!(
                "`airlock package rights --cluster {name}` prints what the user of its kubeconfig needs there"
            );
            target(&self.context, client, &grants)
        };
        known.insert(name.to_owned(), Known { target: target.clone(), version, looked: Instant::now() });
        Ok(target)
    }
}

fn target(context: &Context, client: Client, grants: &str) -> Target {
    let (registry, mirror) = (context.registry.clone(), context.settings.mirror.clone());
    let engine = Engine::new(client.clone(), registry, mirror, MANAGER).granted_by(grants);
    Target { client, engine }
}
