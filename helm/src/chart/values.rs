//! The user's values, which override those of a chart.
//!
//! In this module an integer is Go's `int64`, which only `--set` creates, and any other number is Go's `float64`.

mod literal;
mod set;

use std::io;

use gostd::json;
use gostd::limits::Limits;
use gostd::value::{Map, Value};
use serde_json::{Map as Table, Number, Value as Json};

use super::document;
use crate::error::Error;

/// Values from the user, before they are combined with those of a chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(Table<String, Json>);

/// Reads the file at a path of a `--set-file` expression.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> io::Result<String>;

impl Values {
    /// Values from a JSON document; null gives no values.
    ///
    /// # Errors
    /// The document is not an object.
    pub fn from_json(document: Json) -> Result<Self, Error> {
        match document {
            Json::Null => Ok(Self::default()),
            Json::Object(table) => {
                Ok(Self(table.into_iter().map(|(key, value)| (key, floats(value))).collect()))
            }
            other => Err(Error::Values { reason: format!("expected a map, got {}", kind(&other)) }),
        }
    }

    /// Values from a file with one or more YAML documents; later ones override earlier ones.
    ///
    /// # Errors
    /// The file is not valid YAML, a document is not a map, or the file exceeds a limit.
    pub fn from_yaml(text: &[u8], limits: &Limits) -> Result<Self, Error> {
        let read = document::values(text, limits);
        let table = read.map_err(|error| error.into_error(|reason| Error::Values { reason }))?;
        Ok(Self(to_table(&table)))
    }

    /// Merges `over` into these values: maps are merged, everything else, including null, is replaced.
    pub fn merge(&mut self, over: Self) {
        merge(&mut self.0, over.0);
    }

    /// Applies a `--set` expression: `a.b=1,c[0]=x,d={y,z}`.
    ///
    /// # Errors
    /// The expression is invalid.
    pub fn set(&mut self, expression: &str) -> Result<(), Error> {
        self.apply("set", expression, &mut set::Style::Typed)
    }

    /// Applies a `--set-string` expression, whose values are all text.
    ///
    /// # Errors
    /// The expression is invalid.
    pub fn set_string(&mut self, expression: &str) -> Result<(), Error> {
        self.apply("set-string", expression, &mut set::Style::Text)
    }

    /// Applies a `--set-json` expression: `a=[1,2],b.c={"x":null}`, or one whole object.
    ///
    /// # Errors
    /// The expression is invalid.
    pub fn set_json(&mut self, expression: &str) -> Result<(), Error> {
        if expression.trim_start().starts_with('{') {
            let invalid =
                |error: serde_json::Error| Error::Set { flag: "set-json", reason: error.to_string() };
            self.merge(Self::from_json(serde_json::from_str(expression).map_err(invalid)?)?);
            return Ok(());
        }
        self.apply("set-json", expression, &mut set::Style::Json)
    }

    /// Applies a `--set-file` expression: each value is a path, whose file `read` returns as text.
    ///
    /// # Errors
    /// The expression is invalid, or `read` fails.
    pub fn set_file(&mut self, expression: &str, read: ReadFile<'_>) -> Result<(), Error> {
        self.apply("set-file", expression, &mut set::Style::File(read))
    }

    /// Applies a `--set-literal` expression: one key, and everything after it is its text.
    ///
    /// # Errors
    /// The expression is invalid.
    pub fn set_literal(&mut self, expression: &str) -> Result<(), Error> {
        let mut next = self.0.clone();
        literal::parse(expression, &mut next).map_err(|reason| Error::Set { flag: "set-literal", reason })?;
        self.0 = next;
        Ok(())
    }

    /// These values as JSON.
    #[must_use]
    pub fn as_json(&self) -> &Table<String, Json> {
        &self.0
    }

    pub(crate) fn to_map(&self) -> Map {
        to_map(&self.0)
    }

    fn apply(
        &mut self,
        flag: &'static str,
        expression: &str,
        style: &mut set::Style<'_>,
    ) -> Result<(), Error> {
        let mut next = self.0.clone();
        set::parse(expression, style, &mut next).map_err(|reason| Error::Set { flag, reason })?;
        self.0 = next;
        Ok(())
    }
}

fn merge(base: &mut Table<String, Json>, over: Table<String, Json>) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Json::Object(inner)), Json::Object(value)) => merge(inner, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Converts every number to `float64`, as Go's JSON decoder does.
fn floats(value: Json) -> Json {
    match value {
        Json::Number(number) => number.as_f64().and_then(Number::from_f64).map_or(Json::Null, Json::Number),
        Json::Array(items) => items.into_iter().map(floats).collect(),
        Json::Object(table) => {
            Json::Object(table.into_iter().map(|(key, value)| (key, floats(value))).collect())
        }
        other => other,
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "a map",
    }
}

/// Converts a table into a template's map, which shares nothing with other maps.
pub(super) fn to_map(table: &Table<String, Json>) -> Map {
    Map::new(table.iter().map(|(key, value)| (key.as_str(), to_value(value))))
}

pub(in crate::chart) fn to_value(value: &Json) -> Value {
    json::to_value(value)
}

/// Converts a template's map that came from YAML or JSON into a table.
pub(super) fn to_table(map: &Map) -> Table<String, Json> {
    map.entries.borrow().iter().map(|(key, value)| (key.to_string(), to_json(value))).collect()
}

/// Converts a template's value that came from YAML or JSON into JSON.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) | Value::Int64(number) => Json::Number((*number).into()),
        Value::Uint64(number) => Json::Number((*number).into()),
        Value::Float64(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Str(text) => Json::String(text.to_string()),
        Value::List(list) => list.items.iter().map(to_json).collect(),
        Value::Map(map) => Json::Object(to_table(map)),
        Value::Object(object) => to_json(&object.plain()),
        Value::Binary(bytes) | Value::Bytes(bytes) => {
            Json::String(String::from_utf8_lossy(bytes).into_owned())
        }
        Value::Nil => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_json_are_floats_and_of_set_are_integers() {
        let mut values = Values::from_json(json!({"a": 3})).unwrap();
        values.set("b=3").unwrap();
        let map = values.to_map();
        assert!(matches!(map.entries.borrow().get("a"), Some(Value::Float64(_))));
        assert!(matches!(map.entries.borrow().get("b"), Some(Value::Int64(3))));
    }

    #[test]
    fn later_values_override_earlier_ones_and_null_replaces() {
        let mut values = Values::from_json(json!({"a": {"b": 1.5, "c": 2.5}, "d": {"e": "x"}})).unwrap();
        values.merge(Values::from_json(json!({"a": {"b": null}, "d": "y"})).unwrap());
        assert_eq!(Json::Object(values.0), json!({"a": {"b": null, "c": 2.5}, "d": "y"}));
    }

    #[test]
    fn set_json_takes_whole_objects_and_expressions() {
        let mut values = Values::default();
        values.set_json(r#" {"a": {"b": "x"}}"#).unwrap();
        values.set_json(r#"a.c=[1.5, {"d": null}] ,e.f = "g" ,h="#).unwrap();
        let expected = json!({"a": {"b": "x", "c": [1.5, {"d": null}]}, "e": {"f ": "g"}, "h": null});
        assert_eq!(Json::Object(values.0), expected);
    }

    #[test]
    fn a_document_that_is_not_a_map_is_rejected() {
        assert!(matches!(Values::from_json(json!([1])), Err(Error::Values { .. })));
        assert_eq!(Values::from_json(Json::Null).unwrap(), Values::default());
    }
}
