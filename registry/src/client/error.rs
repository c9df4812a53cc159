//! Why a registry's answer is none.

use http::StatusCode;
use oci::Digest;
use oci_client::errors::OciDistributionError;

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
    /// The registry could not be reached.
    #[error("`{host}` gave no answer for `{repository}`")]
    Request {
        /// The host as it stands in references.
        host: String,
        /// The repository.
        repository: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The registry answered, but not with what was asked for.
    #[error("`{host}` refused `{repository}` with status {status}: {said}")]
    Refused {
        /// The host as it stands in references.
        host: String,
        /// The repository.
        repository: String,
        /// The answer's status.
        status: StatusCode,
        /// What the registry said.
        said: String,
    },
    /// The token service gave no token.
    #[error("the token service of `{host}` gave no token")]
    Token {
        /// The host as it stands in references.
        host: String,
        /// Why.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// The registry broke the protocol.
    #[error("`{host}` broke the protocol: {what}")]
    Protocol {
        /// The host.
        host: String,
        /// How.
        what: &'static str,
    },
    /// What is to be pushed cannot be read.
    #[error("what is to be pushed cannot be read")]
    Source(#[source] std::io::Error),
    /// A download broke off.
    #[error("the connection to `{host}` broke")]
    Broken {
        /// The host.
        host: String,
        /// How.
        #[source]
        source: reqwest::Error,
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
    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Request { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Url { source, .. } => source
                .status()
                .is_none_or(|status| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS),
            _ => false,
        }
    }

    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }
            | Self::Token { .. } => Some(
                "log in with `docker login` or `podman login --compat-auth-file`, then run the command again",
            ),
            Self::Request { .. } | Self::Refused { .. } => Some(
                "check the host, the network and the `registries` of the mirror file, then run the command again",
            ),
            Self::Broken { .. } | Self::Url { .. } => {
                Some("run the command again: it goes on where it stopped")
            }
            _ => None,
        }
    }
}
