//! The engine: one target cluster, the cache of charts, and the bounds of a package. Its operations are in the modules
//! that implement them.

use std::sync::Arc;

use oci::RegistryHost;

use crate::chart::Charts;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::guard::Bounds;
use crate::release::Record;
use crate::storage::Storage;

/// Installs charts in one cluster. Clones share the discovery of the cluster and the cached charts.
#[derive(Clone)]
pub struct Engine {
    pub(crate) cluster: Cluster,
    pub(crate) charts: Charts,
    /// The bounds for the objects of a package; `None` without a package.
    pub(crate) bounds: Option<Arc<Bounds>>,
}

impl Engine {
    /// An engine for a cluster. `mirror` replaces every registry host of charts; `manager` is the field manager.
    #[must_use]
    pub fn new(
        target: kube::Client,
        registry: registry::client::Client,
        mirror: Option<RegistryHost>,
        manager: &'static str,
    ) -> Self {
        Self { cluster: Cluster::new(target, manager), charts: Charts::new(registry, mirror), bounds: None }
    }

    /// The same engine for one package, whose objects must stay within these bounds.
    #[must_use]
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = Some(Arc::new(bounds));
        self
    }

    /// The same engine, which reports the progress of installations and removals.
    #[must_use]
    pub fn with_progress(mut self, progress: tokio::sync::watch::Sender<String>) -> Self {
        self.cluster = self.cluster.with_progress(progress);
        self
    }

    /// The same engine. `hint` states how to grant permissions to it, and is added to errors.
    #[must_use]
    pub fn with_permission_hint(mut self, hint: &str) -> Self {
        self.cluster = self.cluster.with_permission_hint(hint);
        self
    }

    /// The newest revision of a release, in any state. `namespace` is the namespace of the records.
    ///
    /// # Errors
    /// If the request to the cluster fails, or a record cannot be read.
    pub async fn current(&self, namespace: &str, release: &str) -> Result<Option<Record>, Error> {
        let newest = Storage::new(&self.cluster, namespace, release).newest().await?;
        Ok(newest.map(|stored| stored.record))
    }

    /// All stored revisions of a release, from old to new.
    ///
    /// # Errors
    /// If the request to the cluster fails, or a record cannot be read.
    pub async fn history(&self, namespace: &str, release: &str) -> Result<Vec<Record>, Error> {
        let storage = Storage::new(&self.cluster, namespace, release);
        let mut records = Vec::new();
        for revision in storage.list().await?.into_keys() {
            records.extend(storage.read(revision).await?.map(|stored| stored.record));
        }
        Ok(records)
    }
}
