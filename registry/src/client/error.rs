//! Why a registry's answer is none.

use oci::{Digest, RegistryHost, RepositoryName};
use oci_client::errors::{OciDistributionError, OciErrorCode};

/// Every way in which a request to a registry can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
    /// A client for one host cannot be set up.
    #[error("a client for `{host}` cannot be set up")]
    Setup {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: OciDistributionError,
    },
    /// The registry refused, or could not be reached.
    #[error("`{host}` gave no answer for `{repository}`")]
    Request {
        /// The host as it stands in references.
        host: String,
        /// The repository.
        repository: String,
        /// What happened.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// A download broke off.
    #[error("the connection to `{host}` broke")]
    Broken {
        /// The host.
        host: String,
        /// How.
        #[source]
        source: std::io::Error,
    },
    /// A URL gave no file.
    #[error("`{url}` gave no file")]
    Url {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The manifest is not valid.
    #[error("the manifest of `{reference}` is not valid")]
    Manifest {
        /// What was asked for.
        reference: String,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// The content is other than asked for.
    #[error("the registry sent `{found}` for `{expected}`")]
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A referrers list is malformed.
    #[error("the registry's list of referrers is malformed")]
    Json(#[source] serde_json::Error),
    /// Docker's configuration cannot be read.
    #[error("cannot read Docker's configuration `{path}`")]
    DockerConfig {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A credential helper failed.
    #[error("the credential helper `docker-credential-{helper}` failed")]
    Helper {
        /// Its name.
        helper: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn request(
        host: &RegistryHost,
        repository: &RepositoryName,
        source: OciDistributionError,
    ) -> Self {
        Self::Request { host: host.to_string(), repository: repository.to_string(), source: Box::new(source) }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::Url { source, .. } => {
                source.status().is_none_or(|status| status.is_server_error() || status.as_u16() == 429)
            }
            Self::Request { source, .. } => match &**source {
                OciDistributionError::RequestError(_) | OciDistributionError::IoError(_) => true,
                OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
                OciDistributionError::RegistryError { envelope, .. } => {
                    envelope.errors.iter().any(|error| error.code == OciErrorCode::Toomanyrequests)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Request { source, .. } => match &**source {
                OciDistributionError::UnauthorizedError { .. }
                | OciDistributionError::AuthenticationFailure(_) => Some(
                    "log in with `docker login` or `podman login --compat-auth-file`, then run the command again",
                ),
                _ => Some(
                    "check the host, the network and the `registries` of the mirror file, then run the command again",
                ),
            },
            Self::Broken { .. } | Self::Url { .. } => {
                Some("run the command again: it goes on where it stopped")
            }
            _ => None,
        }
    }
}

/// A clean 404, as opposed to a failure.
pub(super) fn is_absence(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code == 404,
        OciDistributionError::RegistryError { envelope, .. } => {
            !envelope.errors.is_empty()
                && envelope.errors.iter().all(|error| {
                    matches!(
                        error.code,
                        OciErrorCode::ManifestUnknown
                            | OciErrorCode::NameUnknown
                            | OciErrorCode::BlobUnknown
                            | OciErrorCode::NotFound
                    )
                })
        }
        _ => false,
    }
}
