//! The errors of a mirror run.

mod class;

use oci::Digest;

use super::failures::list;

/// Content that does not match its digest or size.
#[derive(Debug, thiserror::Error)]
#[error("`{item}`: {from} sent {size} bytes with the digest `{found}`, expected `{expected}`: {rule}")]
pub struct WrongContent {
    /// The item, with the blob if the error is about one.
    pub item: String,
    /// The sender.
    pub from: String,
    /// The number of received bytes.
    pub size: u64,
    /// The digest of the received bytes.
    pub found: Digest,
    /// The expected digest.
    pub expected: Digest,
    /// The rule that the content violates.
    pub rule: String,
}

/// An error of a mirror run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request to a registry or a URL failed.
    #[error("cannot fetch from the upstream")]
    Client(#[source] registry::client::Error),
    /// An item of the mirror file could not be fetched.
    #[error("cannot fetch `{item}`")]
    Fetch {
        /// The item, with the blob if the error is about one.
        item: String,
        /// The cause.
        #[source]
        source: registry::client::Error,
    },
    /// The content does not match its digest or size.
    #[error(transparent)]
    Content(Box<WrongContent>),
    /// More than one item failed.
    #[error("{} failures, and nothing was published:{}", .0.len(), list(.0))]
    Several(Vec<Error>),
    /// A certificate file cannot be used.
    #[error("cannot use the certificates in `{path}`")]
    Certificates {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: registry::client::Error,
    },
    /// The store failed.
    #[error("an operation on the store failed")]
    Store(#[from] store::Error),
    /// A local file cannot be read or written.
    #[error("cannot use `{path}`")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A chart cannot be loaded or rendered, so its images are unknown.
    #[error("cannot render chart `{chart}` to find its images")]
    Render {
        /// The chart.
        chart: String,
        /// The cause.
        #[source]
        source: Box<helm::Error>,
    },
    /// A provenance file is for another chart.
    #[error("the provenance file `{path}` does not state the digest of its chart, `{chart}`")]
    Provenance {
        /// The provenance file.
        path: String,
        /// The chart's digest.
        chart: Digest,
    },
    /// A chart must be signed, but has no provenance file.
    #[error("chart `{0}` has no provenance file, which its keyring requires")]
    NoProvenance(String),
    /// A chart is not signed by the required signer.
    #[error("the signature of chart `{chart}` is refused")]
    NotBySigner {
        /// The chart.
        chart: String,
        /// The cause.
        #[source]
        source: Box<bundle_signer::provenance::ProvenanceError>,
    },
    /// A chart's schema refers to another schema by URL.
    #[error("the schema of chart `{chart}` refers to `{url}`, which is not fetched")]
    RemoteSchema {
        /// The chart.
        chart: String,
        /// The URL.
        url: String,
    },
    /// A chart archive is larger than Helm accepts.
    #[error("chart `{0}` is larger than 64 MiB")]
    ChartTooLarge(String),
    /// The rendered objects of a chart are not YAML.
    #[error("the rendered objects of chart `{chart}` are not valid YAML")]
    RenderedYaml {
        /// The chart.
        chart: String,
        /// The position and the cause.
        #[source]
        source: Box<gostd::yaml::Error>,
    },
    /// A `Chart.yaml` is malformed.
    #[error("`{name}` is malformed")]
    Document {
        /// The file.
        name: String,
        /// The position and the cause.
        #[source]
        source: Box<gostd::yaml::Error>,
    },
    /// An EKS manifest is not signed by the signer that the mirror file requires, by default AWS.
    #[error("the signature of `{name}` is refused")]
    Unverified {
        /// The manifest.
        name: String,
        /// The cause.
        #[source]
        source: Box<bundle_signer::Error>,
    },
    /// An EKS manifest is not YAML.
    #[error("`{name}` is not YAML")]
    Eks {
        /// The manifest.
        name: String,
        /// The position and the cause.
        #[source]
        source: Box<gostd::yaml::Error>,
    },
    /// An EKS manifest does not have the fields of its kind.
    #[error("`{name}` is not a {expected}")]
    Shape {
        /// The manifest.
        name: String,
        /// The expected kind.
        expected: &'static str,
        /// The cause.
        #[source]
        source: Box<serde_json::Error>,
    },
    /// An EKS manifest has another kind.
    #[error("`{name}` is a `{found}`, expected a `{expected}`")]
    DocumentKind {
        /// The manifest.
        name: String,
        /// Its kind.
        found: String,
        /// The expected kind.
        expected: &'static str,
    },
    /// A reference, digest or manifest is malformed.
    #[error("invalid name or manifest")]
    Oci(#[source] oci::Error),
    /// A URL is malformed. The message omits it, because it may contain a password.
    #[error("the URL of `{name}` is not usable: expected {expected}")]
    Url {
        /// The item that has the URL.
        name: String,
        /// A description of the expected value.
        expected: &'static str,
    },
    /// A name in the store cannot be derived from a URL.
    #[error("`{0}` has no host and file name to derive a name from")]
    FileName(String),
    /// The item does not exist in its registry.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// An index lists a manifest that its registry does not have.
    #[error("`{image}` lists the manifest `{digest}`, which its registry does not have")]
    Missing {
        /// The image.
        image: String,
        /// The missing manifest.
        digest: Digest,
    },
    /// A referrer of an image is listed, but its registry does not have it.
    #[error(
        "`{digest}`, a signature, attestation or SBOM of `{image}`, is listed, but its registry does not have it"
    )]
    MissingReferrer {
        /// The image.
        image: String,
        /// The missing referrer.
        digest: Digest,
    },
    /// An image and its referrers exceed a limit.
    #[error("`{reference}` and its referrers have more than {limit} {what}")]
    TooMany {
        /// The image.
        reference: String,
        /// The limit.
        limit: usize,
        /// The unit of the limit.
        what: &'static str,
    },
    /// An index has none of the wanted platforms.
    #[error("`{reference}` has none of the platforms {wanted}")]
    NoPlatform {
        /// The image.
        reference: String,
        /// The requested platforms.
        wanted: String,
    },
    /// Content that a manifest lists is missing or has another size.
    #[error("the mirrored content is not complete: {}", crate::complete::list(.0))]
    Incomplete(Vec<crate::complete::Gap>),
    /// A layer that a registry may lack is not available anywhere.
    #[error("cannot mirror `{image}` completely: its layer `{layer}` is {reason}")]
    Layer {
        /// The image.
        image: String,
        /// The layer.
        layer: Digest,
        /// Where it was not found.
        reason: &'static str,
    },
    /// The kind of a manifest is not supported.
    #[error("`{reference}` is {kind}, which is not supported")]
    Unsupported {
        /// The image.
        reference: String,
        /// The kind.
        kind: &'static str,
    },
    /// A file does not match its checksum.
    #[error("`{source_name}` has the digest `{found}`, expected `{expected}`")]
    Checksum {
        /// The file.
        source_name: String,
        /// The expected digest.
        expected: Digest,
        /// The actual digest.
        found: Digest,
    },
    /// Two items have the same tag for different content.
    #[error("`{0}` is ambiguous: two sources give it different content")]
    Clash(String),
    /// An image on disk is invalid.
    #[error("`{path}` has {what}")]
    Archive {
        /// The archive or folder.
        path: std::path::PathBuf,
        /// The problem.
        what: &'static str,
    },
    /// An archive lacks a manifest of an image.
    #[error("`{path}` does not have the manifest `{digest}`, which an image in it needs")]
    ArchiveLacks {
        /// The archive or folder.
        path: std::path::PathBuf,
        /// The missing manifest.
        digest: Digest,
    },
    /// The image in an archive is not selected unambiguously.
    #[error("`{path}` {what}; it has {}", names.join("; "))]
    ArchiveChoice {
        /// The archive or folder.
        path: std::path::PathBuf,
        /// The problem.
        what: String,
        /// The images in the archive.
        names: Vec<String>,
    },
    /// A chart archive cannot be read.
    #[error("`{path}` is not a chart archive")]
    ChartArchive {
        /// The archive.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A chart archive has no usable `Chart.yaml`.
    #[error("`{0}` has no `Chart.yaml` with a name and a version")]
    NoChart(String),
    /// The artifact of a package bundle has no content.
    #[error("`{0}` is not the artifact of a package bundle: it has no layer")]
    EmptyBundle(String),
    /// The upstream signatures cannot be read.
    #[error("cannot read the signatures of `{reference}`")]
    Evidence {
        /// The image.
        reference: String,
        /// The cause.
        #[source]
        source: Box<evidence::Error>,
    },
    /// An image lacks a required upstream signature.
    #[error("`{reference}` is not signed as the mirror file requires: {}", reasons.join("; "))]
    Unsigned {
        /// The image.
        reference: String,
        /// The reasons why its signatures do not count.
        reasons: Vec<String>,
    },
    /// The store's file system has too little room.
    #[error("the store has {free} bytes of free space, but {needed} are needed")]
    NoSpace {
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needed: u64,
    },
    /// A task ended unexpectedly.
    #[error("internal error: a task of the mirror ended unexpectedly")]
    Died,
}

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Client(error)
            | Self::Certificates { source: error, .. }
            | Self::Fetch { source: error, .. } => error.hint(),
            Self::MissingReferrer { .. } => Some(
                "set `signatures: {follow: available}` in the mirror file to leave out and report those that are listed but missing",
            ),
            Self::Several(_) => Some("correct the causes and run the command again; fetched content is kept"),
            Self::Content { .. } => Some(
                "the upstream or a proxy in between changes the content: find out which before you continue",
            ),
            Self::Store(error) => error.hint(),
            Self::NotFound(_) => {
                Some("check the reference; use `--update` to resolve the references of the lock again")
            }
            Self::Render { .. } => Some(
                "give the chart `values` or `set` in the mirror file, or `images: false` to leave its images out",
            ),
            Self::NotBySigner { source, .. } => source.hint(),
            Self::NoProvenance(_) => Some(
                "put the `.prov` file from `helm package --sign` next to the chart, or push both with `helm push`",
            ),
            Self::ArchiveLacks { .. } => Some(
                "if it was saved for some platforms only, list these under `platforms` in the mirror file; otherwise, save it again",
            ),
            Self::ArchiveChoice { .. } => Some(
                "select one with `image`: a full name or the digest; without `image` and `reference`, all are mirrored under their own names",
            ),
            Self::Unverified { .. } => Some(
                "give the signer's public key with `verify: {key: FILE}`, or accept it without verification with `unverified: true`",
            ),
            Self::RemoteSchema { .. } => Some(
                "put that schema into the chart and refer to it by `#/$defs/...`, or set `skipSchemaValidation: true` for the chart",
            ),
            Self::Layer { .. } => Some(
                "allow its URL in `foreignLayers.urls` in the mirror file, or declare it absent in `foreignLayers.absent`",
            ),
            Self::Incomplete(_) => Some(
                "ask the publisher to correct the manifest; if a manifest is missing, run `airlock mirror --update`",
            ),
            Self::Unsupported { .. } => Some(
                "have it pushed again with a current tool, as an OCI or Docker schema 2 manifest, or leave it out",
            ),
            Self::Unsigned { .. } => Some(
                "if the publisher's key, identity or name changed, confirm the change with the publisher, then change `verify`",
            ),
            Self::NoPlatform { .. } => Some("change `platforms` in the mirror file"),
            Self::Checksum { .. } => {
                Some("the file changed or the checksum is wrong: find out which before you continue")
            }
            Self::NoSpace { .. } => Some("free space, or use a store on a larger file system"),
            _ => None,
        }
    }
}
