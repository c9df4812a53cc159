//! What can be wrong with the small languages within the API's strings.

use error_class::{Class, Classified};

/// What can be wrong with the small languages within the API's strings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `v<major>-<minor>-<build>`.
    #[error("`{0}` is not a bundle's name such as `v1-35-2026-03-12-1773300000` or `v1-27-125`")]
    BundleName(String),
    /// Not what Go's `time.ParseDuration` takes, or negative, or more than a century.
    #[error("`{0}` is not a duration such as `24h` or `1h30m`")]
    Duration(String),
    /// The object says that it is of another version.
    #[error("the object is of version `{found}`, expected `{expected}`")]
    ApiVersion {
        /// What it says.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The object says that it is of another kind.
    #[error("the object is of kind `{found}`, expected `{expected}`")]
    Kind {
        /// What it says.
        found: String,
        /// What was expected.
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
