//! Errors of serving health and metrics.

use error_class::{Class, Classified};

/// The result of [`serve`](crate::serve()).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Health and metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Listen { source, .. } => source.class(),
            Self::Serve(error) => error.class(),
        }
    }
}
