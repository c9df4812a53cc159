//! The engine: one target cluster, the charts that were pulled, and what a package's objects are held to. What it does
//! stands where it is done.

use std::sync::Arc;

use oci::RegistryHost;

use crate::chart::Charts;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::guard::Bounds;
use crate::release::Record;
use crate::storage::Storage;

/// What installs charts in one cluster. Clones share what they know of the cluster and the charts they pulled.
#[derive(Clone)]
pub struct Engine {
    pub(crate) cluster: Cluster,
    pub(crate) charts: Charts,
    /// What a package's objects are held to; without a package, nothing.
    pub(crate) bounds: Option<Arc<Bounds>>,
}

impl Engine {
    /// An engine for a cluster. `mirror` stands for every host that charts name; `manager` is the field manager.
    #[must_use]
    pub fn new(
        target: kube::Client,
        registry: registry::client::Client,
        mirror: Option<RegistryHost>,
        manager: &'static str,
    ) -> Self {
        Self { cluster: Cluster::new(target, manager), charts: Charts::new(registry, mirror), bounds: None }
    }

    /// The same engine for one package, whose objects are held to these bounds.
    #[must_use]
    pub fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = Some(Arc::new(bounds));
        self
    }

    /// The same engine, which tells how far an installation or a removal is.
    #[must_use]
    pub fn telling(mut self, progress: tokio::sync::watch::Sender<String>) -> Self {
        self.cluster = self.cluster.telling(progress);
        self
    }

    /// The same engine; `grants` says what a person does who wants to grant it rights.
    #[must_use]
    pub fn granted_by(mut self, grants: &str) -> Self {
        self.cluster = self.cluster.granted_by(grants);
        self
    }

    /// The newest revision of a release, in whatever state it is; `namespace` is that of the records.
    ///
    /// # Errors
    /// The cluster does not answer, or a record cannot be read.
    pub async fn current(&self, namespace: &str, release: &str) -> Result<Option<Record>, Error> {
        let newest = Storage::new(&self.cluster, namespace, release).newest().await?;
        Ok(newest.map(|stored| stored.record))
    }

    /// All revisions of a release that are kept, from old to new.
    ///
    /// # Errors
    /// The cluster does not answer, or a record cannot be read.
    pub async fn history(&self, namespace: &str, release: &str) -> Result<Vec<Record>, Error> {
        let storage = Storage::new(&self.cluster, namespace, release);
        let mut records = Vec::new();
        for revision in storage.list().await?.into_keys() {
            records.extend(storage.read(revision).await?.map(|stored| stored.record));
        }
        Ok(records)
    }
}
