//! A chart's YAML files, decoded into text, flags and lists as Go's `encoding/json` fills a structure.
//!
//! `sigs.k8s.io/yaml` makes text of a number or boolean where text is asked for, and finds a field whatever
//! its case.

use std::collections::BTreeMap;
use std::rc::Rc;

use gostd::limits::Limits;
use gostd::value::{Map, Value};
use gostd::yaml::{self, Problem};

use super::metadata::Unfit;
use crate::error::Error;

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A bound of [`Limits`], by name.
    Limit(&'static str),
    /// It is not what Helm accepts in a `Chart.yaml`.
    Unfit(Unfit),
    /// What Helm would say.
    Said(String),
}

impl Fault {
    /// The crate's error, with the caller's context around what is said.
    pub(crate) fn into_error(self, context: impl FnOnce(String) -> Error) -> Error {
        match self {
            Self::Limit(name) => Error::Limit { name },
            Self::Unfit(unfit) => Error::Metadata(unfit),
            Self::Said(reason) => context(reason),
        }
    }
}

/// The first YAML document of `text`, numbers as they are written: those where text is asked for become text.
pub(crate) fn read(text: &[u8], limits: &Limits) -> Result<Value, Fault> {
    parse(text, |text| yaml::parse_typed(text, limits))
}

fn parse(text: &[u8], read: impl Fn(&str) -> Result<Value, yaml::Error>) -> Result<Value, Fault> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Err(Fault::Said("error converting YAML to JSON: yaml: invalid UTF-8".to_owned()));
    };
    read(text).map_err(|error| match error.problem() {
        Problem::Limit(name) => Fault::Limit(name),
        _ => Fault::Said(error.in_go()),
    })
}

/// The values of a file: all its documents, the later over the earlier.
///
/// Source: `LoadValues` in `pkg/chart/v2/loader/load.go`, over the `YAMLReader` of Kubernetes.
pub(crate) fn values(text: &[u8], limits: &Limits) -> Result<Map, Fault> {
    let values = Map::new::<&str>([]);
    let (documents, wrong) = documents(text);
    for document in documents {
        let said = |reason: &str| Fault::Said(format!("cannot unmarshal yaml document: {reason}"));
        match parse(&document, |text| yaml::parse_value(text, limits)) {
            Ok(Value::Nil) => {}
            Ok(Value::Map(over)) => merge(&values, &over),
            Ok(other) => return Err(said(&mismatch(&other, "value", "map[string]interface {}"))),
            Err(Fault::Said(reason)) => return Err(said(&reason)),
            Err(fault) => return Err(fault),
        }
    }
    match wrong {
        None => Ok(values),
        Some(rest) => {
            Err(Fault::Said(format!("error reading yaml document: invalid Yaml document separator: {rest}")))
        }
    }
}

/// The texts between lines of `---`, which may have blanks or a comment after it; and what stands after the first `---`
/// that has anything else there, where reading ends.
fn documents(text: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
    let mut documents = Vec::new();
    let mut document = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let after = line.strip_prefix(b"---").map(<[u8]>::trim_ascii);
        if let Some(wrong) = after.filter(|rest| !rest.is_empty() && !rest.starts_with(b"#")) {
            return (documents, Some(String::from_utf8_lossy(wrong).into_owned()));
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

/// Puts `over` over `base`: maps are merged, all else is replaced, null too.
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

/// The fields of a structure.
pub(crate) struct Fields {
    /// Where it stands in the document: a dot and a name for each level.
    path: String,
    map: Option<Map>,
}

impl Fields {
    /// The fields of a document of Go's type `structure`; null has none.
    pub(crate) fn of_document(value: &Value, structure: &str) -> Result<Self, Fault> {
        Self::of(value, String::new()).ok_or_else(|| Fault::Said(mismatch(value, "value", structure)))
    }

    fn of(value: &Value, path: String) -> Option<Self> {
        match value {
            Value::Nil => Some(Self { path, map: None }),
            Value::Map(map) => Some(Self { path, map: Some(map.clone()) }),
            _ => None,
        }
    }

    /// The field, by its exact name or else in another case.
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

    fn wrong(&self, name: &str, value: &Value, expected: &str) -> Fault {
        Fault::Said(mismatch(value, &format!("struct field {}.{name}", self.path), expected))
    }

    /// The fault of a list's element, which Go tells with fewer words.
    fn wrong_element(&self, name: &str, index: usize, value: &Value, expected: &str) -> Fault {
        let target = format!("{}.{name}.{index} of type {expected}", self.path);
        Fault::Said(format!("{DECODING} cannot unmarshal {} into {target}", json_kind(value)))
    }

    /// Sets `target` to the text of the field, if it is there.
    pub(crate) fn text(&self, name: &str, target: &mut String) -> Result<(), Fault> {
        if let Some(value) = self.field(name) {
            *target = text(&value).ok_or_else(|| self.wrong(name, &value, "string"))?;
        }
        Ok(())
    }

    /// Sets `target` to the flag, if it is there.
    pub(super) fn flag(&self, name: &str, target: &mut bool) -> Result<(), Fault> {
        match self.field(name) {
            None => Ok(()),
            Some(Value::Bool(value)) => {
                *target = value;
                Ok(())
            }
            Some(value) => Err(self.wrong(name, &value, "bool")),
        }
    }

    /// The elements of a list of Go's type `[]element`, if it is there.
    pub(super) fn list(&self, name: &str, element: &str) -> Result<Option<Vec<Value>>, Fault> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::List(list)) => Ok(Some(list.items.to_vec())),
            Some(value) => Err(self.wrong(name, &value, &format!("[]{element}"))),
        }
    }

    /// Sets `target` to the texts of a list, if it is there; null is the empty text.
    pub(super) fn texts(&self, name: &str, target: &mut Vec<String>) -> Result<(), Fault> {
        let Some(values) = self.list(name, "string")? else { return Ok(()) };
        let element = |(index, value): (usize, &Value)| {
            optional_text(value).ok_or_else(|| self.wrong_element(name, index, value, "string"))
        };
        *target = values.iter().enumerate().map(element).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Sets `target` to the texts of a map, if it is there; null is the empty text.
    pub(crate) fn text_map(&self, name: &str, target: &mut BTreeMap<String, String>) -> Result<bool, Fault> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Map(map)) => {
                for (key, value) in map.entries.borrow().iter() {
                    let text = optional_text(value)
                        .ok_or_else(|| self.wrong(&format!("{name}.{key}"), value, "string"))?;
                    target.insert(key.to_string(), text);
                }
                Ok(true)
            }
            Some(value) => Err(self.wrong(name, &value, "map[string]string")),
        }
    }

    /// A structure within, of Go's type `structure`, if it is there.
    pub(crate) fn structure(&self, name: &str, structure: &str) -> Result<Option<Self>, Fault> {
        let Some(value) = self.field(name) else { return Ok(None) };
        match Self::of(&value, format!("{}.{name}", self.path)) {
            Some(fields) => Ok(Some(fields)),
            None => Err(self.wrong(name, &value, structure)),
        }
    }

    /// A list of structures of Go's type `structure`, if it is there; none for an element that is null.
    pub(super) fn structures(&self, name: &str, structure: &str) -> Result<Option<Vec<Option<Self>>>, Fault> {
        let Some(values) = self.list(name, &format!("*{structure}"))? else { return Ok(None) };
        let element = |(index, value): (usize, &Value)| match value {
            Value::Nil => Ok(None),
            value => match Self::of(value, format!("{}.{name}.{index}", self.path)) {
                Some(fields) => Ok(Some(fields)),
                None => Err(self.wrong_element(name, index, value, structure)),
            },
        };
        values.iter().enumerate().map(element).collect::<Result<_, _>>().map(Some)
    }
}

/// What Go says before it says what cannot be decoded.
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

/// What stands where text is asked for.
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

/// `strconv.FormatFloat(number, 'g', -1, 32)`, which `sigs.k8s.io/yaml` makes of a number where text is asked for.
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
