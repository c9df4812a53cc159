//! The errors of this crate.

use std::io;

use error_class::{Class, Classified};

/// An error of this crate.
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
        /// The user.
        user: String,
    },
    /// A password file lists a user twice.
    #[error("line {line} of the password file: `{user}` is listed twice")]
    PasswordTwice {
        /// The line's number, from 1.
        line: usize,
        /// The user.
        user: String,
    },
    /// An address range is malformed.
    #[error("`{0}` is not an IP address or a range of IP addresses")]
    Cidr(String),
}

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PasswordLine { .. } | Self::PasswordHash { .. } => {
                Some("create the line again with `htpasswd -nB USER`")
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
