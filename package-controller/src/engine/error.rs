//! Why a chart cannot be installed, upgraded, rolled back or taken away.

/// Why a chart cannot be installed, upgraded, rolled back or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("cannot {action}")]
    Kube {
        /// What was to be done.
        action: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
}
