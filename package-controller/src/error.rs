//! Why the controller's process, or a step of it, fails.

use brief::of_cluster;
use error_class::{Class, Classified};

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
    /// The webhooks cannot be served, or the keys for bundles cannot be used.
    #[error(transparent)]
    Admission(#[from] admission::Error),
    /// Health and metrics cannot be served.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The audit log cannot be opened.
    #[error("the audit log cannot be opened")]
    Audit(#[source] Box<audit::Error>),
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
            Self::Registry(error) => error.class(),
            Self::Admission(error) => error.class(),
            Self::Telemetry(error) => error.class(),
            Self::Audit(error) => error.class(),
            Self::Kubeconfig(_) => Class::Usage,
            Self::NotInCluster(_) => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use brief::words;
    use kube::core::Status;

    use super::*;

    #[test]
    fn of_an_api_server_s_answer_only_the_message_is_told() {
        let answer = || kube::Error::Api(Box::new(Status::failure("pods \"a\" is forbidden", "Forbidden")));
        assert_eq!(words(&answer()), "pods \"a\" is forbidden");
        assert_eq!(words(&Error::kube(answer())), "the API server: pods \"a\" is forbidden");
        let engine = installer::Error::Kube { action: "apply it".to_owned(), source: Box::new(answer()) };
        assert_eq!(words(&engine), "cannot apply it: pods \"a\" is forbidden");
        let silent = kube::Error::Api(Box::new(Status::failure("", "Timeout").with_code(504)));
        assert_eq!(words(&Error::kube(silent)), "the API server: Timeout (504)");
    }
}
