//! Charts installed, upgraded, rolled back and taken away as Helm does, with records that Helm reads.
//!
//! The record of a revision, with the whole manifest, is written before its first object is applied, and every step
//! after that may be done twice. So whoever was killed in between goes on where it was: [`Engine::install`] called
//! again with the same plan finishes that revision and makes no other.
//!
//! - [`Engine`]: one target cluster; [`Limits`]: how long, and what becomes of a failure
//! - [`Record`]: a release's revision as Helm stores it
//! - [`Prepared`]: a chart, pulled by its digest and rendered for this cluster, before anything is changed
//! - [`readiness`]: when an object is ready, by kstatus' and Helm's rules
//!
//! `Install -> Prepared -> Record`

mod adopt;
mod apply;
mod certificates;
mod chart;
mod cluster;
mod definitions;
mod drift;
mod error;
mod hooks;
mod install;
mod lookup;
mod object;
mod prepare;
pub mod readiness;
mod record;
mod remove;
mod rollback;
mod storage;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod uninstall;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use oci::{Digest, RegistryHost};
use serde_json::Value;

use self::chart::Charts;
use self::cluster::Cluster;
pub use self::error::Error;
pub(crate) use self::object::RELEASE_NAME;
use self::record::Seed;
use self::storage::Storage;
use crate::guard::Bounds;
use crate::package::Install;

/// What installs charts in one cluster. Clones share what they know of the cluster and the charts they pulled.
#[derive(Clone)]
pub struct Engine {
    cluster: Cluster,
    charts: Charts,
    /// What a package's objects are held to; without a package, nothing.
    bounds: Option<Arc<Bounds>>,
}

/// How long an installation may take, and what becomes of one that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Until all is ready, hooks included.
    pub timeout: Duration,
    /// What becomes of a release that fails.
    pub on_failure: OnFailure,
    /// What becomes of fields that another manager owns.
    pub conflicts: Conflicts,
    /// What becomes of objects that are there and not the release's.
    pub ownership: Ownership,
    /// How many revisions are kept.
    pub history: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(5),
            on_failure: OnFailure::RollBack,
            conflicts: Conflicts::Refuse,
            ownership: Ownership::Refuse,
            history: 10,
        }
    }
}

/// What becomes of a release that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Back to the last good revision; without one, what was installed goes away.
    RollBack,
    /// It stays as it is, to be looked at.
    Leave,
}

/// What becomes of fields that another manager owns and that should be other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// An error that names the manager.
    Refuse,
    /// They are taken over.
    Take,
}

/// What becomes of objects that are there and do not carry the release's marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// An error that names the object, before anything is changed.
    Refuse,
    /// They become the release's.
    Take,
}

/// Annotations by which the engine knows which run of a hook made an object, and which release a definition is of.
pub(crate) const MARKS: [&str; 2] = [hooks::RUN, definitions::RELEASE];

/// The annotation of a package that asks for [`Ownership::Take`].
pub const TAKE_OWNERSHIP: &str = "airlock.dev/take-ownership";

/// Helm's states of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Whatever Helm has no word for.
    Unknown,
    /// It is what should be in the cluster.
    Deployed,
    /// It is gone, and its record was kept.
    Uninstalled,
    /// A later revision took its place.
    Superseded,
    /// It did not succeed.
    Failed,
    /// It is being taken away.
    Uninstalling,
    /// The first installation is under way.
    PendingInstall,
    /// An upgrade is under way.
    PendingUpgrade,
    /// A rollback is under way.
    PendingRollback,
}

/// A revision of a release.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The release.
    pub name: String,
    /// The namespace that the chart is installed in.
    pub namespace: String,
    /// The namespace of the release's records.
    pub release_namespace: String,
    /// The revision; the first is 1.
    pub revision: u32,
    /// Its state.
    pub status: Status,
    /// Why it is in this state, for people.
    pub description: String,
    /// The user's values.
    pub config: Value,
    /// The objects, as YAML documents.
    pub manifest: String,
    /// The hooks, each a YAML document.
    pub hooks: Vec<String>,
    /// What the chart tells the user.
    pub notes: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    /// The chart's digest, if this engine installed it.
    pub chart_digest: Option<Digest>,
}

/// A chart pulled, verified and rendered for a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The plan it is made of.
    pub plan: Install,
    /// The namespace that it goes to.
    pub namespace: String,
    /// The objects, as YAML documents in install order, byte for byte as Helm has them but for images that were named by
    /// the bundle's digests.
    pub manifest: String,
    /// The definitions that are applied before, as YAML documents.
    pub definitions: String,
    /// What the chart tells the user.
    pub notes: String,
    /// The revision it would become.
    pub revision: u32,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    is_upgrade: bool,
    digest: Digest,
    seed: Seed,
    document: Value,
    /// Every object, with its namespace.
    objects: Vec<Value>,
}

/// An object that is not as the release's manifest has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// `Deployment eksa-packages/hello`
    pub object: String,
    /// What is wrong with it.
    pub change: Change,
}

/// How an object differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is gone.
    Gone,
    /// These fields differ, as paths: `.spec.replicas`.
    Fields(Vec<String>),
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

    /// Pulls the chart by its digest, checks it and the values, renders it for this cluster, judges every object and names
    /// images by their digests. Nothing is changed.
    ///
    /// # Errors
    /// The chart is not there, is another, cannot be rendered with these values for this cluster, or comes to more than
    /// the package may bring.
    pub async fn prepare(&self, plan: &Install) -> Result<Prepared, Error> {
        // The futures are large, and callers are not to carry them.
        Box::pin(prepare::prepare(self, plan)).await
    }

    /// Installs or upgrades, and waits until all is ready. What was begun before, and what is there already, is
    /// gone on with: calling it again never installs twice.
    ///
    /// # Errors
    /// An object is refused, belongs to somebody else or does not get ready in time. By then the release is back
    /// at its last good revision, or gone if it had none, as `limits` want it.
    pub async fn install(&self, prepared: &Prepared, limits: &Limits) -> Result<Record, Error> {
        Box::pin(install::install(self, prepared, limits)).await
    }

    /// Puts back the exact manifest of an earlier revision, by default of the last good one, as a new revision.
    ///
    /// # Errors
    /// There is no such revision, or as for [`Engine::install`].
    pub async fn rollback(
        &self,
        namespace: &str,
        release: &str,
        revision: Option<u32>,
        limits: &Limits,
    ) -> Result<Record, Error> {
        Box::pin(rollback::rollback(self, namespace, release, revision, limits)).await
    }

    /// Takes a release away, with its records. One that is not there is no error.
    ///
    /// # Errors
    /// A hook fails, or an object does not go in time.
    pub async fn uninstall(&self, namespace: &str, release: &str, limits: &Limits) -> Result<(), Error> {
        Box::pin(uninstall::uninstall(self, namespace, release, limits, uninstall::Why::Asked)).await
    }

    /// The objects of a revision that are gone or were changed in what the revision says of them.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn drift(&self, record: &Record) -> Result<Vec<Drift>, Error> {
        Box::pin(drift::drift(&self.cluster, record)).await
    }
}
