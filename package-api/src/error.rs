//! Invalid text in a field of the API.

use error_class::{Class, Classified};

/// Invalid text in a field of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `v<major>-<minor>-<build>`.
    #[error("`{0}` is not a bundle name such as `v1-35-2026-03-12-1773300000` or `v1-27-125`")]
    BundleName(String),
    /// Not accepted by Go's `time.ParseDuration`, or negative, or longer than a century.
    #[error("`{0}` is not a duration such as `24h` or `1h30m`")]
    Duration(String),
    /// The object has another API version.
    #[error("the object has API version `{found}`, expected `{expected}`")]
    ApiVersion {
        /// The API version of the object.
        found: String,
        /// The expected API version.
        expected: String,
    },
    /// The object has another kind.
    #[error("the object has kind `{found}`, expected `{expected}`")]
    Kind {
        /// The kind of the object.
        found: String,
        /// The expected kind.
        expected: &'static str,
    },
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::BundleName(_) | Self::Duration(_) | Self::ApiVersion { .. } | Self::Kind { .. } => {
                Class::Usage
            }
        }
    }
}
