//! Errors in a mirror file: the problem, its location, and the expected value.

use std::path::{Path, PathBuf};

use error_class::{Class, Classified};
use oci::RegistryHost;

/// An error in a mirror file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the expected shape.
    #[error("{0}")]
    Yaml(String),
    /// A part of the file is invalid.
    #[error("{}: {error}", location(path, *line))]
    At {
        /// The file.
        path: PathBuf,
        /// The line, if known.
        line: Option<u64>,
        /// The error.
        error: Box<Self>,
    },
    /// The file has no sources.
    #[error("`sources` is empty, expected at least one entry")]
    Empty,
    /// The file has another kind or version.
    #[error("`{field}` is `{found}`, expected `{expected}`")]
    Kind {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// The name cannot be part of file names.
    #[error("`{0}` is not a valid name, expected at most 64 lower-case letters, digits, `-` and `.`")]
    Name(String),
    /// A reference, host, platform or checksum is malformed.
    #[error("`{field}` has `{found}`, expected {expected}{}", fix.as_ref().map(|fix| format!("; {fix}")).unwrap_or_default())]
    Value {
        /// The field.
        field: &'static str,
        /// Its value, without secrets.
        found: String,
        /// A description of the expected value.
        expected: &'static str,
        /// A suggested replacement, if one can be guessed.
        fix: Option<String>,
    },
    /// A URL is malformed. The message omits it, because it may contain a password.
    #[error("`{field}` has an invalid URL, expected {expected}")]
    Url {
        /// The field.
        field: &'static str,
        /// A description of the expected value.
        expected: &'static str,
    },
    /// An image pattern is not a regular expression.
    #[error("`imagePatterns` has `{pattern}`, expected a regular expression")]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// The cause.
        #[source]
        source: Box<regex::Error>,
    },
    /// A registry has two rules.
    #[error("`registries` lists `{0}` twice")]
    RegistryTwice(RegistryHost),
    /// A chart is listed with different keyrings, or once with and once without a keyring.
    #[error("the chart `{0}` is listed twice with different values of `keyring`, expected one")]
    Keyrings(String),
    /// A source is contradictory or incomplete.
    #[error("{0}")]
    Source(&'static str),
}

fn location(path: &Path, line: Option<u64>) -> String {
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("the mirror file `{}`{line}", path.display())
}

impl Error {
    /// Adds the line to the error; [`Self::in_file`] adds the file name.
    pub(super) fn at(self, line: Option<u64>) -> Self {
        Self::At { path: PathBuf::new(), line, error: Box::new(self) }
    }

    /// Adds the file to the error, and the line unless a more exact one is known.
    pub(super) fn in_file(self, path: &Path, line: Option<u64>) -> Self {
        match self {
            Self::At { line: own, error, .. } => {
                Self::At { path: path.to_owned(), line: own.or(line), error }
            }
            error => Self::At { path: path.to_owned(), line, error: Box::new(error) },
        }
    }

    /// The line, and the error without its location.
    #[must_use]
    pub fn line_and_error(&self) -> (Option<u64>, &Self) {
        match self {
            Self::At { line, error, .. } => match error.line_and_error() {
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
            Self::Read { source, .. } => source.class(),
            Self::Yaml(_)
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
