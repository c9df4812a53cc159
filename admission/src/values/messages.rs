//! The messages of `xeipuuv/gojsonschema` 1.2 (`locales.go`, `result.go`) for invalid values.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// Appends the messages of an error. Some errors have several.
pub(super) fn describe(error: &ValidationError<'_>, schema: &Value, out: &mut Vec<String>) {
    let field = field(error);
    let value = error.instance();
    let mut say = |text: String| out.push(format!("{field}: {text}"));
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            for name in unexpected {
                say(format!("Additional property {name} is not allowed"));
            }
        }
        Kind::PropertyNames { error: inner } => {
            say(format!("Property name of {} does not match", inner.instance()));
            out.extend(plain(inner.kind(), inner.instance()).map(|text| format!("{field}: {text}")));
        }
        Kind::Required { property } if is_dependency(error) => {
            say(format!("Has a dependency on {}", property.as_str().unwrap_or_default()));
        }
        Kind::Required { property } => {
            say(format!("{} is required", property.as_str().unwrap_or_default()));
        }
        Kind::Type { kind } => {
            say(format!(
                "Invalid type. Expected: {}, given: {}",
                expected(kind, error, schema),
                type_of(value)
            ));
        }
        Kind::AnyOf { context } => {
            say("Must validate at least one schema (anyOf)".to_owned());
            nearest(context, schema, out);
        }
        Kind::OneOfNotValid { context } => {
            say("Must validate one and only one schema (oneOf)".to_owned());
            nearest(context, schema, out);
        }
        Kind::OneOfMultipleValid { .. } => say("Must validate one and only one schema (oneOf)".to_owned()),
        Kind::Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            say(format!("{field} must be one of the following: {}", options.join(", ")));
        }
        Kind::Constant { expected_value } => say(format!("{field} does not match: {expected_value}")),
        other => say(plain(other, value).unwrap_or_else(|| error.to_string())),
    }
}

/// The messages that do not depend on the field.
fn plain(kind: &Kind, value: &Value) -> Option<String> {
    Some(match kind {
        Kind::Not { .. } => "Must not validate the schema (not)".to_owned(),
        Kind::FalseSchema => "False always fails validation".to_owned(),
        Kind::Contains => "At least one of the items must match".to_owned(),
        Kind::AdditionalItems { .. } => "No additional items allowed on array".to_owned(),
        Kind::Minimum { limit } => format!("Must be greater than or equal to {limit}"),
        Kind::Maximum { limit } => format!("Must be less than or equal to {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("Must be greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("Must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("Must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("String length must be greater than or equal to {limit}"),
        Kind::MaxLength { limit } => format!("String length must be less than or equal to {limit}"),
        Kind::MinItems { limit } => format!("Array must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("Array must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("Must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("Must have at most {limit} properties"),
        Kind::Pattern { pattern } => format!("Does not match pattern '{pattern}'"),
        Kind::Format { format } => format!("Does not match format '{format}'"),
        Kind::UniqueItems => {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            let (first, second) = duplicates(items)?;
            format!("array items[{first},{second}] must be unique")
        }
        _ => return None,
    })
}

/// Of several schemas that do not match, appends the messages of the closest one: the type matches, and it has the
/// fewest errors.
fn nearest(context: &[Vec<ValidationError<'_>>], schema: &Value, out: &mut Vec<String>) {
    let distance = |errors: &&Vec<ValidationError<'_>>| {
        let other_type = errors.iter().any(|error| matches!(error.kind(), Kind::Type { .. }));
        (other_type, errors.len())
    };
    for error in context.iter().min_by_key(distance).into_iter().flatten() {
        describe(error, schema, out);
    }
}

fn duplicates(items: &[Value]) -> Option<(usize, usize)> {
    items.iter().enumerate().find_map(|(second, item)| {
        items.iter().take(second).position(|other| other == item).map(|first| (first, second))
    })
}

/// Whether the missing member is required by another member only.
fn is_dependency(error: &ValidationError<'_>) -> bool {
    let path = error.schema_path().to_string();
    let mut parts = path.rsplit('/').take(4);
    let found = parts.any(|part| part == "dependencies");
    found && parts.next() != Some("properties")
}

/// `(root)`, or the path below it, separated by dots.
fn field(error: &ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let path = path.strip_prefix('/').unwrap_or(&path);
    if path.is_empty() {
        return "(root)".to_owned();
    }
    path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().join(".")
}

/// The expected types, in the order of the schema.
fn expected(kind: &TypeKind, error: &ValidationError<'_>, schema: &Value) -> String {
    let written = schema.pointer(&error.schema_path().to_string()).and_then(Value::as_array);
    let types: Vec<String> = match (kind, written) {
        (TypeKind::Single(kind), _) => return kind.to_string(),
        (TypeKind::Multiple(_), Some(written)) => {
            written.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        (TypeKind::Multiple(kinds), None) => kinds.iter().map(|kind| kind.to_string()).collect(),
    };
    format!("[{}]", types.join(","))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
