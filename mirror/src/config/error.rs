//! Why a mirror file is refused: what is wrong, where, and what is expected.

use std::path::{Path, PathBuf};

use error_class::{Class, Classified};
use oci::RegistryHost;

/// Why a mirror file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the expected shape.
    #[error("{0}")]
    Yaml(String),
    /// Something in the file is wrong.
    #[error("{}: {error}", place(path, *line))]
    At {
        /// The file.
        path: PathBuf,
        /// The line, where it is known.
        line: Option<u64>,
        /// What is wrong.
        error: Box<Self>,
    },
    /// Nothing is to be mirrored.
    #[error("`sources` is empty: expected at least one")]
    Empty,
    /// The file is of another kind or version.
    #[error("`{field}` is `{found}`, expected `{expected}`")]
    Kind {
        /// Which member.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The name cannot become part of file names.
    #[error("`{0}` is not a name: lower-case letters, digits, `-` and `.`, at most 64")]
    Name(String),
    /// A reference, host, platform or checksum is malformed.
    #[error("`{field}` has `{found}`, expected {expected}{}", fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default())]
    Value {
        /// Which member.
        field: &'static str,
        /// What it has, without what may be secret.
        found: String,
        /// What is expected.
        expected: &'static str,
        /// What to write instead, where that can be guessed.
        fix: Option<String>,
    },
    /// A URL is malformed. It is not repeated: it may hold a password.
    #[error("`{field}` has something that is not a URL, expected {expected}")]
    Url {
        /// Which member.
        field: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// What should find images is no regular expression.
    #[error("`imagePatterns` has `{pattern}`, expected a regular expression")]
    Pattern {
        /// As written.
        pattern: String,
        /// Why.
        #[source]
        source: Box<regex::Error>,
    },
    /// Two rules for one registry.
    #[error("`registries` has `{0}` twice")]
    RegistryTwice(RegistryHost),
    /// One chart with two keyrings, or once with and once without.
    #[error("the chart `{0}` is listed twice with different values of `keyring`, expected one")]
    Keyrings(String),
    /// A source says two things, or too little.
    #[error("{0}")]
    Source(&'static str),
}

fn place(path: &Path, line: Option<u64>) -> String {
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("the mirror file `{}`{line}", path.display())
}

impl Error {
    /// The same, with the line of what is wrong; the file's name comes later.
    pub(super) fn at(self, line: Option<u64>) -> Self {
        Self::At { path: PathBuf::new(), line, error: Box::new(self) }
    }

    /// In a file, at a line unless a more exact one is known.
    pub(super) fn in_file(self, path: &Path, line: Option<u64>) -> Self {
        match self {
            Self::At { line: own, error, .. } => {
                Self::At { path: path.to_owned(), line: own.or(line), error }
            }
            error => Self::At { path: path.to_owned(), line, error: Box::new(error) },
        }
    }

    /// The line, and the error without the place where it is.
    #[must_use]
    pub fn found(&self) -> (Option<u64>, &Self) {
        match self {
            Self::At { line, error, .. } => match error.found() {
                (None, inner) => (*line, inner),
                inner => inner,
            },
            other => (None, other),
        }
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. }
            | Self::Yaml(_)
            | Self::At { .. }
            | Self::Empty
            | Self::Kind { .. }
            | Self::Name(_)
            | Self::Value { .. }
            | Self::Url { .. }
            | Self::Pattern { .. }
            | Self::RegistryTwice(_)
            | Self::Keyrings(_)
            | Self::Source(_) => Class::Usage,
        }
    }
}
