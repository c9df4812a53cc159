//! Errors of serving the webhooks and of maintaining their configuration.

use error_class::{Class, Classified};
use error_text::RequestFailed;

/// The result of this crate's functions that access a cluster.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The webhooks cannot be served, or their configuration cannot be maintained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server rejected a request, or did not answer.
    #[error(transparent)]
    Kube(#[from] RequestFailed),
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// A listening socket failed.
    #[error(transparent)]
    Serve(#[from] registry::Error),
    /// The trust file for bundles cannot be read.
    #[error("cannot read the trust file `{path}`")]
    BundleTrust {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A key for package bundles, or the trust file that contains it, is invalid.
    #[error("cannot use the keys for package bundles{}", path.as_ref().map(|path| format!(": `{}`", path.display())).unwrap_or_default())]
    BundleKeys {
        /// The file, if the keys are in one.
        path: Option<std::path::PathBuf>,
        /// The cause.
        source: Box<bundle_signer::Error>,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The serving certificate cannot be created.
    #[error("cannot create the serving certificate of the webhooks")]
    Certificate(#[source] rcgen::Error),
    /// The serving certificate cannot be serialized.
    #[error("cannot serialize the serving certificate of the webhooks")]
    CertificateJson(#[source] serde_json::Error),
    /// The key that signs the verdicts cannot be created or used.
    #[error("cannot use the key that signs verdicts")]
    VerdictKey(#[source] bundle_signer::Error),
    /// The serving certificate cannot be used.
    #[error("cannot use the serving certificate of the webhooks: {0}")]
    ServingCertificate(String),
}

impl Error {
    /// Wraps an error of a request to the API server.
    #[must_use]
    pub fn kube(error: kube::Error) -> Self {
        Self::Kube(error.into())
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Kube(error) => error.class(),
            Self::Serve(error) => error.class(),
            Self::Listen { source, .. } | Self::BundleTrust { source, .. } => source.class(),
            Self::BundleKeys { source, .. } => source.class(),
            Self::VerdictKey(error) => error.class(),
            Self::Tls(_) | Self::Certificate(_) | Self::CertificateJson(_) | Self::ServingCertificate(_) => {
                Class::Other
            }
        }
    }
}
