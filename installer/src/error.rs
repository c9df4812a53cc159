//! Errors of installing, upgrading, rolling back and uninstalling charts.

mod class;

use std::time::Duration;

use error_text::join_first;
use oci::Digest;

use crate::annotations::TAKE_OWNERSHIP;

/// The most objects in a message.
const MAX_LISTED: usize = 8;

/// A chart cannot be installed, upgraded, rolled back or uninstalled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server rejected the request, or did not answer.
    #[error("cannot {action}")]
    Kube {
        /// The failed action.
        action: String,
        /// The error.
        #[source]
        source: Box<kube::Error>,
    },
    /// The controller has no permission for an object.
    #[error("the controller has no permission for {object}; {permission_hint}")]
    Rights {
        /// The object.
        object: String,
        /// How to grant the permission.
        permission_hint: String,
        /// The error response of the API server.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not answer in time.
    #[error("cannot {action}: the API server did not answer within {seconds} s")]
    Timeout {
        /// The failed action.
        action: String,
        /// The timeout.
        seconds: u64,
    },
    /// The request to the registry failed.
    #[error("cannot pull the chart `{chart}`")]
    Pull {
        /// The chart.
        chart: String,
        /// The cause.
        #[source]
        source: registry::client::Error,
    },
    /// The registry has no such chart.
    #[error("the registry has no chart `{chart}`; mirror it, and import it here")]
    NoChart {
        /// The chart.
        chart: String,
    },
    /// The location of a chart or an image in a plan is invalid.
    #[error("`{location}` is not a valid location of a chart")]
    Location {
        /// The location.
        location: String,
        /// The cause.
        #[source]
        source: oci::Error,
    },
    /// The digest is not of a chart, or of a chart that is too large.
    #[error("`{chart}` is not a chart: {reason}")]
    NotAChart {
        /// The chart.
        chart: String,
        /// The problem.
        reason: String,
    },
    /// The registry sent other content than the requested digest.
    #[error(
        "the registry sent different content for the chart `{chart}`: expected {expected}, received {found}"
    )]
    Digest {
        /// The chart.
        chart: String,
        /// The requested digest.
        expected: Digest,
        /// The digest of the received content.
        found: Digest,
    },
    /// The chart cannot be loaded or rendered.
    #[error(transparent)]
    Chart(#[from] helm::Error),
    /// The chart contains more than the bounds of the package allow.
    #[error("{reason}")]
    Refused {
        /// The object, the reason, and what to do.
        reason: String,
    },
    /// A document of a manifest is not an object that can be applied.
    #[error("a document of the manifest is not an object: {reason}")]
    Document {
        /// The problem.
        reason: String,
    },
    /// The cluster does not have the kind.
    #[error("the cluster has no kind `{kind}` of `{api_version}`; its CRD must be installed first")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// An object exists and does not belong to the release.
    #[error(
        "{object} exists and cannot be imported into the release: {reason}; delete it, add the release's labels to it, or set \
         the package's annotation `{TAKE_OWNERSHIP}: \"true\"`"
    )]
    Foreign {
        /// The object.
        object: String,
        /// The missing labels and annotations.
        reason: String,
    },
    /// A different CRD of the chart's `crds/` exists, and does not belong to the release.
    #[error(
        "{definition} exists, does not belong to the release and differs from the chart's; nothing was changed. Install the \
         chart version that it came from, or set the package's annotation `{TAKE_OWNERSHIP}: \"true\"` to replace it, unless \
         that would prune data"
    )]
    ForeignDefinition {
        /// The CRD.
        definition: String,
    },
    /// An installed release cannot move to another namespace.
    #[error(
        "the release `{release}` is installed in the namespace `{installed}` and cannot move to `{wanted}`; nothing was \
         changed. Set targetNamespace to `{installed}`, or delete the package and create it again"
    )]
    Moved {
        /// The release.
        release: String,
        /// The current namespace.
        installed: String,
        /// The requested namespace.
        wanted: String,
    },
    /// The API server does not allow this change of an existing object.
    #[error(
        "{object} cannot be changed in this way, and nothing was changed; revert the change, or delete the object first"
    )]
    Invalid {
        /// The object.
        object: String,
        /// The error response of the API server.
        #[source]
        source: Box<kube::Error>,
    },
    /// Fields of an object belong to another manager.
    #[error("{object} was changed by others: {}; revert the change, or give up the ownership of these fields", list(.fields))]
    Conflict {
        /// The object.
        object: String,
        /// The managers and their fields.
        fields: Vec<(String, String)>,
    },
    /// Objects did not become ready in time.
    #[error("not ready after {} s: {}", .timeout.as_secs(), join_first(.waiting.iter().cloned(), MAX_LISTED, "; "))]
    NotReady {
        /// The timeout.
        timeout: Duration,
        /// The objects, each with what is missing.
        waiting: Vec<String>,
    },
    /// An object failed and cannot become ready.
    #[error("{object} failed: {reason}")]
    ObjectFailed {
        /// The object.
        object: String,
        /// The reason.
        reason: String,
    },
    /// An object was deleted before it finished.
    #[error("{object} was deleted before it finished; last seen: {seen}")]
    Vanished {
        /// The object.
        object: String,
        /// Its last observed state.
        seen: String,
    },
    /// A hook failed or did not finish.
    #[error("the {event} hook {hook} failed: {reason}")]
    Hook {
        /// The event of the hook.
        event: &'static str,
        /// The hook.
        hook: String,
        /// The reason.
        reason: String,
        /// Whether the hook itself reported the failure, or is still running. Otherwise its result is unknown.
        is_known: bool,
    },
    /// Objects were not deleted in time.
    #[error("not deleted after {} s: {}", .timeout.as_secs(), .objects.join(", "))]
    NotGone {
        /// The timeout.
        timeout: Duration,
        /// The objects.
        objects: Vec<String>,
    },
    /// A Secret is not a valid release record.
    #[error("the release record `{record}` cannot be read: {reason}")]
    Record {
        /// The Secret.
        record: String,
        /// The problem.
        reason: String,
    },
    /// The record of a revision is too large for a Secret, even without the chart's files.
    #[error(
        "the release record would have {bytes} bytes, but a Secret holds at most {limit}: the manifest is too large"
    )]
    RecordTooLarge {
        /// The size of the record.
        bytes: usize,
        /// The maximum size.
        limit: usize,
    },
    /// Another client changed the release at the same time.
    #[error("another client changed the release `{release}` at the same time")]
    Changed {
        /// The release.
        release: String,
    },
    /// Another program's operation on the release is in progress.
    #[error("another operation on the release `{release}` is in progress: {status} for {seconds} s")]
    Busy {
        /// The release.
        release: String,
        /// The status.
        status: &'static str,
        /// The time since the operation began.
        seconds: i64,
    },
    /// The release or the revision does not exist.
    #[error("the release `{release}` has no {what}")]
    NoRevision {
        /// The release.
        release: String,
        /// The requested revision.
        what: String,
    },
    /// The installation failed.
    #[error("revision {revision} failed; {outcome}")]
    Failed {
        /// The revision.
        revision: u32,
        /// What happened to the release.
        outcome: String,
        /// The cause of the failure.
        #[source]
        source: Box<Error>,
    },
    /// The failure that another process recorded.
    #[error("{reason}")]
    Earlier {
        /// The recorded reason.
        reason: String,
    },
    /// The system's random number generator failed.
    #[error("cannot get random numbers from the system")]
    Random,
    /// The task that renders the chart was aborted.
    #[error("rendering the chart was aborted")]
    Render,
}

fn list(fields: &[(String, String)]) -> String {
    let fields = fields.iter().map(|(manager, field)| format!("`{field}` belongs to `{manager}`"));
    fields.collect::<Vec<_>>().join(", ")
}

/// Whether the namespace is being deleted. After the deletion, another attempt creates it again.
fn is_namespace_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let Some(details) = &status.details else { return false };
    match status.code {
        403 => details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"),
        404 => details.kind == "namespaces",
        _ => false,
    }
}

impl Error {
    /// Whether a retry without any change may succeed, because the cluster or the registry has a temporary problem.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Kube { source, .. } => is_transient(source) || is_namespace_terminating(source),
            Self::Timeout { .. } | Self::Changed { .. } | Self::Busy { .. } | Self::Pull { .. } => true,
            _ => false,
        }
    }

    /// Whether the change was rejected before anything was changed, and will be rejected again until the package or the
    /// cluster changes.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::ForeignDefinition { .. } | Self::Moved { .. } | Self::Invalid { .. })
    }

    /// The error and its causes in one line, as text for people.
    #[must_use]
    pub fn one_line(&self) -> String {
        error_text::one_line(self)
    }
}

/// Whether the request got no response, or an error response that may be temporary.
pub(crate) fn is_transient(error: &kube::Error) -> bool {
    match error {
        // A 500 without these reasons is the server's response to the content of the request. The second reason is kube's for
        // a body that is not a `Status`: the request was dropped on its way and never evaluated.
        kube::Error::Api(status) if status.code == 500 => {
            matches!(status.reason.as_str(), "InternalError" | "Failed to parse error data")
        }
        kube::Error::Api(status) => matches!(status.code, 429 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}
