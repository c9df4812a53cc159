//! Describes schema violations with the texts of `santhosh-tekuri/jsonschema`, which Helm shows to its users.

use std::fmt::Write as _;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value as Json;

/// One line for each violation, in the order of the paths of the values.
pub(super) fn describe(errors: &[ValidationError<'_>]) -> String {
    let mut out = String::new();
    let mut errors: Vec<&ValidationError<'_>> = errors.iter().collect();
    errors.sort_by(|a, b| a.instance_path().as_str().cmp(b.instance_path().as_str()));
    lines(&errors, 0, &mut out);
    out.pop();
    out
}

fn lines(errors: &[&ValidationError<'_>], indent: usize, out: &mut String) {
    let mut rest = errors;
    while let Some((first, after)) = rest.split_first() {
        let path = first.instance_path().as_str();
        let same = |error: &&&ValidationError<'_>| error.instance_path().as_str() == path;
        rest = after;
        if let Kind::Required { property } = first.kind() {
            // Missing properties of one object are one violation.
            let is_required = |error: &&ValidationError<'_>| matches!(error.kind(), Kind::Required { .. });
            let more = after.iter().take_while(same).take_while(|error| is_required(error)).count();
            let (joined, other) = after.split_at(more);
            rest = other;
            let mut names = vec![property];
            names.extend(joined.iter().filter_map(|error| match error.kind() {
                Kind::Required { property } => Some(property),
                _ => None,
            }));
            let names: Vec<String> =
                names.into_iter().map(|name| quoted(name.as_str().unwrap_or_default())).collect();
            let noun = if names.len() == 1 { "property" } else { "properties" };
            line(indent, path, &format!("missing {noun} {}", names.join(", ")), out);
        } else {
            line(indent, path, &words(first), out);
            alternatives(first, indent, out);
        }
    }
}

fn line(indent: usize, path: &str, text: &str, out: &mut String) {
    let margin = "  ".repeat(indent);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{margin}- at {}: {text}", quoted(path));
}

/// Adds the violations of each alternative if none of them accepts the value.
fn alternatives(error: &ValidationError<'_>, indent: usize, out: &mut String) {
    let (Kind::AnyOf { context } | Kind::OneOfNotValid { context }) = error.kind() else { return };
    for branch in context {
        lines(&branch.iter().collect::<Vec<_>>(), indent + 1, out);
    }
}

fn words(error: &ValidationError<'_>) -> String {
    let value = error.instance();
    match error.kind() {
        Kind::Type { kind } => format!("got {}, want {}", kind_of(value), wanted(kind)),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<String> = unexpected.iter().map(|name| quoted(name)).collect();
            format!("additional properties {} not allowed", names.join(", "))
        }
        Kind::Enum { options } => enumerated(options),
        Kind::Constant { expected_value } => match super::cycle::cycle_message(expected_value) {
            Some(words) => words.to_owned(),
            None => format!("value must be {}", shown(expected_value)),
        },
        Kind::Pattern { pattern } => format!("{} does not match pattern {}", shown(value), quoted(pattern)),
        Kind::Format { format } => format!("{} is not valid {format}", shown(value)),
        Kind::AnyOf { .. } => "'anyOf' failed".to_owned(),
        Kind::OneOfNotValid { .. } => "'oneOf' failed, none matched".to_owned(),
        Kind::OneOfMultipleValid { context } => {
            let matched = context.iter().enumerate().filter(|(_, errors)| errors.is_empty());
            let matched: Vec<String> = matched.map(|(position, _)| position.to_string()).collect();
            format!("'oneOf' failed, subschemas {} matched", matched.join(", "))
        }
        Kind::Not { .. } => "'not' failed".to_owned(),
        Kind::FalseSchema => "false schema".to_owned(),
        Kind::Contains => "no items match contains schema".to_owned(),
        Kind::MultipleOf { multiple_of } => format!("multipleOf: got {value}, want {multiple_of}"),
        Kind::Minimum { limit }
        | Kind::Maximum { limit }
        | Kind::ExclusiveMinimum { limit }
        | Kind::ExclusiveMaximum { limit } => {
            format!("{}: got {value}, want {limit}", error.kind().keyword())
        }
        Kind::MinLength { limit }
        | Kind::MaxLength { limit }
        | Kind::MinItems { limit }
        | Kind::MaxItems { limit }
        | Kind::MinProperties { limit }
        | Kind::MaxProperties { limit } => {
            format!("{}: got {}, want {limit}", error.kind().keyword(), size(value))
        }
        _ => error.to_string(),
    }
}

fn enumerated(options: &Json) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_plain = |option: &Json| !option.is_array() && !option.is_object();
    match options {
        options if !options.iter().all(is_plain) => "'enum' failed".to_owned(),
        [only] => format!("value must be {}", shown(only)),
        options => {
            format!("value must be one of {}", options.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
    }
}

fn wanted(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => kind.to_string(),
        TypeKind::Multiple(kinds) => {
            kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

fn size(value: &Json) -> usize {
    match value {
        Json::String(text) => text.chars().count(),
        Json::Array(items) => items.len(),
        Json::Object(members) => members.len(),
        _ => 0,
    }
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), quoted)
}

/// Quotes a text as `santhosh-tekuri/jsonschema` does: `%q` with single quotes.
fn quoted(text: &str) -> String {
    let inner = format!("{text:?}").replace("\\\"", "\"").replace('\'', "\\'");
    let inner = inner.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&inner);
    format!("'{inner}'")
}
