//! The errors of loading and rendering a chart.

use std::io;
use std::path::PathBuf;

use error_class::{Class, Classified};

use crate::chart::InvalidMetadata;
use crate::template::RenderError;

/// The crate's error. If Helm has a text for a failure, the message is Helm's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chart costs more than [`gostd::Limits`] allows.
    #[error("the chart exceeds the limit `{name}`")]
    Limit {
        /// The field of [`gostd::Limits`].
        name: &'static str,
    },

    /// A file exceeds [`gostd::Limits::file_bytes`] in an archive, or [`gostd::Limits::archive_bytes`] in a directory.
    #[error("chart file {path:?} is larger than the maximum file size {bound}")]
    LargeFile {
        /// The path in the chart.
        path: String,
        /// The maximum size of a file.
        bound: u64,
    },

    /// A chart declares dependencies that are not in its `charts/`.
    #[error("chart `{chart}` declares dependencies in Chart.yaml that are not in its charts/ folder: {}", .names.join(", "))]
    MissingDependencies {
        /// The chart.
        chart: String,
        /// The names of the missing charts.
        names: Vec<String>,
    },

    /// A chart cannot be installed in a cluster, such as a library chart.
    #[error("{kind} charts are not installable")]
    NotInstallable {
        /// Its `type`.
        kind: String,
    },

    /// The bytes do not begin with gzip's magic number.
    #[error("chart archive is not gzip")]
    NotGzip,
    /// The archive is damaged or cannot be read.
    #[error("chart archive cannot be read")]
    Archive(#[source] io::Error),
    /// The archive holds no file.
    #[error("no files in chart archive")]
    NoFiles,
    /// The archive has its `Chart.yaml` next to its base directory instead of inside it.
    #[error("chart yaml not in base directory")]
    OutsideBase,
    /// A file is not inside the archive's base directory.
    #[error("chart illegally contains content outside the base directory: {path:?}")]
    NoDirectory {
        /// The path in the archive.
        path: String,
    },
    /// A name is an absolute path.
    #[error("chart illegally contains absolute paths: {path:?}")]
    AbsolutePath {
        /// The path in the chart.
        path: String,
    },
    /// A name leads out of the chart.
    #[error("chart illegally references parent directory: {path:?}")]
    ParentPath {
        /// The path in the chart.
        path: String,
    },
    /// A name begins with a Windows drive.
    #[error("chart contains illegally named files: {path:?}")]
    DrivePath {
        /// The path in the chart.
        path: String,
    },
    /// A name is not UTF-8, or holds a NUL.
    #[error("chart contains a file name that is not text: {path:?}")]
    UnreadableName {
        /// The name, with its bad bytes replaced.
        path: String,
    },
    /// The chart contains a symbolic link, which could point outside the chart.
    #[error("chart contains a symbolic link: {path:?}")]
    SymbolicLink {
        /// The path in the chart.
        path: String,
    },
    /// The chart contains a hard link, which could point outside the chart.
    #[error("chart contains a hard link: {path:?}")]
    HardLink {
        /// The path in the chart.
        path: String,
    },
    /// The chart contains a device, pipe, socket or an unknown kind of archive entry.
    #[error("cannot load irregular file {path:?}")]
    Irregular {
        /// The path in the chart.
        path: String,
    },

    /// A directory or file of the chart cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A rule of `.helmignore` uses `**`.
    #[error("double-star (**) syntax is not supported: {rule:?}")]
    DoubleStar {
        /// The line.
        rule: String,
    },
    /// A rule of `.helmignore` is not a valid pattern.
    #[error("syntax error in pattern: {rule:?}")]
    Pattern {
        /// The line.
        rule: String,
    },

    /// The chart has no `Chart.yaml`.
    #[error("Chart.yaml file is missing")]
    NoMetadata,
    /// `apiVersion` is neither `v1` nor `v2`.
    #[error("unsupported chart version {version:?}")]
    ApiVersion {
        /// The value of the field.
        version: String,
    },
    /// The content of a file does not match its name.
    #[error("cannot load {file}: {reason}")]
    Content {
        /// The file, relative to its chart.
        file: String,
        /// The parser's message.
        reason: String,
    },
    /// Helm does not accept the content of `Chart.yaml`.
    #[error("validation: {0}")]
    Metadata(InvalidMetadata),
    /// A chart in `charts/` cannot be loaded.
    #[error("error unpacking subchart {name} in {parent}")]
    Subchart {
        /// Its file or directory.
        name: String,
        /// The chart it belongs to.
        parent: String,
        /// The cause.
        #[source]
        source: Box<Error>,
    },
    /// An archive in `charts/` is a directory.
    #[error("error unpacking subchart tar in {parent}: expected {name}, got {path}")]
    SubchartArchive {
        /// The name that ends in `.tgz`.
        name: String,
        /// The chart it belongs to.
        parent: String,
        /// The path of the directory's first file.
        path: String,
    },
    /// A template is not UTF-8.
    #[error("template {path:?} is not valid UTF-8")]
    TemplateEncoding {
        /// The path of the file, including its parent charts.
        path: String,
    },

    /// A values document is not valid YAML, or not a map.
    #[error("values cannot be read: {reason}")]
    Values {
        /// The parser's message.
        reason: String,
    },
    /// A `--set` expression is invalid.
    #[error("failed parsing --{flag} data: {reason}")]
    Set {
        /// The command-line flag.
        flag: &'static str,
        /// The reason.
        reason: String,
    },
    /// The values of a sub-chart are not a map.
    #[error("type mismatch on {chart}: {value}")]
    NotATable {
        /// The sub-chart.
        chart: String,
        /// The value that was found instead.
        value: String,
    },
    /// The values violate a `values.schema.json`.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{violations}")]
    Schema {
        /// The violations, chart by chart.
        violations: String,
    },
    /// Helm does not accept the release name.
    #[error(
        "release name {name:?}: invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than 53"
    )]
    ReleaseName {
        /// The name.
        name: String,
    },
    /// A Kubernetes version is invalid.
    #[error("could not parse {version:?} as version")]
    KubeVersion {
        /// The invalid text.
        version: String,
    },
    /// The chart is incompatible with the version of the cluster.
    #[error("chart requires kubeVersion: {constraint} which is incompatible with Kubernetes {version}")]
    Incompatible {
        /// The constraint in `Chart.yaml`.
        constraint: String,
        /// The version of the cluster.
        version: String,
    },
    /// A template cannot be parsed.
    #[error("{text}")]
    Syntax {
        /// Helm's error text.
        text: String,
    },
    /// A template cannot be executed.
    #[error("{text}")]
    Execution {
        /// Helm's error text.
        text: String,
    },
    /// A template costs more than [`gostd::Limits`] allows.
    #[error("{location}: the chart exceeds the limit `{name}`")]
    RenderLimit {
        /// The template with the line, and the column if known.
        location: String,
        /// The field of [`gostd::Limits`].
        name: &'static str,
    },
    /// The system cannot create a thread for the render.
    #[error("cannot create a thread for the render")]
    Thread(#[source] io::Error),
    /// A rendered document is not valid YAML, or not a Kubernetes object.
    #[error("YAML parse error on {path}: {reason}")]
    Manifest {
        /// The template.
        path: String,
        /// The parser's message.
        reason: String,
    },
}

impl From<schema_bounds::Exceeded> for Error {
    fn from(exceeded: schema_bounds::Exceeded) -> Self {
        Self::Limit { name: exceeded.name }
    }
}

/// Maximum length of a chart's text in an error. The error of a template that calls itself lists each call.
const MAX_TEXT: usize = 4096;

/// Shortens a long text to its beginning and end, with the number of omitted bytes between them.
pub(crate) fn truncated(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let head = text.floor_char_boundary(MAX_TEXT / 2);
    let tail = text.ceil_char_boundary(text.len() - MAX_TEXT / 4);
    let (first, last) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{first}\n[{} bytes of this message are omitted]\n{last}", tail - head)
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Syntax { text } => Self::Syntax { text: truncated(text) },
            RenderError::Execution { text } => Self::Execution { text: truncated(text) },
            RenderError::Limit { location, limit } => Self::RenderLimit { location, name: limit },
        }
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Archive(error) => error.class(),
            Self::Subchart { source, .. } => source.class(),
            Self::Values { .. } | Self::Set { .. } | Self::ReleaseName { .. } | Self::KubeVersion { .. } => {
                Class::Usage
            }
            Self::Limit { .. } | Self::LargeFile { .. } => Class::Refused,
            Self::NoDirectory { .. } => Class::Missing,
            Self::MissingDependencies { .. }
            | Self::NotInstallable { .. }
            | Self::NotGzip
            | Self::NoFiles
            | Self::OutsideBase
            | Self::AbsolutePath { .. }
            | Self::ParentPath { .. }
            | Self::DrivePath { .. }
            | Self::UnreadableName { .. }
            | Self::SymbolicLink { .. }
            | Self::HardLink { .. }
            | Self::Irregular { .. }
            | Self::DoubleStar { .. }
            | Self::Pattern { .. }
            | Self::NoMetadata
            | Self::ApiVersion { .. }
            | Self::Content { .. }
            | Self::Metadata(_)
            | Self::SubchartArchive { .. }
            | Self::TemplateEncoding { .. }
            | Self::NotATable { .. }
            | Self::Schema { .. }
            | Self::Incompatible { .. }
            | Self::Syntax { .. }
            | Self::Execution { .. }
            | Self::RenderLimit { .. }
            | Self::Thread(_)
            | Self::Manifest { .. } => Class::Other,
        }
    }
}
