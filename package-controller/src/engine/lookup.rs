//! What a chart may ask of the cluster while it is rendered.

use std::sync::atomic::{AtomicUsize, Ordering};

use helm::Lookup;
use serde_json::Value;
use tokio::runtime::Handle;

use super::cluster::{Ask, Cluster, code};

/// A chart that asks more often than this is not a chart's author's intent.
const MOST: usize = 100;

/// Answers `lookup` from the cluster. A render runs on a thread of its own, so it may wait.
pub(super) struct Asking {
    cluster: Cluster,
    runtime: Handle,
    asked: AtomicUsize,
    /// Whether what may not be read counts as not there. That is right before the first installation: nothing of
    /// the release is there, and rights come with it.
    lenient: bool,
}

impl Asking {
    pub(super) fn new(cluster: Cluster, lenient: bool) -> Self {
        Self { cluster, runtime: Handle::current(), asked: AtomicUsize::new(0), lenient }
    }
}

impl Lookup for Asking {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST {
            return Err(format!("the chart asks for more than {MOST} objects"));
        }
        let ask = async {
            let Some(resource) = self.cluster.try_resource(api_version, kind).await? else { return Ok(None) };
            let action = format!("look up {kind} {namespace}/{name} for the chart");
            self.cluster.find(&Ask::get(action, resource.path(namespace, name))).await
        };
        match self.runtime.block_on(ask) {
            Err(error) if self.lenient && code(&error) == Some(403) => Ok(None),
            answer => answer.map_err(|error| error.words()),
        }
    }
}
