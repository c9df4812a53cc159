use serde_json::Value as Json;

use super::*;
use crate::limits::Limits;

fn scope(limits: &Limits) -> Budget<'_> {
    Budget::new(limits)
}

/// Decodes a value that `tests/data/fmt/generate.go` wrote.
fn decode(json: &Json) -> Value {
    let (kind, inner) = json.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "int" => Value::Int(inner.as_i64().unwrap()),
        "int64" => Value::Int64(inner.as_i64().unwrap()),
        "uint64" => Value::Uint64(inner.as_u64().unwrap()),
        "float64" => Value::Float64(inner.as_str().unwrap().parse().unwrap()),
        "string" => inner.as_str().unwrap().into(),
        "bool" => inner.as_bool().unwrap().into(),
        "bytes" => Value::Bytes(inner.as_str().unwrap().as_bytes().into()),
        "strings" => Value::strings(inner.as_array().unwrap().iter().map(|item| item.as_str().unwrap())),
        "list" => Value::list(inner.as_array().unwrap().iter().map(decode).collect()),
        "map" => {
            Value::map(inner.as_object().unwrap().iter().map(|(key, item)| (key.as_str(), decode(item))))
        }
        "hex" => {
            let digits = inner.as_str().unwrap();
            let bytes = (0..digits.len()).step_by(2);
            Value::string(bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect())
        }
        _ => Value::Nil,
    }
}

#[test]
fn prints_what_go_prints() {
    let limits = Limits::default();
    let mut wrong = Vec::new();
    let rows = include_str!("../../tests/data/fmt/fmt.json").lines();
    for row in rows.clone() {
        let row: Json = serde_json::from_str(row).unwrap();
        let values: Vec<Value> = row["values"].as_array().unwrap().iter().map(decode).collect();
        let scope = scope(&limits);
        let format = row["format"].as_str().unwrap();
        let printed = match format {
            "print" => sprint(&scope, &values),
            "println" => sprintln(&scope, &values),
            _ => sprintf(&scope, format.as_bytes(), &values),
        };
        let printed = String::from_utf8_lossy(printed.unwrap().bytes().unwrap()).into_owned();
        if printed != row["want"].as_str().unwrap() {
            wrong.push(format!("{row}\n   but {printed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(rows.count() > 150);
}

#[test]
fn a_value_that_contains_itself_exceeds_the_depth_limit() {
    let limits = Limits::default();
    // The same stack size as a render.
    let thread = std::thread::Builder::new().stack_size(64 << 20);
    let thread = thread.spawn(move || {
        let map = Value::map([("a", Value::Nil)]);
        if let Value::Map(inner) = &map {
            inner.entries.borrow_mut().insert("a".into(), map.clone());
        }
        display(&scope(&limits), &map).err()
    });
    assert_eq!(thread.unwrap().join().unwrap(), Some(Failure::Limit("value_depth")));
}

#[test]
fn padding_is_accounted_for() {
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let error = sprintf(&scope(&limits), b"%9999d", &[Value::Int(1)]).err();
    assert_eq!(error, Some(Failure::Limit("output_bytes")));
}
