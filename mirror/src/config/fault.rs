//! What is wrong in a YAML file of the user's, in words: where, what is there, and what is expected.

use serde_saphyr::Error;

/// Where reading stopped, and why.
#[must_use]
pub fn of(error: &Error) -> (Option<u64>, String) {
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    (line, words(error))
}

fn words(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField { field, expected, .. } if expected.is_empty() => {
            format!("`{field}` is unknown here, no member is expected")
        }
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("`{field}` is unknown here, expected one of {}", listed(expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("`{variant}` is unknown here, expected one of {}", listed(expected))
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
        Error::Eof { .. } => "the file ends here, expected more".to_owned(),
        Error::MultipleDocuments { .. } => "a second document begins here, expected one document".to_owned(),
        Error::InvalidScalar { ty, .. } => format!("expected {}", plain(ty)),
        Error::Unexpected { expected, .. } => format!("expected {}", plain(expected)),
        Error::InvalidBooleanStrict { .. } => "expected `true` or `false`".to_owned(),
        Error::NullIntoString { .. } => "nothing is given, expected a text".to_owned(),
        Error::UnknownAnchor { .. } => "an alias has no anchor".to_owned(),
        Error::ExternalMessage { .. }
        | Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. } => {
            "the YAML is malformed here: check indentation, quotes and brackets".to_owned()
        }
        _ => "this cannot be read: check indentation, quotes and brackets".to_owned(),
    }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What the reader calls a type, as people call it.
fn plain(expected: &str) -> &str {
    match expected {
        _ if expected.starts_with("struct ") || expected.starts_with("mapping") || expected == "a map" => {
            "a map of members"
        }
        _ if expected.starts_with("sequence") || expected == "a sequence" => "a list",
        "bool" | "boolean" | "a boolean" => "`true` or `false`",
        "string" | "string scalar" | "a string" | "scalar" | "path string" => "a text",
        other => other,
    }
}
