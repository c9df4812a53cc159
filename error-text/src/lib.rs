//! Short error texts for people: an error with its causes, truncated lists and truncated texts.
//!
//! For all crates that talk to a cluster, an error response of the Kubernetes API server is shortened to its message
//! and classified here.

use error_class::{Class, Classified};
use kube::config::KubeconfigError;

/// Joins the first `limit` items and appends the number of the remaining ones.
#[must_use]
pub fn join_first(items: impl ExactSizeIterator<Item = String>, limit: usize, separator: &str) -> String {
    let more = items.len().saturating_sub(limit);
    let mut parts: Vec<_> = items.take(limit).collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join(separator)
}

/// The longest prefix of a text of at most `limit` bytes.
#[must_use]
pub fn truncate(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// An error and its causes in one line.
#[must_use]
pub fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = causes(error).into_iter();
    let mut line = causes.next().unwrap_or_default();
    for cause in causes {
        // Some errors include the text of their source.
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// The texts of an error and of its causes. An error response of the API server is reduced to its message.
#[must_use]
pub fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(message) = api_message(error) {
            causes.push(message);
            break;
        }
        causes.push(error.to_string());
        next = error.source();
    }
    causes
}

/// The message of an error response of the API server.
fn api_message(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status.message.clone()),
        Some(kube::Error::Api(status)) => Some(format!("{} ({})", status.reason, status.code)),
        _ => None,
    }
}

/// The API server rejected a request, or did not answer.
#[derive(Debug, thiserror::Error)]
#[error("the request to the API server failed")]
pub struct RequestFailed(#[source] Box<kube::Error>);

impl RequestFailed {
    /// The cause.
    #[must_use]
    pub fn cause(&self) -> &kube::Error {
        &self.0
    }
}

impl From<kube::Error> for RequestFailed {
    fn from(error: kube::Error) -> Self {
        Self(Box::new(error))
    }
}

impl Classified for RequestFailed {
    fn class(&self) -> Class {
        kube_class(&self.0)
    }
}

/// The class of a `kube` error. An error response of the API server is not a network failure.
#[must_use]
pub fn kube_class(error: &kube::Error) -> Class {
    if matches!(error, kube::Error::Api(_)) { Class::Other } else { Class::Network }
}

/// The class of an error about a kubeconfig: a file or a context that does not exist, or wrong configuration.
#[must_use]
pub fn kubeconfig_class(error: &KubeconfigError) -> Class {
    match error {
        KubeconfigError::ReadConfig(source, _) => source.class().of_argument(),
        KubeconfigError::LoadContext(_) | KubeconfigError::FindPath => Class::Missing,
        _ => Class::Usage,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot apply it")]
    struct Apply(#[source] Box<kube::Error>);

    #[test]
    fn an_error_response_of_the_api_server_is_reduced_to_its_message() {
        let response = || kube::Error::Api(Box::new(Status::failure("pods \"a\" is forbidden", "Forbidden")));
        assert_eq!(one_line(&response()), "pods \"a\" is forbidden");
        assert_eq!(one_line(&Apply(Box::new(response()))), "cannot apply it: pods \"a\" is forbidden");
        assert_eq!(
            one_line(&RequestFailed::from(response())),
            "the request to the API server failed: pods \"a\" is forbidden"
        );
        let silent = kube::Error::Api(Box::new(Status::failure("", "Timeout").with_code(504)));
        assert_eq!(one_line(&Apply(Box::new(silent))), "cannot apply it: Timeout (504)");
    }
}
