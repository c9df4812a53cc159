//! Why a chart cannot be installed, upgraded, rolled back or taken away.

mod class;

use std::time::Duration;

use brief::few;
use oci::Digest;

use crate::marks::TAKE_OWNERSHIP;

/// Of so many objects it is told what they lack.
const MOST: usize = 8;

/// Why a chart cannot be installed, upgraded, rolled back or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("cannot {action}")]
    Kube {
        /// What was to be done.
        action: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The controller has no right to an object.
    #[error("the controller has no right to {object}; {grants}")]
    Rights {
        /// The object.
        object: String,
        /// What a person does who wants to grant it.
        grants: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server took too long.
    #[error("cannot {action}: the API server sent no answer in {seconds} s")]
    Silent {
        /// What was to be done.
        action: String,
        /// How long it had.
        seconds: u64,
    },
    /// The registry failed.
    #[error("cannot pull the chart `{chart}`")]
    Pull {
        /// Where it should be.
        chart: String,
        /// Why.
        #[source]
        source: registry::client::Error,
    },
    /// The registry has no such chart.
    #[error("the registry has no chart `{chart}`; mirror it, and import it here")]
    NoChart {
        /// Where it should be.
        chart: String,
    },
    /// What the plan calls a chart's place is none.
    #[error("`{place}` is not a place of a chart")]
    Place {
        /// What it says.
        place: String,
        /// What is wrong.
        #[source]
        source: oci::Error,
    },
    /// The digest names something that is no chart, or a larger one than is taken.
    #[error("`{chart}` is not a chart: {reason}")]
    NotAChart {
        /// Where it is.
        chart: String,
        /// What is wrong.
        reason: String,
    },
    /// What was sent is not what the digest says.
    #[error("the chart `{chart}` is not what was asked for: {found} came for {expected}")]
    Digest {
        /// Where it is.
        chart: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The chart cannot be loaded or rendered.
    #[error(transparent)]
    Chart(#[from] helm::Error),
    /// What the chart comes to is more than the package may bring.
    #[error("{reason}")]
    Refused {
        /// Which object, why, and what to do.
        reason: String,
    },
    /// A document of a manifest is no object that can be applied.
    #[error("a document of the manifest is no object: {reason}")]
    Document {
        /// What is wrong.
        reason: String,
    },
    /// The cluster has no such kind.
    #[error("the cluster has no kind `{kind}` of `{api_version}`; its definition must be installed first")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// An object is there already and belongs to somebody else.
    #[error(
        "{object} exists and cannot be imported into the release: {reason}; delete it, give it the release's labels, or set \
         the package's annotation `{TAKE_OWNERSHIP}: \"true\"`"
    )]
    Foreign {
        /// The object.
        object: String,
        /// What it lacks.
        reason: String,
    },
    /// A definition of the chart's `crds/` is there already, is not the release's and is another.
    #[error(
        "{definition} exists, is not the release's and differs from the chart's; nothing was changed. Install the chart \
         version that it is from, or set the package's annotation `{TAKE_OWNERSHIP}: \"true\"`, which replaces it unless \
         that would prune data"
    )]
    ForeignDefinition {
        /// The definition.
        definition: String,
    },
    /// What is installed cannot go to another namespace.
    #[error(
        "the release `{release}` is installed in the namespace `{installed}` and cannot move to `{wanted}`; nothing was \
         changed. Set targetNamespace to `{installed}`, or delete the package and create it again"
    )]
    Moved {
        /// The release.
        release: String,
        /// Where it is.
        installed: String,
        /// Where it was to go.
        wanted: String,
    },
    /// The API server does not allow this change of an object that is there.
    #[error(
        "{object} cannot be changed like that, and nothing was changed; take the change back, or delete the object first"
    )]
    Invalid {
        /// The object.
        object: String,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Fields of an object belong to another manager.
    #[error("{object} was changed by others: {}; undo the change, or let go of these fields", list(.fields))]
    Conflict {
        /// The object.
        object: String,
        /// Manager and field.
        fields: Vec<(String, String)>,
    },
    /// An object did not get ready in time.
    #[error("not ready after {} s: {}", .timeout.as_secs(), few(.waiting.iter().cloned(), MOST, "; "))]
    NotReady {
        /// How long it was waited for.
        timeout: Duration,
        /// The objects, each with what it lacks.
        waiting: Vec<String>,
    },
    /// An object cannot get ready any more.
    #[error("{object} failed: {reason}")]
    ObjectFailed {
        /// The object.
        object: String,
        /// Why.
        reason: String,
    },
    /// An object is gone before it was done.
    #[error("{object} was deleted before it finished; last seen: {seen}")]
    Vanished {
        /// The object.
        object: String,
        /// What was seen of it last.
        seen: String,
    },
    /// A hook failed, or did not end.
    #[error("the {event} hook {hook} failed: {reason}")]
    Hook {
        /// When it ran.
        event: &'static str,
        /// The hook.
        hook: String,
        /// Why.
        reason: String,
        /// Whether the hook itself said so, or still runs. Else nothing is known of its end.
        is_judged: bool,
    },
    /// Objects that are to be taken away do not go.
    #[error("not gone after {} s: {}", .timeout.as_secs(), .objects.join(", "))]
    NotGone {
        /// How long it was waited for.
        timeout: Duration,
        /// The objects.
        objects: Vec<String>,
    },
    /// A record is none of Helm's.
    #[error("the release record `{record}` cannot be read: {reason}")]
    Record {
        /// The Secret.
        record: String,
        /// What is wrong.
        reason: String,
    },
    /// The record of the revision is beyond what a Secret holds, even without the chart's files.
    #[error(
        "the release record would have {bytes} bytes, and a Secret holds {limit}: the manifest is too large"
    )]
    RecordTooLarge {
        /// How many there are.
        bytes: usize,
        /// How many may be.
        limit: usize,
    },
    /// Somebody else changed the release meanwhile.
    #[error("somebody else changed the release `{release}` meanwhile")]
    Changed {
        /// The release.
        release: String,
    },
    /// Another program's operation on the release is under way.
    #[error("another operation on the release `{release}` is in progress: {status} since {seconds} s")]
    Busy {
        /// The release.
        release: String,
        /// The state.
        status: &'static str,
        /// For how long.
        seconds: i64,
    },
    /// There is no such release or revision.
    #[error("there is no {what} of the release `{release}`")]
    NoRevision {
        /// The release.
        release: String,
        /// What was asked for.
        what: String,
    },
    /// The installation failed, and this became of the release.
    #[error("revision {revision} failed; {outcome}")]
    Failed {
        /// The revision.
        revision: u32,
        /// What became of the release.
        outcome: String,
        /// Why it failed.
        #[source]
        source: Box<Error>,
    },
    /// Why another process saw it fail.
    #[error("{reason}")]
    Earlier {
        /// What it wrote down.
        reason: String,
    },
    /// No randomness.
    #[error("the system gives no random numbers")]
    Random,
    /// A part of the work ended by itself.
    #[error("the render ended by itself")]
    Render,
}

fn list(fields: &[(String, String)]) -> String {
    let words = fields.iter().map(|(manager, field)| format!("`{field}` belongs to `{manager}`"));
    words.collect::<Vec<_>>().join(", ")
}

/// Whether somebody deletes the namespace: once it is gone, who tries again makes it again.
fn is_namespace_going(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let Some(details) = &status.details else { return false };
    match status.code {
        403 => details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"),
        404 => details.kind == "namespaces",
        _ => false,
    }
}

impl Error {
    /// Whether trying again without any change may help: the cluster or the registry is not well.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Kube { source, .. } => is_transient(source) || is_namespace_going(source),
            Self::Silent { .. } | Self::Changed { .. } | Self::Busy { .. } | Self::Pull { .. } => true,
            _ => false,
        }
    }

    /// Whether it was refused before anything was changed, and will be again until the package or the cluster changes.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::ForeignDefinition { .. } | Self::Moved { .. } | Self::Invalid { .. })
    }

    /// What failed and why, in one line for people: the error with all that it comes from.
    #[must_use]
    pub fn words(&self) -> String {
        brief::words(self)
    }
}

/// What is no answer, or one that a moment later may be another.
pub(crate) fn is_transient(error: &kube::Error) -> bool {
    match error {
        // A 500 without these reasons is the server's answer to what was sent. The second is kube's for a body that is no
        // `Status`: a request that was dropped on its way, and nobody's judgement of it.
        kube::Error::Api(status) if status.code == 500 => {
            matches!(status.reason.as_str(), "InternalError" | "Failed to parse error data")
        }
        kube::Error::Api(status) => matches!(status.code, 429 | 502 | 503 | 504),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}
