//! The template function `lookup`, restricted to the objects of the release.
//!
//! A chart is rendered with the controller's permissions, and its values, which `tpl` evaluates, come from any user who
//! can create packages. So `lookup` returns only objects that the release itself created: they are cluster-scoped or in
//! the release's namespace, and have Helm's label and annotations. Other objects seem to be absent, as in
//! `helm template`.

use std::sync::atomic::{AtomicUsize, Ordering};

use helm::Lookup;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::cluster::{ApiRequest, Cluster, code};
use crate::object::{Owner, belongs};

/// The most lookups of one render. No chart needs more intentionally.
const MAX_LOOKUPS: usize = 10_000;

/// Implements `lookup` with requests to the cluster. Charts are rendered on a separate thread, so it may block.
pub(crate) struct ClusterLookup {
    cluster: Cluster,
    runtime: Handle,
    count: AtomicUsize,
    /// Whether objects that the controller may not read count as absent. That is correct before the first installation:
    /// no object of the release exists, and the permissions are granted with it.
    lenient: bool,
    release: String,
    namespace: String,
}

impl ClusterLookup {
    pub(crate) fn new(cluster: Cluster, lenient: bool, owner: Owner<'_>) -> Self {
        let (release, namespace) = (owner.release.to_owned(), owner.namespace.to_owned());
        Self { cluster, runtime: Handle::current(), count: AtomicUsize::new(0), lenient, release, namespace }
    }

    /// Keeps only the release's own objects of a response.
    fn own(&self, mut found: Value) -> Option<Value> {
        let owner = Owner { release: &self.release, namespace: &self.namespace };
        if let Some(items) = found.get_mut("items").and_then(Value::as_array_mut) {
            items.retain(|item| belongs(item, owner).is_ok());
            return Some(found);
        }
        belongs(&found, owner).is_ok().then_some(found)
    }
}

impl Lookup for ClusterLookup {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= MAX_LOOKUPS {
            return Err(format!("the chart looks up more than {MAX_LOOKUPS} objects"));
        }
        let about = format!("look up {kind} {namespace}/{name} for the chart");
        let request = async {
            let Some(resource) = self.cluster.try_resource(api_version, kind).await? else { return Ok(None) };
            if resource.is_namespaced() && namespace != self.namespace {
                tracing::debug!(release = self.release, "not allowed to {about}");
                return Ok(None);
            }
            match self.cluster.find(&ApiRequest::get(about, resource.path(namespace, name))).await {
                // Objects that must not be lost, such as passwords, are always namespaced.
                Err(error) if code(&error) == Some(403) && (self.lenient || !resource.is_namespaced()) => {
                    Ok(None)
                }
                result => result,
            }
        };
        let found = self.runtime.block_on(request).map_err(|error: crate::error::Error| error.one_line())?;
        Ok(found.and_then(|found| self.own(found)))
    }
}
