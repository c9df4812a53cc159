//! Why the webhooks cannot be served, or kept.

use brief::of_cluster;
use error_class::{Class, Classified};

/// What this crate's functions that ask a cluster return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the webhooks cannot be served, or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("the API server")]
    Kube(#[source] Box<kube::Error>),
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A socket that was listened on failed.
    #[error(transparent)]
    Serve(#[from] registry::Error),
    /// The trust file for bundles cannot be read.
    #[error("cannot read the trust file `{path}`")]
    BundleTrust {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key for bundles is none, or the trust file that holds it.
    #[error("the keys for bundles of packages cannot be used{}", path.as_ref().map(|path| format!(": `{}`", path.display())).unwrap_or_default())]
    BundleKeys {
        /// The file, when they are in one.
        path: Option<std::path::PathBuf>,
        /// Why.
        source: Box<bundle_signer::Error>,
    },
    /// TLS cannot be set up.
    #[error("cannot set TLS up")]
    Tls(#[source] rustls::Error),
    /// A serving certificate cannot be made.
    #[error("cannot make a certificate for the webhooks")]
    Certificate(#[source] rcgen::Error),
    /// The serving certificate cannot be written down.
    #[error("cannot write the webhooks' certificate down")]
    CertificateJson(#[source] serde_json::Error),
    /// The key of the index of verdicts cannot be made or used.
    #[error("cannot use the key that signs verdicts")]
    VerdictKey(#[source] bundle_signer::Error),
    /// The serving certificate cannot be used.
    #[error("cannot use the webhooks' certificate: {0}")]
    ServingCertificate(String),
}

impl Error {
    /// An answer of the API server that is an error.
    #[must_use]
    pub fn kube(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Kube(source) => of_cluster(source),
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
