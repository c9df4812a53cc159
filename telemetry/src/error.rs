//! Why health and metrics cannot be served.

use error_class::{Class, Classified};

/// What [`serve`](crate::serve()) returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why health and metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Listen { source, .. } => source.class(),
            Self::Serve(error) => error.class(),
        }
    }
}
