//! Why a chart cannot be loaded or rendered: one variant for each way to fail.

use std::io;
use std::path::PathBuf;

use error_class::{Class, Classified};

use crate::chart::Unfit;
use crate::template::RenderError;

/// The crate's error. Where Helm has words for a failure, they are Helm's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The chart costs more than [`gostd::Limits`] allows.
    #[error("the chart is beyond the limit `{name}`")]
    Limit {
        /// The field of [`gostd::Limits`].
        name: &'static str,
    },

    /// A file of the chart is larger than [`gostd::Limits::file_bytes`] allows in an archive, or the whole chart may be.
    #[error("chart file {path:?} is larger than the maximum file size {bound}")]
    LargeFile {
        /// As the chart names it.
        path: String,
        /// How large a file may be.
        bound: u64,
    },

    /// A chart declares dependencies that are not in its `charts/`.
    #[error("chart `{chart}` declares dependencies in Chart.yaml that are not in its charts/ folder: {}", .names.join(", "))]
    MissingDependencies {
        /// The chart.
        chart: String,
        /// The names of the charts that it lacks.
        names: Vec<String>,
    },

    /// A chart is for other charts, not for clusters.
    #[error("{kind} charts are not installable")]
    NotInstallable {
        /// Its `type`.
        kind: String,
    },

    /// The bytes do not begin with gzip's magic number.
    #[error("chart archive is not gzip")]
    NotGzip,
    /// The archive is broken or cannot be read.
    #[error("chart archive cannot be read")]
    Archive(#[source] io::Error),
    /// The archive holds no file.
    #[error("no files in chart archive")]
    NoFiles,
    /// The archive has its `Chart.yaml` beside, not in, its one directory.
    #[error("chart yaml not in base directory")]
    OutsideBase,
    /// A file has no place inside the archive's one directory.
    #[error("chart illegally contains content outside the base directory: {path:?}")]
    NoDirectory {
        /// As the archive names it.
        path: String,
    },
    /// A name begins at the root of a file system.
    #[error("chart illegally contains absolute paths: {path:?}")]
    AbsolutePath {
        /// As the chart names it.
        path: String,
    },
    /// A name leads out of the chart.
    #[error("chart illegally references parent directory: {path:?}")]
    ParentPath {
        /// As the chart names it.
        path: String,
    },
    /// A name begins with a Windows drive.
    #[error("chart contains illegally named files: {path:?}")]
    DrivePath {
        /// As the chart names it.
        path: String,
    },
    /// A name is not UTF-8, or holds a NUL.
    #[error("chart contains a file name that is not text: {path:?}")]
    UnreadableName {
        /// The name, with its bad bytes replaced.
        path: String,
    },
    /// A symbolic link, which could show what is not the chart's.
    #[error("chart contains a symbolic link: {path:?}")]
    SymbolicLink {
        /// As the chart names it.
        path: String,
    },
    /// A hard link, which could show what is not the chart's.
    #[error("chart contains a hard link: {path:?}")]
    HardLink {
        /// As the chart names it.
        path: String,
    },
    /// A device, pipe, socket or an unknown kind of archive entry.
    #[error("cannot load irregular file {path:?}")]
    Irregular {
        /// As the chart names it.
        path: String,
    },

    /// A directory or file of the chart cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A rule of `.helmignore` uses `**`.
    #[error("double-star (**) syntax is not supported: {rule:?}")]
    DoubleStar {
        /// The line.
        rule: String,
    },
    /// A rule of `.helmignore` is no pattern.
    #[error("syntax error in pattern: {rule:?}")]
    Pattern {
        /// The line.
        rule: String,
    },

    /// There is no `Chart.yaml`.
    #[error("Chart.yaml file is missing")]
    NoMetadata,
    /// `apiVersion` is neither `v1` nor `v2`.
    #[error("unsupported chart version {version:?}")]
    ApiVersion {
        /// What it is.
        version: String,
    },
    /// A file of the chart is not what its name says.
    #[error("cannot load {file}: {reason}")]
    Content {
        /// The file, relative to its chart.
        file: String,
        /// What the parser says.
        reason: String,
    },
    /// `Chart.yaml` says something that Helm does not accept.
    #[error("validation: {0}")]
    Metadata(Unfit),
    /// A chart in `charts/` cannot be loaded.
    #[error("error unpacking subchart {name} in {parent}")]
    Subchart {
        /// Its file or directory.
        name: String,
        /// The chart it belongs to.
        parent: String,
        /// Why.
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
        /// What lies there.
        path: String,
    },
    /// A template is not UTF-8.
    #[error("template {path:?} is not valid UTF-8")]
    TemplateEncoding {
        /// The file, with the charts it is in.
        path: String,
    },

    /// A document of values is not YAML, or no map.
    #[error("values cannot be read: {reason}")]
    Values {
        /// What the parser says.
        reason: String,
    },
    /// A `--set` expression cannot be understood.
    #[error("failed parsing --{flag} data: {reason}")]
    Set {
        /// The command-line flag whose grammar it is.
        flag: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The values of a sub-chart are not a map.
    #[error("type mismatch on {chart}: {value}")]
    NotATable {
        /// The sub-chart.
        chart: String,
        /// What stands in place of its values.
        value: String,
    },
    /// The values do not fit a `values.schema.json`.
    #[error("values don't meet the specifications of the schema(s) in the following chart(s):\n{violations}")]
    Schema {
        /// Chart by chart, what is wrong.
        violations: String,
    },
    /// Helm refuses the release's name.
    #[error(
        "release name {name:?}: invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than 53"
    )]
    ReleaseName {
        /// The name.
        name: String,
    },
    /// A Kubernetes version is no version.
    #[error("could not parse {version:?} as version")]
    KubeVersion {
        /// What was given.
        version: String,
    },
    /// The chart is not for this cluster.
    #[error("chart requires kubeVersion: {constraint} which is incompatible with Kubernetes {version}")]
    Incompatible {
        /// What `Chart.yaml` asks for.
        constraint: String,
        /// What the cluster is.
        version: String,
    },
    /// A template cannot be parsed.
    #[error("{text}")]
    Syntax {
        /// What Helm says.
        text: String,
    },
    /// A template cannot be executed.
    #[error("{text}")]
    Execution {
        /// What Helm says.
        text: String,
    },
    /// A template costs more than [`gostd::Limits`] allows.
    #[error("{place}: the chart is beyond the limit `{name}`")]
    RenderLimit {
        /// The template with the line, and the column if it is known.
        place: String,
        /// The field of [`gostd::Limits`].
        name: &'static str,
    },
    /// The system gives no thread for the render.
    #[error("no thread to render in")]
    Thread(#[source] io::Error),
    /// A rendered document is not YAML, or no Kubernetes object.
    #[error("YAML parse error on {path}: {reason}")]
    Manifest {
        /// The template.
        path: String,
        /// What the parser says.
        reason: String,
    },
}

impl From<schema_bounds::Exceeded> for Error {
    fn from(exceeded: schema_bounds::Exceeded) -> Self {
        Self::Limit { name: exceeded.name }
    }
}

/// The longest text of a chart that an error repeats: a template that calls itself names each call.
const MOST_TEXT: usize = 4096;

/// A text as it is, or the beginning and the end of a long one, with how much is missing between them.
pub(crate) fn brief(text: String) -> String {
    if text.len() <= MOST_TEXT {
        return text;
    }
    let head = text.floor_char_boundary(MOST_TEXT / 2);
    let tail = text.ceil_char_boundary(text.len() - MOST_TEXT / 4);
    let (first, last) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{first}\n[{} bytes of this message are omitted]\n{last}", tail - head)
}

impl From<RenderError> for Error {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Syntax { text } => Self::Syntax { text: brief(text) },
            RenderError::Execution { text } => Self::Execution { text: brief(text) },
            RenderError::Limit { place, limit } => Self::RenderLimit { place, name: limit },
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
