//! Compares every function with the results of Sprig 3.3 itself, recorded line by line in `tests/data/sprig.jsonl`.
//!
//! A line has the function `f`, its arguments `a`, and the result `r` or the error `e`. Values include their Go type:
//! `["int","3"]`, `["list","any",[..]]`, `["nil","string"]`, `["bin",base64]`. Strings, booleans and null are plain
//! JSON.

mod bounds;
mod sharing;

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gostd::limits::Limits;
use gostd::value::{Element, List, Map, Value};
use serde_json::{Value as Json, json};

use crate::function::{Arguments, Failure, Random, Scope};
use crate::lookup::Deny;
use crate::semver::Version;

/// Calls the function `name` under `limits`.
pub(crate) fn call_with(limits: &Limits, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    let scope = Scope::new(limits, Duration::ZERO, &Random::new([0; 32]), &Deny);
    let function = super::find(name).unwrap_or_else(|| panic!("no function {name}"));
    (function.body)(&scope, Arguments(arguments))
}

/// Calls the function `name`.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    call_with(&Limits::default(), name, arguments)
}

fn element(name: &str) -> Element {
    match name {
        "any" => Element::Any,
        "string" => Element::Str,
        "int" => Element::Int,
        "map" => Element::Map,
        "list" => Element::List,
        other => panic!("element type {other}"),
    }
}

fn element_name(element: Element) -> &'static str {
    match element {
        Element::Any => "any",
        Element::Str => "string",
        Element::Int => "int",
        Element::Map => "map",
        Element::List => "list",
        Element::Values => "values",
    }
}

fn decode(json: &Json) -> Value {
    let Json::Array(parts) = json else {
        return match json {
            Json::Null => Value::Nil,
            Json::Bool(value) => (*value).into(),
            Json::String(text) => text.as_str().into(),
            other => panic!("value {other}"),
        };
    };
    let text = parts[1].as_str().unwrap();
    match parts[0].as_str().unwrap() {
        "int" => Value::Int(text.parse().unwrap()),
        "int64" => Value::Int64(text.parse().unwrap()),
        "uint64" => Value::Uint64(text.parse().unwrap()),
        "float64" => Value::Float64(text.parse().unwrap()),
        "bin" => Value::string(STANDARD.decode(text).unwrap()),
        "bytes" => Value::Bytes(STANDARD.decode(text).unwrap().into()),
        "semver" => Value::Object(Rc::new(Version::parse(text).unwrap())),
        "nil" => Value::List(List::nil(element(text))),
        "list" => {
            Value::List(List::of(element(text), parts[2].as_array().unwrap().iter().map(decode).collect()))
        }
        "map" => {
            let entries = parts[2].as_object().unwrap().iter();
            let entries = entries.map(|(key, value)| (key.as_str(), decode(value)));
            Value::Map(Map::of(element(text), entries))
        }
        other => panic!("value of type {other}"),
    }
}

fn encode(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(number) => json!(["int", number.to_string()]),
        Value::Int64(number) => json!(["int64", number.to_string()]),
        Value::Uint64(number) => json!(["uint64", number.to_string()]),
        Value::Float64(number) if number.is_nan() => json!(["float64", "NaN"]),
        Value::Float64(number) => json!(["float64", format!("{number:e}")]),
        Value::Str(text) => json!(&**text),
        Value::Binary(bytes) => json!(["bin", STANDARD.encode(bytes)]),
        Value::Bytes(bytes) => json!(["bytes", STANDARD.encode(bytes)]),
        Value::List(list) if list.is_nil() => json!(["nil", element_name(list.element)]),
        Value::List(list) => {
            json!(["list", element_name(list.element), list.items.iter().map(encode).collect::<Vec<_>>()])
        }
        Value::Map(map) => {
            let entries = map.entries.borrow();
            let entries: serde_json::Map<_, _> =
                entries.iter().map(|(key, value)| (key.to_string(), encode(value))).collect();
            json!(["map", element_name(map.element), entries])
        }
        Value::Object(object) => json!(["object", object.type_name(), object.print()]),
    }
}

/// Normalizes the spelling of floats, which in a record is Go's.
fn normal(json: &Json) -> Json {
    match json {
        Json::Array(parts) if parts.first() == Some(&json!("float64")) => {
            encode(&Value::Float64(parts[1].as_str().unwrap().parse().unwrap()))
        }
        Json::Array(parts) => Json::Array(parts.iter().map(normal).collect()),
        Json::Object(entries) => {
            Json::Object(entries.iter().map(|(key, value)| (key.clone(), normal(value))).collect())
        }
        other => other.clone(),
    }
}

/// Our result and the recorded result of one call, both in the form of the record.
fn results(record: &Json) -> (Json, Json) {
    let name = record["f"].as_str().unwrap();
    let arguments: Vec<_> = record["a"].as_array().unwrap().iter().map(decode).collect();
    let ours = match call(name, &arguments) {
        Ok(value) => json!({ "r": encode(&value) }),
        Err(Failure::Message(text)) => json!({ "e": format!("error calling {name}: {text}") }),
        Err(Failure::Limit(limit)) => json!({ "limit": limit }),
    };
    let theirs = match record.get("e") {
        Some(error) => json!({ "e": error }),
        None => json!({ "r": normal(&record["r"]) }),
    };
    (ours, theirs)
}

fn check(records: &str) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in records.lines() {
        let record: Json = serde_json::from_str(line).unwrap();
        let (ours, theirs) = results(&record);
        count += 1;
        if ours != theirs {
            wrong.push(format!("{} {}\n   ours: {ours}\n theirs: {theirs}", record["f"], record["a"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 1000, "only {count} records");
}

#[test]
fn functions_return_the_results_of_sprig() {
    check(include_str!("../../tests/data/sprig.jsonl"));
}

#[test]
fn further_records_named_by_the_environment_agree() {
    if let Ok(path) = std::env::var("SPRIG_RECORDS") {
        check(&std::fs::read_to_string(path).unwrap());
    }
}
