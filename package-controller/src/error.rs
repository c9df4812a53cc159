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
}

impl Error {
    /// An answer of the API server that is an error.
    #[must_use]
    pub fn kube(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}
