//! What a chart may ask of the cluster while it is rendered.
//!
//! A chart is rendered with the controller's permissions, and its values, which `tpl` evaluates, are anyone's who may
//! create packages. So `lookup` answers with what the release itself made and with nothing else: such objects are in the
//! release's namespace or in none, and bear Helm's three marks. What belongs to others is not there, as in
//! `helm template`.

use std::sync::atomic::{AtomicUsize, Ordering};

use helm::Lookup;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::cluster::{Ask, Cluster, code};
use crate::object::{Owner, belongs};

/// A chart that asks more often than this is not a chart's author's intent.
const MOST: usize = 10_000;

/// Answers `lookup` from the cluster. A render runs on a thread of its own, so it may wait.
pub(crate) struct Asking {
    cluster: Cluster,
    runtime: Handle,
    asked: AtomicUsize,
    /// Whether what may not be read counts as not there. That is right before the first installation: nothing of
    /// the release is there, and rights come with it.
    lenient: bool,
    release: String,
    namespace: String,
}

impl Asking {
    pub(crate) fn new(cluster: Cluster, lenient: bool, (release, namespace): (&str, &str)) -> Self {
        let (release, namespace) = (release.to_owned(), namespace.to_owned());
        Self { cluster, runtime: Handle::current(), asked: AtomicUsize::new(0), lenient, release, namespace }
    }

    /// Leaves of an answer what is the release's own.
    fn own(&self, mut found: Value) -> Option<Value> {
        let owner = Owner { release: &self.release, namespace: &self.namespace };
        if let Some(items) = found.get_mut("items").and_then(Value::as_array_mut) {
            items.retain(|item| belongs(item, owner).is_ok());
            return Some(found);
        }
        belongs(&found, owner).is_ok().then_some(found)
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
        let about = format!("look up {kind} {namespace}/{name} for the chart");
        let ask = async {
            let Some(resource) = self.cluster.try_resource(api_version, kind).await? else { return Ok(None) };
            if resource.is_namespaced() && namespace != self.namespace {
                tracing::debug!(release = self.release, "not allowed to {about}");
                return Ok(None);
            }
            match self.cluster.find(&Ask::get(about, resource.path(namespace, name))).await {
                // Nothing that is lost without it, such as a password, has no namespace.
                Err(error) if code(&error) == Some(403) && (self.lenient || !resource.is_namespaced()) => {
                    Ok(None)
                }
                answer => answer,
            }
        };
        let found = self.runtime.block_on(ask).map_err(|error: crate::error::Error| error.words())?;
        Ok(found.and_then(|found| self.own(found)))
    }
}
