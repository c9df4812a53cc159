//! Decodes a chart's YAML files into text, flags and lists as Go's `encoding/json` fills a struct.
//!
//! `sigs.k8s.io/yaml` converts a number or boolean to text where a string is expected, and ignores the case of field
//! names.

use std::collections::BTreeMap;
use std::rc::Rc;

use gostd::limits::Limits;
use gostd::value::{Map, Value};
use gostd::yaml::{self, Problem};

use super::metadata::InvalidMetadata;
use crate::error::Error;

/// The reason why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DocumentError {
    /// A limit was exceeded: the name of a field of [`Limits`].
    Limit(&'static str),
    /// Helm does not accept this metadata.
    Metadata(InvalidMetadata),
    /// Helm's error text.
    Message(String),
}

impl DocumentError {
    /// Converts it into the crate's error; `context` wraps a message.
    pub(crate) fn into_error(self, context: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Limit(name) => Error::Limit { name },
            Self::Metadata(invalid) => Error::Metadata(invalid),
            Self::Message(reason) => context(reason),
        }
    }
}

/// Reads the first YAML document of `text`, with numbers as written, so that they can be used as text.
pub(crate) fn read(text: &[u8], limits: &Limits) -> Result<Value, DocumentError> {
    parse(text, |text| yaml::parse_typed(text, limits))
}

fn parse(text: &[u8], read: impl Fn(&str) -> Result<Value, yaml::Error>) -> Result<Value, DocumentError> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(DocumentError::Message("error converting YAML to JSON: yaml: invalid UTF-8".to_owned()));
    };
    read(text).map_err(|error| match error.problem() {
        Problem::Limit(name) => DocumentError::Limit(name),
        _ => DocumentError::Message(error.go_message()),
    })
}

/// Reads the values in a file. Later documents override earlier ones.
///
/// Source: `LoadValues` in `pkg/chart/v2/loader/load.go`, over the `YAMLReader` of Kubernetes.
pub(crate) fn values(text: &[u8], limits: &Limits) -> Result<Map, DocumentError> {
    let values = Map::new::<&str>([]);
    let (documents, invalid) = documents(text);
    for document in documents {
        let rejected =
            |reason: &str| DocumentError::Message(format!("cannot unmarshal yaml document: {reason}"));
        match parse(&document, |text| yaml::parse_value(text, limits)) {
            Ok(Value::Nil) => {}
            Ok(Value::Map(over)) => merge(&values, &over),
            Ok(other) => return Err(rejected(&mismatch(&other, "value", "map[string]interface {}"))),
            Err(DocumentError::Message(reason)) => return Err(rejected(&reason)),
            Err(error) => return Err(error),
        }
    }
    match invalid {
        None => Ok(values),
        Some(rest) => Err(DocumentError::Message(format!(
            "error reading yaml document: invalid Yaml document separator: {rest}"
        ))),
    }
}

/// Splits a text at lines of `---`, which may be followed by blanks or a comment. Stops at a `---` that is followed by
/// anything else, and returns that text.
fn documents(text: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
    let mut documents = Vec::new();
    let mut document = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let after = line.strip_prefix(b"---").map(<[u8]>::trim_ascii);
        if let Some(invalid) = after.filter(|rest| !rest.is_empty() && !rest.starts_with(b"#")) {
            return (documents, Some(String::from_utf8_lossy(invalid).into_owned()));
        }
        if after.is_some() && !document.is_empty() {
            documents.push(std::mem::take(&mut document));
        } else {
            document.extend_from_slice(line);
        }
    }
    if !document.is_empty() {
        documents.push(document);
    }
    (documents, None)
}

/// Merges `over` into `base`: maps are merged, everything else, including null, is replaced.
fn merge(base: &Map, over: &Map) {
    let entries: Vec<(Rc<str>, Value)> =
        over.entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in entries {
        let existing = base.entries.borrow().get(&key).cloned();
        match (existing, &value) {
            (Some(Value::Map(inner)), Value::Map(value)) => merge(&inner, value),
            _ => {
                base.entries.borrow_mut().insert(key, value);
            }
        }
    }
}

/// The fields of a struct.
pub(crate) struct Fields {
    /// Its path in the document: a dot and a name for each level.
    path: String,
    map: Option<Map>,
}

impl Fields {
    /// The fields of a document of the Go type `structure`; null has no fields.
    pub(crate) fn of_document(value: &Value, structure: &str) -> Result<Self, DocumentError> {
        Self::of(value, String::new())
            .ok_or_else(|| DocumentError::Message(mismatch(value, "value", structure)))
    }

    fn of(value: &Value, path: String) -> Option<Self> {
        match value {
            Value::Nil => Some(Self { path, map: None }),
            Value::Map(map) => Some(Self { path, map: Some(map.clone()) }),
            _ => None,
        }
    }

    /// The field with this name, or else one that differs only in case.
    fn field(&self, name: &str) -> Option<Value> {
        let entries = self.map.as_ref()?.entries.borrow();
        entries
            .get(name)
            .or_else(|| {
                entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            })
            .filter(|value| !matches!(value, Value::Nil))
            .cloned()
    }

    fn mismatched(&self, name: &str, value: &Value, expected: &str) -> DocumentError {
        DocumentError::Message(mismatch(value, &format!("struct field {}.{name}", self.path), expected))
    }

    /// The error for a list element, which is shorter in Go.
    fn mismatched_element(&self, name: &str, index: usize, value: &Value, expected: &str) -> DocumentError {
        let target = format!("{}.{name}.{index} of type {expected}", self.path);
        DocumentError::Message(format!("{DECODING} cannot unmarshal {} into {target}", json_kind(value)))
    }

    /// Sets `target` to the text of the field, if it exists.
    pub(crate) fn text(&self, name: &str, target: &mut String) -> Result<(), DocumentError> {
        if let Some(value) = self.field(name) {
            *target = text(&value).ok_or_else(|| self.mismatched(name, &value, "string"))?;
        }
        Ok(())
    }

    /// Sets `target` to the flag, if it exists.
    pub(super) fn flag(&self, name: &str, target: &mut bool) -> Result<(), DocumentError> {
        match self.field(name) {
            None => Ok(()),
            Some(Value::Bool(value)) => {
                *target = value;
                Ok(())
            }
            Some(value) => Err(self.mismatched(name, &value, "bool")),
        }
    }

    /// The elements of a list of the Go type `[]element`, if it exists.
    pub(super) fn list(&self, name: &str, element: &str) -> Result<Option<Vec<Value>>, DocumentError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::List(list)) => Ok(Some(list.items.to_vec())),
            Some(value) => Err(self.mismatched(name, &value, &format!("[]{element}"))),
        }
    }

    /// Sets `target` to the texts of a list, if it exists; null is the empty text.
    pub(super) fn texts(&self, name: &str, target: &mut Vec<String>) -> Result<(), DocumentError> {
        let Some(values) = self.list(name, "string")? else { return Ok(()) };
        let element = |(index, value): (usize, &Value)| {
            optional_text(value).ok_or_else(|| self.mismatched_element(name, index, value, "string"))
        };
        *target = values.iter().enumerate().map(element).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Adds the texts of a map to `target`, if it exists; null is the empty text. Returns whether it exists.
    pub(crate) fn text_map(
        &self,
        name: &str,
        target: &mut BTreeMap<String, String>,
    ) -> Result<bool, DocumentError> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Map(map)) => {
                for (key, value) in map.entries.borrow().iter() {
                    let text = optional_text(value)
                        .ok_or_else(|| self.mismatched(&format!("{name}.{key}"), value, "string"))?;
                    target.insert(key.to_string(), text);
                }
                Ok(true)
            }
            Some(value) => Err(self.mismatched(name, &value, "map[string]string")),
        }
    }

    /// A nested struct of the Go type `structure`, if it exists.
    pub(crate) fn structure(&self, name: &str, structure: &str) -> Result<Option<Self>, DocumentError> {
        let Some(value) = self.field(name) else { return Ok(None) };
        match Self::of(&value, format!("{}.{name}", self.path)) {
            Some(fields) => Ok(Some(fields)),
            None => Err(self.mismatched(name, &value, structure)),
        }
    }

    /// A list of structs of the Go type `structure`, if it exists; `None` for an element that is null.
    pub(super) fn structures(
        &self,
        name: &str,
        structure: &str,
    ) -> Result<Option<Vec<Option<Self>>>, DocumentError> {
        let Some(values) = self.list(name, &format!("*{structure}"))? else { return Ok(None) };
        let element = |(index, value): (usize, &Value)| match value {
            Value::Nil => Ok(None),
            value => match Self::of(value, format!("{}.{name}.{index}", self.path)) {
                Some(fields) => Ok(Some(fields)),
                None => Err(self.mismatched_element(name, index, value, structure)),
            },
        };
        values.iter().enumerate().map(element).collect::<Result<_, _>>().map(Some)
    }
}

/// The start of Go's error texts about values that cannot be decoded.
const DECODING: &str = "error unmarshaling JSON: while decoding JSON: json:";

fn mismatch(value: &Value, what: &str, expected: &str) -> String {
    format!("{DECODING} cannot unmarshal {} into Go {what} of type {expected}", json_kind(value))
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Int64(_) | Value::Uint64(_) | Value::Float64(_) => "number",
        Value::List(_) => "array",
        Value::Map(_) | Value::Object(_) => "object",
        Value::Str(_) | Value::Binary(_) | Value::Bytes(_) => "string",
        Value::Nil => "null",
    }
}

fn optional_text(value: &Value) -> Option<String> {
    if matches!(value, Value::Nil) { Some(String::new()) } else { text(value) }
}

/// Converts a scalar to text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Int64(number) => Some(number.to_string()),
        Value::Uint64(number) => Some(number.to_string()),
        Value::Float64(number) => Some(single(*number)),
        _ => None,
    }
}

/// `strconv.FormatFloat(number, 'g', -1, 32)`, to which `sigs.k8s.io/yaml` converts a number where a string is
/// expected.
fn single(number: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "Go loses the same digits")]
    let number = number as f32;
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return if number > 0.0 { "+Inf".to_owned() } else { scientific };
    };
    match exponent.parse::<i32>() {
        Ok(power) if !(-4..6).contains(&power) => {
            let sign = if power < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", power.abs())
        }
        _ => number.to_string(),
    }
}
