//! The errors of making and publishing bundles.

use std::path::PathBuf;

use error_class::{Class, Classified};
use package_api::BundleName;

/// An error in making a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the expected shape.
    #[error("`{path}`{} is not a valid BundleConfig: {message}", line.map(|line| format!(", line {line},")).unwrap_or_default())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// The line, if known.
        line: Option<u64>,
        /// The problem.
        message: String,
    },
    /// The file has another kind or version.
    #[error("`{field}` is `{found}`, expected `{expected}`")]
    Kind {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// The bundle's name is invalid.
    #[error("the bundle's name is invalid")]
    Name(#[source] package_api::Error),
    /// A package is invalid.
    #[error("package `{package}` {problem}")]
    Package {
        /// The package.
        package: String,
        /// The problem.
        problem: &'static str,
    },
    /// A package depends on a package that is not in the bundle.
    #[error("package `{package}` depends on `{needs}`, which is not in the bundle")]
    Dependency {
        /// The package.
        package: String,
        /// The missing package.
        needs: String,
    },
    /// Another bundle is published under this name.
    #[error("a bundle `{0}` is already published with different content, and is not replaced")]
    Published(BundleName),
    /// A chart's name is not its repository and tag in the store.
    #[error("`{0}` is not the repository and tag of a chart")]
    ChartName(String),
    /// A chart is not in the store.
    #[error("chart `{0}` is not in the store")]
    NoChart(String),
    /// The lock cannot be written.
    #[error("the bundle cannot be added to the lock")]
    Lock(#[source] Box<mirror::Error>),
    /// A bundle is no longer in the store.
    #[error("the bundle {0} is not in the store")]
    NoBundle(oci::Digest),
    /// Images in the rendered objects of a chart are not in the store.
    #[error("chart `{chart}` uses images that are not in the store: {}", images.join(", "))]
    NoImages {
        /// The chart.
        chart: String,
        /// The images.
        images: Vec<String>,
    },
    /// A chart cannot be read or rendered.
    #[error("chart `{chart}` cannot be added to the bundle")]
    Chart {
        /// The chart.
        chart: String,
        /// The cause.
        #[source]
        source: Box<mirror::Error>,
    },
    /// A schema is not JSON, or is too large.
    #[error("the schema of chart `{0}` is not JSON within 8 MiB")]
    Schema(String),
    /// The store failed.
    #[error("an operation on the store failed")]
    Store(#[from] store::Error),
    /// The artifact of a bundle in the store is malformed.
    #[error("the bundle's artifact is malformed")]
    Artifact(#[source] oci::Error),
}

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NoChart(_) => {
                Some("mirror it first; `airlock store list` shows the names of charts in the store")
            }
            Self::NoImages { .. } => Some(
                "mirror the chart under `charts:`, which also mirrors its images, and use the same values in both files",
            ),
            Self::Published(_) => Some(
                "give the new one its own name in `metadata.name`, because clusters do not read a bundle of the same name \
                 again; use --replace to replace it anyway",
            ),
            Self::ChartName(_) => Some("write REPOSITORY:TAG, as shown by `airlock store list`"),
            _ => None,
        }
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Lock(error) => error.class(),
            Self::Chart { source, .. } => source.class(),
            Self::Store(error) => error.class(),
            Self::Yaml { .. }
            | Self::Kind { .. }
            | Self::Name(_)
            | Self::Package { .. }
            | Self::Dependency { .. }
            | Self::Published(_)
            | Self::ChartName(_) => Class::Usage,
            Self::NoChart(_) | Self::NoImages { .. } | Self::NoBundle(_) => Class::Missing,
            Self::Schema(_) | Self::Artifact(_) => Class::Refused,
        }
    }
}
