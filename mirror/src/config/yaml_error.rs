//! Describes the errors in a user's YAML file: the line, the value found, and the value expected.

use serde_saphyr::Error;

/// The line and the message of an error.
#[must_use]
pub fn describe(error: &Error) -> (Option<u64>, String) {
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    (line, message(error))
}

fn message(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } if expected.is_empty() => {
            format!("unknown field `{field}`, expected no fields")
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown field `{field}`, expected one of {}", listed(expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown value `{variant}`, expected one of {}", listed(expected))
        }
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("`{key}` is given twice, expected once")
        }
        Error::DuplicateMappingKey { key: None, .. } => "a key is given twice, expected once".to_owned(),
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("found {unexpected}, expected {}", plain(expected))
        }
        Error::Eof { .. } => "unexpected end of file".to_owned(),
        Error::MultipleDocuments { .. } => "a second document starts here, expected only one".to_owned(),
        Error::InvalidScalar { ty, .. } => format!("expected {}", plain(ty)),
        Error::Unexpected { expected, .. } => format!("expected {}", plain(expected)),
        Error::InvalidBooleanStrict { .. } => "expected `true` or `false`".to_owned(),
        Error::NullIntoString { .. } => "the value is empty, expected a string".to_owned(),
        Error::UnknownAnchor { .. } => "this alias refers to an unknown anchor".to_owned(),
        Error::ExternalMessage { .. }
        | Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. } => {
            "the YAML is malformed here: check indentation, quotes and brackets".to_owned()
        }
        _ => "cannot parse this: check indentation, quotes and brackets".to_owned(),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The user's term for a type name of the parser.
fn plain(expected: &str) -> &str {
    match expected {
        _ if expected.starts_with("struct ") || expected.starts_with("mapping") || expected == "a map" => {
            "a map of fields"
        }
        _ if expected.starts_with("sequence") || expected == "a sequence" => "a list",
        "bool" | "boolean" | "a boolean" => "`true` or `false`",
        "string" | "string scalar" | "a string" | "scalar" | "path string" => "a string",
        other => other,
    }
}
