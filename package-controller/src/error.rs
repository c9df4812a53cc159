//! Why the controller's process, or a step of it, fails.

/// What this crate's functions that ask a cluster return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the controller's process, or a step of it, fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kubeconfig that cannot be used.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// Neither a kubeconfig nor a pod's service account.
    #[error("not in a cluster, and no kubeconfig was given")]
    NotInCluster(#[source] kube::config::InClusterError),
    /// The API server refused, or did not answer.
    #[error("the API server")]
    Kube(#[source] Box<kube::Error>),
    /// The registry's client cannot be set up, or the registry failed.
    #[error(transparent)]
    Registry(#[from] registry::client::Error),
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
    /// The audit log cannot be opened.
    #[error("the audit log cannot be opened")]
    Audit(#[source] Box<audit::Error>),
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

/// An error and what it came from, in one line.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        // Some errors tell their source themselves.
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}

impl Error {
    /// An answer of the API server that is an error.
    #[must_use]
    pub fn kube(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}
