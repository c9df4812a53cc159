//! Why the controller's process, or a step of it, fails.

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
pub(crate) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = causes(error).into_iter();
    let mut words = causes.next().unwrap_or_default();
    for more in causes {
        // Some errors tell their source themselves.
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
    }
    words
}

/// An error and what it came from, each in its words. Of an API server's answer these are its message, not all of its
/// fields.
#[must_use]
pub fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(answer) = answer(error) {
            causes.push(answer);
            break;
        }
        causes.push(error.to_string());
        next = error.source();
    }
    causes
}

/// What an API server answered.
fn answer(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status.message.clone()),
        Some(kube::Error::Api(status)) => Some(format!("{} ({})", status.reason, status.code)),
        _ => None,
    }
}

impl Error {
    /// An answer of the API server that is an error.
    #[must_use]
    pub fn kube(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// An API server that answers with an error is no failure of the network.
pub(crate) fn of_cluster(error: &kube::Error) -> Class {
    if matches!(error, kube::Error::Api(_)) { Class::Other } else { Class::Network }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Kube(source) => of_cluster(source),
            Self::Registry(error) => error.class(),
            Self::Serve(error) => error.class(),
            Self::Listen { source, .. } | Self::BundleTrust { source, .. } => source.class(),
            Self::BundleKeys { source, .. } => source.class(),
            Self::Audit(error) => error.class(),
            Self::VerdictKey(error) => error.class(),
            Self::Kubeconfig(_) => Class::Usage,
            Self::NotInCluster(_)
            | Self::Tls(_)
            | Self::Certificate(_)
            | Self::CertificateJson(_)
            | Self::ServingCertificate(_) => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn of_an_api_server_s_answer_only_the_message_is_told() {
        let answer = || kube::Error::Api(Box::new(Status::failure("pods \"a\" is forbidden", "Forbidden")));
        assert_eq!(words(&answer()), "pods \"a\" is forbidden");
        assert_eq!(words(&Error::kube(answer())), "the API server: pods \"a\" is forbidden");
        let engine = crate::engine::Error::Kube { action: "apply it".to_owned(), source: Box::new(answer()) };
        assert_eq!(words(&engine), "cannot apply it: pods \"a\" is forbidden");
        let silent = kube::Error::Api(Box::new(Status::failure("", "Timeout").with_code(504)));
        assert_eq!(words(&Error::kube(silent)), "the API server: Timeout (504)");
    }
}
