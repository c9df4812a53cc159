//! Why a mirror run fails.

mod class;

use oci::Digest;

use super::failures::list;

/// What came is not what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("`{item}`: {from} sent {size} bytes with the digest `{found}`, expected `{expected}`: {rule}")]
pub struct WrongContent {
    /// The item, with the blob where it is about one.
    pub item: String,
    /// Who sent it.
    pub from: String,
    /// How many bytes came.
    pub size: u64,
    /// What they hash to.
    pub found: Digest,
    /// What was asked for.
    pub expected: Digest,
    /// The rule that they break.
    pub rule: String,
}

/// Every way in which a mirror run can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A registry or a URL gave no answer.
    #[error("the mirror could not fetch")]
    Client(#[source] registry::client::Error),
    /// An item of the mirror file could not be fetched.
    #[error("cannot fetch `{item}`")]
    Fetch {
        /// The item, with the blob where it is about one.
        item: String,
        /// Why.
        #[source]
        source: registry::client::Error,
    },
    /// What came is not what was asked for.
    #[error(transparent)]
    Content(Box<WrongContent>),
    /// More than one item failed.
    #[error("{} failures, and nothing was published:{}", .0.len(), list(.0))]
    Several(Vec<Error>),
    /// A file of certificates cannot be used.
    #[error("cannot use the certificates in `{path}`")]
    Certificates {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: registry::client::Error,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// A local file cannot be read or written.
    #[error("cannot use `{path}`")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A chart cannot be loaded, or does not render, so that its images are not known.
    #[error("chart `{chart}` cannot be rendered to learn its images")]
    Render {
        /// Which.
        chart: String,
        /// Why.
        #[source]
        source: Box<helm::Error>,
    },
    /// The provenance beside a chart is another chart's.
    #[error("`{path}` does not state the digest of the chart beside it, `{chart}`")]
    Provenance {
        /// The provenance file.
        path: String,
        /// The chart's digest.
        chart: Digest,
    },
    /// A chart must be signed, and nothing beside it says by whom it is.
    #[error("chart `{0}` has no provenance file, which its keyring requires")]
    NoProvenance(String),
    /// A chart is not signed by whom it must be signed.
    #[error("chart `{chart}` is refused")]
    NotBySigner {
        /// Which.
        chart: String,
        /// Why.
        #[source]
        source: Box<bundle_signer::provenance::ProvenanceError>,
    },
    /// A chart's schema refers to another one by its URL.
    #[error("the schema of chart `{chart}` refers to `{url}`, which is not fetched")]
    RemoteSchema {
        /// Which.
        chart: String,
        /// The URL.
        url: String,
    },
    /// A chart's archive is larger than any that Helm would take.
    #[error("chart `{0}` is larger than 64 MiB")]
    ChartTooLarge(String),
    /// A chart renders to something that is not YAML.
    #[error("chart `{chart}` renders to something that is not YAML")]
    RenderedYaml {
        /// Which.
        chart: String,
        /// Where and why.
        #[source]
        source: Box<gostd::yaml::Error>,
    },
    /// A `Chart.yaml` is malformed.
    #[error("`{name}` is malformed")]
    Document {
        /// Which.
        name: String,
        /// Where and why.
        #[source]
        source: Box<gostd::yaml::Error>,
    },
    /// A manifest of EKS is not signed by whom the mirror file demands, AWS unless it says otherwise.
    #[error("the signature of `{name}` is refused")]
    Unverified {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: Box<bundle_signer::Error>,
    },
    /// A manifest of EKS is no YAML.
    #[error("`{name}` is not YAML")]
    Eks {
        /// Which.
        name: String,
        /// Where and why.
        #[source]
        source: Box<gostd::yaml::Error>,
    },
    /// A manifest of EKS has not the members of its kind.
    #[error("`{name}` is not a {expected}")]
    Shape {
        /// Which.
        name: String,
        /// Its kind.
        expected: &'static str,
        /// What is wrong.
        #[source]
        source: Box<serde_json::Error>,
    },
    /// A manifest of EKS is of another kind.
    #[error("`{name}` is a `{found}`, expected a `{expected}`")]
    DocumentKind {
        /// Which.
        name: String,
        /// Its kind.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// A reference, digest or manifest is malformed.
    #[error("a name or manifest is not valid")]
    Oci(#[source] oci::Error),
    /// A URL is malformed. It is not repeated: it may hold a password.
    #[error("the URL of `{name}` is not usable: expected {expected}")]
    Url {
        /// What it is the URL of.
        name: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A URL gives no name in the store.
    #[error("`{0}` has no host and file name to derive a name from")]
    FileName(String),
    /// The registry has no such thing.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// An index lists a manifest that its registry does not have.
    #[error("`{image}` lists the manifest `{digest}`, which its registry does not have")]
    Missing {
        /// The image.
        image: String,
        /// What is missing.
        digest: Digest,
    },
    /// Something about an image is listed, but its registry does not have it.
    #[error(
        "`{digest}`, a signature, attestation or SBOM of `{image}`, is listed, but its registry does not have it"
    )]
    MissingReferrer {
        /// The image.
        image: String,
        /// What is missing.
        digest: Digest,
    },
    /// An image has more manifests below and about it than one may have.
    #[error("`{reference}` has more than {limit} {what} below and about it")]
    TooMany {
        /// The image.
        reference: String,
        /// The most of them.
        limit: usize,
        /// What is counted.
        what: &'static str,
    },
    /// An index has none of the wanted platforms.
    #[error("`{reference}` has none of the platforms {wanted}")]
    NoPlatform {
        /// The image.
        reference: String,
        /// What was wanted.
        wanted: String,
    },
    /// What was mirrored lacks something that one of its manifests names, or has it with another size.
    #[error("what was mirrored is not complete: {}", crate::complete::list(.0))]
    Incomplete(Vec<crate::complete::Gap>),
    /// A layer that a registry need not have, and that nobody has.
    #[error("`{image}` cannot be mirrored whole: its layer `{layer}` is {why}")]
    Layer {
        /// The image.
        image: String,
        /// The layer.
        layer: Digest,
        /// What was tried.
        why: &'static str,
    },
    /// A manifest of a kind that is not supported.
    #[error("`{reference}` is {kind}, which is not supported")]
    Unsupported {
        /// The image.
        reference: String,
        /// The kind.
        kind: &'static str,
    },
    /// A file is not what its checksum says.
    #[error("`{source_name}` hashes to `{found}`, not to `{expected}`")]
    Checksum {
        /// The file.
        source_name: String,
        /// What was expected.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Two items want the same tag for different things.
    #[error("`{0}` is ambiguous: two sources give it different content")]
    Clash(String),
    /// An image on disk is not what it should be.
    #[error("`{path}` has {what}")]
    Archive {
        /// The archive or folder.
        path: std::path::PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// An archive does not have all manifests of an image.
    #[error("`{path}` does not have the manifest `{digest}`, which an image in it needs")]
    ArchiveLacks {
        /// The archive or folder.
        path: std::path::PathBuf,
        /// What is missing.
        digest: Digest,
    },
    /// An archive does not tell which image is meant.
    #[error("`{path}` {what}; it has {}", names.join("; "))]
    ArchiveChoice {
        /// The archive or folder.
        path: std::path::PathBuf,
        /// What is wrong.
        what: String,
        /// The images that it has.
        names: Vec<String>,
    },
    /// A chart archive cannot be read.
    #[error("`{path}` is not a chart archive")]
    ChartArchive {
        /// The archive.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A chart archive has no usable `Chart.yaml`.
    #[error("`{0}` has no `Chart.yaml` with a name and a version")]
    NoChart(String),
    /// A package bundle's artifact has no content.
    #[error("`{0}` is not a package bundle's artifact: it has no layer")]
    EmptyBundle(String),
    /// Signatures of upstream cannot be looked at.
    #[error("the signatures of `{reference}` cannot be read")]
    Evidence {
        /// The image.
        reference: String,
        /// Why.
        #[source]
        source: Box<evidence::Error>,
    },
    /// Upstream did not sign what it should have.
    #[error("`{reference}` is not signed as the mirror file requires: {}", why.join("; "))]
    Unsigned {
        /// The image.
        reference: String,
        /// Each signature that does not count, and why.
        why: Vec<String>,
    },
    /// The store's file system has too little room.
    #[error("the store has {free} bytes free, {needed} are needed")]
    NoSpace {
        /// Free bytes.
        free: u64,
        /// Needed bytes.
        needed: u64,
    },
    /// A task of this program died.
    #[error("internal error: a task of the mirror ended unexpectedly")]
    Died,
}

impl Error {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Client(error)
            | Self::Certificates { source: error, .. }
            | Self::Fetch { source: error, .. } => error.hint(),
            Self::MissingReferrer { .. } => Some(
                "`signatures: {follow: available}` in the mirror file leaves out what is listed and missing, and reports each",
            ),
            Self::Several(_) => {
                Some("what was fetched is kept: correct the causes and run the command again")
            }
            Self::Content { .. } => {
                Some("the upstream or something before it changes content: find out which before you go on")
            }
            Self::Store(error) => error.hint(),
            Self::NotFound(_) => {
                Some("check the reference; `--update` resolves the references of the lock again")
            }
            Self::Render { .. } => Some(
                "give the chart `values` or `set` in the mirror file, or `images: false` to leave its images out",
            ),
            Self::NotBySigner { source, .. } => source.hint(),
            Self::NoProvenance(_) => Some(
                "put the `.prov` file that `helm package --sign` made beside the chart, or push it with the chart by `helm push`",
            ),
            Self::ArchiveLacks { .. } => Some(
                "if it was saved for some platforms only, name these by `platforms` in the mirror file; else save it again",
            ),
            Self::ArchiveChoice { .. } => Some(
                "name one by `image`: a full name, or the digest; without `image` and `reference`, all are taken under their own names",
            ),
            Self::Unverified { .. } => Some(
                "give the signer's public key by `verify: {key: FILE}` beside it; `unverified: true` takes it without a check",
            ),
            Self::RemoteSchema { .. } => Some(
                "put that schema into the chart and refer to it by `#/$defs/...`, or give the chart `skipSchemaValidation: true`",
            ),
            Self::Layer { .. } => Some(
                "allow its URL by `foreignLayers.urls` in the mirror file, or declare it absent by `foreignLayers.absent`",
            ),
            Self::Incomplete(_) => Some(
                "the publisher must correct the manifest; if a manifest is missing, run `airlock mirror --update`",
            ),
            Self::Unsupported { .. } => Some(
                "have it pushed again by a current tool, as an OCI or Docker schema 2 manifest, or leave it out",
            ),
            Self::Unsigned { .. } => Some(
                "if the publisher's key, identity or name changed, learn so from the publisher, then change `verify`",
            ),
            Self::NoPlatform { .. } => Some("change `platforms` in the mirror file"),
            Self::Checksum { .. } => {
                Some("the file changed or the checksum is wrong: find out which before you go on")
            }
            Self::NoSpace { .. } => Some("free space, or use a store on a larger file system"),
            _ => None,
        }
    }
}
