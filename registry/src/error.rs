//! Why this crate's functions fail.

use std::io;

use error_class::{Class, Classified};

/// Every way in which a call to this crate can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's socket failed.
    #[error("cannot accept connections")]
    Accept(#[source] io::Error),
    /// A line of a password file is not `user:hash`.
    #[error("line {line} of the password file is not `user:hash`")]
    PasswordLine {
        /// The line's number, from 1.
        line: usize,
    },
    /// A line of a password file has a hash of another kind than bcrypt.
    #[error("line {line} of the password file: the hash of `{user}` is not bcrypt")]
    PasswordHash {
        /// The line's number, from 1.
        line: usize,
        /// Whose password it is.
        user: String,
    },
    /// A password file names one user twice.
    #[error("line {line} of the password file: `{user}` was named before")]
    PasswordTwice {
        /// The line's number, from 1.
        line: usize,
        /// Whose password it is.
        user: String,
    },
    /// A range of addresses is malformed.
    #[error("`{0}` is not an address or a range of addresses")]
    Cidr(String),
}

impl Error {
    /// What to do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PasswordLine { .. } | Self::PasswordHash { .. } => {
                Some("make the line anew with `htpasswd -nB USER`")
            }
            Self::PasswordTwice { .. } => Some("remove one of the two lines"),
            Self::Cidr(_) => Some("write it as 10.0.0.0/8 or as a single address"),
            Self::Accept(_) => None,
        }
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::PasswordLine { .. }
            | Self::PasswordHash { .. }
            | Self::PasswordTwice { .. }
            | Self::Cidr(_) => Class::Usage,
            Self::Accept(source) => source.class(),
        }
    }
}
