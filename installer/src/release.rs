//! A release's revision as it is told, and what became of its objects since.

use oci::Digest;
use serde_json::Value;

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
