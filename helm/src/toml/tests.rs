use std::time::Duration;

use gostd::limits::Limits;
use gostd::value::Value;

use super::*;
use crate::function::{Failure, Random, Scope};
use crate::lookup::Deny;

const CASES: &str = include_str!("../../tests/data/toml/cases.tsv");

fn with_scope<T>(act: impl FnOnce(&Scope<'_>) -> T) -> T {
    let limits = Limits::default();
    act(&Scope::new(&limits, Duration::ZERO, &Random::new([0; 32]), &Deny))
}

/// The bytes of a Go string literal in ASCII.
fn unquote(literal: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut letters = literal[1..literal.len() - 1].chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.extend(letter.to_string().bytes());
            continue;
        }
        let kind = letters.next().unwrap();
        let width = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => {
                let at = "abfnrtv\"\\".find(kind).unwrap();
                out.push(b"\x07\x08\x0c\n\r\t\x0b\"\\"[at]);
                continue;
            }
        };
        let code = u32::from_str_radix(&letters.by_ref().take(width).collect::<String>(), 16).unwrap();
        match u8::try_from(code) {
            Ok(byte) if kind == 'x' => out.push(byte),
            _ => out.extend(char::from_u32(code).unwrap().to_string().bytes()),
        }
    }
    out
}

fn rows(kind: &str, minimum: usize) -> Vec<[Vec<u8>; 2]> {
    let rows: Vec<_> = CASES
        .lines()
        .map(|row| row.split('\t').collect::<Vec<_>>())
        .filter(|columns| columns[0] == kind)
        .map(|columns| [unquote(columns[1]), unquote(columns[2])])
        .collect();
    assert!(rows.len() >= minimum, "{} cases of {kind}", rows.len());
    rows
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => (*value).into(),
        serde_json::Value::Number(number) => Value::Float64(number.as_f64().unwrap()),
        serde_json::Value::String(text) => text.as_str().into(),
        serde_json::Value::Array(items) => Value::list(items.iter().map(from_json).collect()),
        serde_json::Value::Object(map) => {
            Value::map(map.iter().map(|(key, value)| (key.as_str(), from_json(value))))
        }
    }
}

/// Whether `ours` equals the JSON value. JSON has only one number type.
fn same(ours: &Value, json: &serde_json::Value) -> bool {
    match (ours, json) {
        (Value::Nil, serde_json::Value::Null) => true,
        (Value::Bool(one), serde_json::Value::Bool(other)) => one == other,
        (Value::Int64(one), serde_json::Value::Number(other)) => Some(*one) == other.as_i64(),
        (Value::Float64(one), serde_json::Value::Number(other)) => Some(*one) == other.as_f64(),
        (Value::Str(one), serde_json::Value::String(other)) => **one == **other,
        (Value::Object(one), json) => same(&one.plain(), json),
        (Value::List(one), serde_json::Value::Array(other)) => {
            one.items.len() == other.len() && one.items.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Map(one), serde_json::Value::Object(other)) => {
            let one = one.entries.borrow();
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(&**key).is_some_and(|other| same(one, other)))
        }
        _ => false,
    }
}

#[test]
fn reads_as_burntsushi_does() {
    let mut different = Vec::new();
    for [document, expected] in rows("read", 300) {
        let shown = String::from_utf8_lossy(&document).into_owned();
        let expected = String::from_utf8(expected).unwrap();
        let agree = match with_scope(|scope| read(scope, &document)) {
            Err(Failure::Message(text)) => format!("error: {text}") == expected,
            Err(limit) => panic!("{limit:?}"),
            // JSON has no infinity.
            Ok(_) if expected.starts_with("json: ") => true,
            Ok(map) => serde_json::from_str(&expected).is_ok_and(|json| same(&Value::Map(map), &json)),
        };
        if !agree {
            let ours = with_scope(|scope| read(scope, &document)).err();
            different.push(format!("{shown:?}\n  Go:   {expected}\n  ours: {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn writes_as_burntsushi_does() {
    for [json, expected] in rows("write", 60) {
        let value = from_json(&serde_json::from_slice(&json).unwrap());
        let ours = match with_scope(|scope| write(scope, &value)) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(Failure::Message(text)) => format!("error: {text}"),
            Err(limit) => panic!("{limit:?}"),
        };
        assert_eq!(ours, String::from_utf8(expected).unwrap(), "{}", String::from_utf8_lossy(&json));
    }
}

#[test]
fn a_document_survives_reading_and_writing() {
    let text = "a = 1979-05-27\nb = 1979-05-27T07:32:00Z\nc = 07:32:00.5\nd = 1979-05-27T07:32:00\ne = 1.0\n\
                f = 2\ng = -inf\nh = nan\n";
    let map = with_scope(|scope| read(scope, text.as_bytes())).unwrap();
    let back = with_scope(|scope| write(scope, &Value::Map(map))).unwrap();
    assert_eq!(String::from_utf8(back).unwrap(), text);
}

#[test]
fn bytes_that_are_not_utf8_are_written_unchanged() {
    let value = Value::map([
        ("a", Value::string(b"x\"\xff".to_vec())),
        ("b", Value::Bytes(b"\x01\x02".to_vec().into())),
    ]);
    let written = with_scope(|scope| write(scope, &value)).unwrap();
    assert_eq!(written, b"a = \"x\\\"\xff\"\nb = [1, 2]\n");
}

fn deep(open: &str, close: &str, count: usize) -> String {
    format!("a = {}{}", open.repeat(count), close.repeat(count))
}

#[test]
fn too_deep_documents_are_rejected() {
    let dots = "a.".repeat(100_000);
    for text in
        [deep("[", "]", 100_000), deep("{a = ", "", 100_000), format!("{dots}a = 1"), format!("[{dots}a]")]
    {
        let result = with_scope(|scope| read(scope, text.as_bytes()));
        assert_eq!(result.err(), Some(Failure::Limit("value_depth")));
    }
}

/// The deepest allowed arrays do not overflow the stack when they are read, written or dropped.
#[test]
fn the_deepest_arrays_fit_the_stack() {
    let map = with_scope(|scope| read(scope, deep("[", "]", DEPTH - 2).as_bytes())).unwrap();
    assert!(with_scope(|scope| write(scope, &Value::Map(map))).is_ok());
}

#[test]
fn the_deepest_inline_tables_fit_the_stack() {
    let text = format!("a = {}1{}", "{a = ".repeat(DEPTH / 2 - 2), "}".repeat(DEPTH / 2 - 2));
    let map = with_scope(|scope| read(scope, text.as_bytes())).unwrap();
    assert!(with_scope(|scope| write(scope, &Value::Map(map))).is_ok());
}

#[test]
fn the_deepest_tables_fit_the_stack() {
    let map = with_scope(|scope| read(scope, format!("{}a = 1", "a.".repeat(DEPTH - 2)).as_bytes())).unwrap();
    assert!(with_scope(|scope| write(scope, &Value::Map(map))).is_ok());
}

#[test]
fn too_deep_values_are_rejected() {
    let deepest = (0..1000).fold(Value::Bool(true), |inner, _| Value::map([("a", Value::list(vec![inner]))]));
    assert_eq!(with_scope(|scope| write(scope, &deepest)).err(), Some(Failure::Limit("value_depth")));
}

#[test]
fn too_large_documents_are_rejected() {
    let wide = "[[t]]\n".repeat(1_100_000);
    assert!(matches!(with_scope(|scope| read(scope, wide.as_bytes())), Err(Failure::Limit(_))));
    let paths = format!("[{}a]\n", "a.".repeat(200));
    let paths: String = (0..6_000).map(|index| paths.replacen("a.", &format!("k{index}."), 1)).collect();
    assert!(matches!(with_scope(|scope| read(scope, paths.as_bytes())), Err(Failure::Limit(_))));
}

proptest::proptest! {
    #[test]
    fn no_document_panics(text in "[a-c0-9.=\\[\\]{}\"'\\\\,# \nexu_:T+-]{0,60}") {
        let _ = with_scope(|scope| read(scope, text.as_bytes()));
    }
}
