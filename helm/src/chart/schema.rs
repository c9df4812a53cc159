//! `values.schema.json`: validates values against the schema of a chart.
//!
//! Source: `pkg/chart/common/util/jsonschema.go`; the texts are those of `santhosh-tekuri/jsonschema` v6. A schema
//! cannot refer to anything outside itself, neither files nor the network. As in Helm, an unresolved `urn:` accepts
//! everything.

mod cycle;
mod words;

use std::collections::HashMap;
use std::error::Error as StdError;

use gostd::limits::Limits;
use gostd::value::{Map, Value};
use jsonschema::{PatternOptions, Retrieve, Uri, ValidationOptions, Validator};
use serde_json::{Number, Value as Json};

use super::dependencies::Node;
use super::values::to_json;
use crate::error::{Error, truncated};

/// Validates the values of a chart and of all its sub-charts.
///
/// # Errors
/// Values violate a schema, a schema is invalid, or the validation would take too long.
pub(crate) fn validate(chart: &Node<'_>, values: &Map, limits: &Limits) -> Result<(), Error> {
    let mut violations = String::new();
    check(chart, values, limits, &mut violations)?;
    if violations.is_empty() { Ok(()) } else { Err(Error::Schema { violations: truncated(violations) }) }
}

fn check(chart: &Node<'_>, values: &Map, limits: &Limits, violations: &mut String) -> Result<(), Error> {
    if let Some(schema) = chart.chart.schema() {
        let values = instance(&to_json(&Value::Map(values.clone())));
        if let Err(reason) = check_one(schema, &values, limits)? {
            violations.push_str(&format!("{}:\n{reason}\n", chart.metadata.name));
        }
    }
    for child in &chart.charts {
        let given = values.entries.borrow().get(child.metadata.name.as_str()).cloned();
        match given {
            None | Some(Value::Nil) => {}
            Some(Value::Map(given)) => check(child, &given, limits, violations)?,
            Some(other) => violations.push_str(&format!(
                "{}:\ninvalid type for values: expected object (map), got {}\n",
                child.metadata.name,
                other.type_name()
            )),
        }
    }
    Ok(())
}

/// Validates the values against one schema. The inner result is the violations.
fn check_one(schema: &[u8], values: &Json, limits: &Limits) -> Result<Result<(), String>, Error> {
    let schema: Json = match serde_json::from_slice(schema) {
        Ok(schema) => schema,
        Err(error) => return Ok(Err(error.to_string())),
    };
    schema_bounds::check(&schema, values, limits)?;
    if let Some(reason) = duplicate_id(&schema) {
        return Ok(Err(reason));
    }
    let validator = match compile(&cycle::cut(&schema, limits), limits) {
        Ok(validator) => validator,
        Err(reason) => return Ok(Err(reason)),
    };
    let errors: Vec<_> = validator.iter_errors(values).collect();
    Ok(if errors.is_empty() { Ok(()) } else { Err(words::describe(&errors)) })
}

/// Validates the values of one chart against its schema. The inner result is the violations, one per line.
///
/// # Errors
/// The validation would take too long.
pub(crate) fn fits(schema: &[u8], values: &Json, limits: &Limits) -> Result<Result<(), String>, Error> {
    check_one(schema, &instance(values), limits)
}

/// Helm's error text for an identifier or anchor that two schemas share. The validator would silently use one of them.
fn duplicate_id(schema: &Json) -> Option<String> {
    let mut seen: HashMap<(&str, &str), String> = HashMap::new();
    let mut rest = vec![(schema, String::new())];
    while let Some((next, at)) = rest.pop() {
        let Json::Object(table) = next else { continue };
        let named = [("id", "$id"), ("anchor", "$anchor"), ("anchor", "$dynamicAnchor")];
        for (kind, keyword) in named {
            let Some(name) = table.get(keyword).and_then(Json::as_str).filter(|name| !name.starts_with('#'))
            else {
                continue;
            };
            if let Some(before) = seen.insert((kind, name), at.clone()) {
                return Some(format!(
                    "duplicate {kind} {name:?} in {:?} at {at:?} and {before:?}",
                    cycle::BASE
                ));
            }
        }
        // The values of these keywords are not schemas.
        for (key, value) in
            table.iter().filter(|(key, _)| !matches!(key.as_str(), "const" | "enum" | "default" | "examples"))
        {
            match value {
                Json::Object(_) => rest.push((value, format!("{at}/{key}"))),
                Json::Array(items) => {
                    rest.extend(
                        items.iter().enumerate().map(|(index, item)| (item, format!("{at}/{key}/{index}"))),
                    );
                }
                _ => {}
            }
        }
    }
    None
}

fn compile(schema: &Json, limits: &Limits) -> Result<Validator, String> {
    let patterns = PatternOptions::regex().size_limit(limits.regex_bytes).dfa_size_limit(limits.regex_bytes);
    let options: ValidationOptions<'_> = jsonschema::options()
        .with_retriever(NoRetrieval)
        .with_pattern_options(patterns)
        .with_base_uri(cycle::BASE);
    options.build(schema).map_err(|error| format!("jsonschema compilation failed: {error}"))
}

/// Resolves no schemas outside the chart's own.
struct NoRetrieval;

impl Retrieve for NoRetrieval {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Json, Box<dyn StdError + Send + Sync>> {
        if uri.scheme().as_str() == "urn" {
            Ok(Json::Bool(true))
        } else {
            Err(format!("{uri} is outside the chart").into())
        }
    }
}

/// Converts values for the validator, so that whole numbers are integers in every draft.
fn instance(value: &Json) -> Json {
    match value {
        Json::Number(number) => Json::Number(whole(number).unwrap_or_else(|| number.clone())),
        Json::Array(items) => items.iter().map(instance).collect(),
        Json::Object(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), instance(value))).collect())
        }
        other => other.clone(),
    }
}

fn whole(number: &Number) -> Option<Number> {
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
    format!("{float:.0}").parse::<i64>().ok().map(Number::from)
}
