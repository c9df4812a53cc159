//! The revisions of a release, and the drift of its objects.

use oci::Digest;
use serde_json::Value;

/// Helm's statuses of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A status that Helm does not define.
    Unknown,
    /// The revision is deployed.
    Deployed,
    /// The revision is uninstalled, and its record was kept.
    Uninstalled,
    /// A later revision replaced it.
    Superseded,
    /// The revision failed.
    Failed,
    /// The revision is being uninstalled.
    Uninstalling,
    /// The first installation is in progress.
    PendingInstall,
    /// An upgrade is in progress.
    PendingUpgrade,
    /// A rollback is in progress.
    PendingRollback,
}

/// A revision of a release.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The name of the release.
    pub name: String,
    /// The namespace that the chart is installed in.
    pub namespace: String,
    /// The namespace of the records.
    pub release_namespace: String,
    /// The number of the revision; the first is 1.
    pub revision: u32,
    /// The status.
    pub status: Status,
    /// The reason for the status, as text for people.
    pub description: String,
    /// The values of the user.
    pub config: Value,
    /// The objects, as YAML documents.
    pub manifest: String,
    /// The hooks, each a YAML document.
    pub hooks: Vec<String>,
    /// The notes of the chart.
    pub notes: String,
    /// The name of the chart.
    pub chart: String,
    /// The version of the chart.
    pub chart_version: String,
    /// The digest of the chart, if this engine installed it.
    pub chart_digest: Option<Digest>,
}

/// An object that differs from the release's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The object, such as `Deployment eksa-packages/hello`.
    pub object: String,
    /// The difference.
    pub change: Change,
}

/// How an object differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object was deleted.
    Gone,
    /// These fields differ, as paths: `.spec.replicas`.
    Fields(Vec<String>),
}
