//! The error of a rejected YAML document, with its position.

use std::fmt;

use error_class::{Class, Classified};
use granit_parser::ErrorKind;

/// A YAML document was rejected: the problem and its position.
///
/// ```
/// let error = gostd::yaml::parse("a: 1\nb: [1", &gostd::Limits::default()).unwrap_err();
/// assert_eq!(error.line(), 2);
/// assert!(error.to_string().starts_with("line 2, column "));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The problem.
    pub problem: Problem,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A problem of a YAML document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is not valid YAML; the text is libyaml's.
    #[error("{0}")]
    Syntax(&'static str),
    /// Quoted scalars continue with too little indentation for this reader, too often to be repaired.
    #[error("a quoted multi-line scalar is not indented")]
    Unindented,
    /// An alias refers to an anchor that is not defined before it.
    #[error("unknown anchor '{0}' referenced")]
    UnknownAnchor(Box<str>),
    /// An alias is inside the node that it refers to.
    #[error("anchor '{0}' value contains itself")]
    SelfReference(Box<str>),
    /// `<<` has a value that cannot be merged.
    #[error("map merge requires map or sequence of maps as the value")]
    Merge,
    /// A key that JSON cannot have.
    #[error("unsupported map key of type {0}")]
    Key(&'static str),
    /// A tag requires a type that the text does not have.
    #[error("cannot decode {found} `{text}` as a !!{wanted}")]
    Tag {
        /// The tag of the type that the text has.
        found: &'static str,
        /// The scalar.
        text: Box<str>,
        /// The type that the tag requires, without the exclamation marks.
        wanted: Box<str>,
    },
    /// `!!binary` is not base64.
    #[error("!!binary value contains invalid base64 data")]
    Binary,
    /// An infinity or NaN, which JSON cannot represent.
    #[error("unsupported value: {0}")]
    NotFinite(&'static str),
    /// Strict reading found a duplicate key.
    #[error("key {0:?} already set in map")]
    Duplicate(Box<str>),
    /// Too much of the document comes from aliases, by go-yaml's own limit.
    #[error("document contains excessive aliasing")]
    Aliasing,
    /// A limit was exceeded: the name of a field of [`crate::Limits`].
    #[error("document exceeds the limit `{0}`")]
    Limit(&'static str),
}

impl Error {
    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column, from 1, in characters.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The error text of `sigs.k8s.io/yaml` for a conversion to JSON.
    #[must_use]
    pub fn go_message(&self) -> String {
        let text = match &self.problem {
            Problem::Syntax(text) => match self.go_line(text) {
                0 => format!("yaml: {text}"),
                line => format!("yaml: line {line}: {text}"),
            },
            Problem::Key(kind @ ("map" | "slice")) => format!("yaml: invalid map key: {kind}"),
            Problem::Key("null") => "unsupported map key of type: %!s(<nil>), key: <nil>".to_owned(),
            Problem::Key(kind) => format!("unsupported map key of type: {kind}"),
            Problem::NotFinite(number) => format!("json: unsupported value: {number}"),
            other => format!("yaml: {other}"),
        };
        format!("error converting YAML to JSON: {text}")
    }
}

/// The ends of the texts of libyaml's parser; the other texts are its scanner's.
const PARSER: [&str; 6] =
    ["node content", "or ']'", "or '}'", "expected key", "indicator", "<document start>"];

impl Error {
    /// The line that go-yaml reports, or 0 for none. libyaml's scanner counts from 1 but does not report the first
    /// line, its parser counts from 0, and its reader reports no line.
    fn go_line(&self, text: &str) -> usize {
        if text.starts_with("control") {
            0
        } else if text == "could not find expected ':'" {
            self.line + 1
        } else if PARSER.iter().any(|problem| text.ends_with(problem)) {
            self.line.saturating_sub(1)
        } else if self.line > 1 {
            self.line
        } else {
            0
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.line, self.column, self.problem)
    }
}

impl std::error::Error for Error {}

impl Classified for Error {
    fn class(&self) -> Class {
        self.problem.class()
    }
}

impl Classified for Problem {
    fn class(&self) -> Class {
        match self {
            Self::Syntax(_)
            | Self::Unindented
            | Self::UnknownAnchor(_)
            | Self::SelfReference(_)
            | Self::Merge
            | Self::Key(_)
            | Self::Tag { .. }
            | Self::Binary
            | Self::NotFinite(_)
            | Self::Duplicate(_)
            | Self::Aliasing
            | Self::Limit(_) => Class::Other,
        }
    }
}

/// Converts an error of granit-parser into libyaml's text.
pub(crate) fn problem(kind: &ErrorKind) -> Problem {
    use ErrorKind as E;
    Problem::Syntax(match kind {
        E::RecursionLimitExceeded => return Problem::Limit("value_depth"),
        E::UnexpectedEofFlowSequence
        | E::ExpectedFlowSequenceSeparator
        | E::UnclosedFlowCollection { open: '[' } => "did not find expected ',' or ']'",
        E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping
        | E::ExpectedFlowMappingSeparator
        | E::UnclosedFlowCollection { .. } => "did not find expected ',' or '}'",
        E::UnexpectedEofBlockSequence | E::ExpectedBlockSequenceEntry => {
            "did not find expected '-' indicator"
        }
        E::UnexpectedEofBlockMapping | E::ExpectedBlockMappingKey | E::InvalidIndentation => {
            "did not find expected key"
        }
        E::ExpectedDocumentStart | E::InvalidDocumentEnd | E::MissingDocumentEndBeforeDirective => {
            "did not find expected <document start>"
        }
        E::UnsupportedYamlMajorVersion => "found incompatible YAML document",
        E::DuplicateVersionDirective => "found duplicate %YAML directive",
        E::DuplicateTagDirective => "found duplicate %TAG directive",
        E::UndeclaredTagHandle => "found undefined tag handle",
        E::SimpleKeyExpected | E::InvalidSimpleKey => "could not find expected ':'",
        E::UnexpectedCharacter { .. } | E::TabNotAllowed | E::TabInBlockIndentation | E::TabInIndentation => {
            "found character that cannot start any token"
        }
        E::MappingKeyNotAllowed => "mapping keys are not allowed in this context",
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            "block sequence entries are not allowed in this context"
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement => {
            "mapping values are not allowed in this context"
        }
        E::UnclosedQuotedScalar | E::UnexpectedEof => "found unexpected end of stream",
        E::DocumentIndicatorInQuotedScalar => "found unexpected document indicator",
        E::UnknownQuotedScalarEscape => "found unknown escape character",
        E::InvalidQuotedScalarHexEscape | E::InvalidLowSurrogateHexEscape => {
            "did not find expected hexdecimal number"
        }
        E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => "found invalid Unicode character escape code",
        E::MissingAnchorOrAliasName => "did not find expected alphabetic or numeric character",
        E::ZeroBlockScalarIndent => "found an indentation indicator equal to 0",
        E::InvalidBlockScalarHeader => "did not find expected comment or line break",
        E::TabAtBlockScalarStart => "found a tab character where an indentation space is expected",
        E::MissingYamlVersion => "did not find expected version number",
        E::YamlVersionTooLong => "found extremely long version number",
        E::MissingDirectiveName => "could not find expected directive name",
        E::InvalidDirectiveName => "found unexpected non-alphabetical character",
        _ => "did not find expected node content",
    })
}
