//! Errors of the controller.

use error_class::{Class, Classified};
use error_text::{RequestFailed, kubeconfig_class};

/// The result of this crate's functions that access a cluster.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The process of the controller, or a step of it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// There is neither a kubeconfig nor the service account of a pod.
    #[error("not in a cluster, and no kubeconfig was given")]
    NotInCluster(#[source] kube::config::InClusterError),
    /// The API server rejected a request, or did not answer.
    #[error(transparent)]
    Kube(#[from] RequestFailed),
    /// The registry client cannot be set up, or a request to the registry failed.
    #[error(transparent)]
    Registry(#[from] registry::client::Error),
    /// The webhooks cannot be served, or the keys for bundles cannot be used.
    #[error(transparent)]
    Admission(#[from] admission::Error),
    /// Health and metrics cannot be served.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log")]
    Audit(#[source] Box<audit::Error>),
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
            Self::Registry(error) => error.class(),
            Self::Admission(error) => error.class(),
            Self::Telemetry(error) => error.class(),
            Self::Audit(error) => error.class(),
            Self::Kubeconfig(error) => kubeconfig_class(error),
            Self::NotInCluster(_) => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use error_text::one_line;
    use kube::core::Status;

    use super::*;

    #[test]
    fn an_error_response_of_the_api_server_is_reduced_to_its_message() {
        let response = || kube::Error::Api(Box::new(Status::failure("pods \"a\" is forbidden", "Forbidden")));
        assert_eq!(one_line(&response()), "pods \"a\" is forbidden");
        assert_eq!(
            one_line(&Error::kube(response())),
            "the request to the API server failed: pods \"a\" is forbidden"
        );
        let engine = installer::Error::Kube { action: "apply it".to_owned(), source: Box::new(response()) };
        assert_eq!(one_line(&engine), "cannot apply it: pods \"a\" is forbidden");
        let silent = kube::Error::Api(Box::new(Status::failure("", "Timeout").with_code(504)));
        assert_eq!(one_line(&Error::kube(silent)), "the request to the API server failed: Timeout (504)");
    }
}
