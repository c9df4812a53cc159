//! JSON in templates: `toJson`, `fromJson` and `fromJsonArray` from Helm's `pkg/engine/funcs.go`, the others from
//! Sprig's `defaults.go`.

use gostd::json::reader::{Document, Refusal, read};
use gostd::json::write;
use gostd::json::writer::Style;
use gostd::value::Value;

use crate::function::{Arguments, Failure, Function, Parameter, Scope};

/// The functions of this file.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "toJson", parameters: &[Parameter::Any], rest: None, body: to_json },
    Function { name: "mustToJson", parameters: &[Parameter::Any], rest: None, body: must_to_json },
    Function { name: "toPrettyJson", parameters: &[Parameter::Any], rest: None, body: to_pretty_json },
    Function {
        name: "mustToPrettyJson",
        parameters: &[Parameter::Any],
        rest: None,
        body: must_to_pretty_json,
    },
    Function { name: "toRawJson", parameters: &[Parameter::Any], rest: None, body: to_raw_json },
    Function { name: "mustToRawJson", parameters: &[Parameter::Any], rest: None, body: to_raw_json },
    Function { name: "fromJson", parameters: &[Parameter::Str], rest: None, body: from_json },
    Function { name: "mustFromJson", parameters: &[Parameter::Str], rest: None, body: must_from_json },
    Function { name: "fromJsonArray", parameters: &[Parameter::Str], rest: None, body: from_json_array },
];

fn to_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    swallow(write(arguments.any(0), Style::Compact, scope))
}

fn must_to_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    write(arguments.any(0), Style::Compact, scope).map(Value::from)
}

fn to_pretty_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    swallow(write(arguments.any(0), Style::Indented, scope))
}

fn must_to_pretty_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    write(arguments.any(0), Style::Indented, scope).map(Value::from)
}

/// In Sprig, `toRawJson` fails just as `mustToRawJson` does.
fn to_raw_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    write(arguments.any(0), Style::Raw, scope).map(Value::from)
}

fn from_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let error = |text: String| Value::map([("Error", Value::from(text))]);
    Ok(match parse(scope, arguments)? {
        Ok(Document { value: Value::Nil, .. }) => Value::map::<&str>([]),
        Ok(Document { value: Value::Map(map), out_of_range }) => {
            if let Some(text) = out_of_range {
                map.entries.borrow_mut().insert("Error".into(), text.into());
            }
            Value::Map(map)
        }
        Ok(other) => error(mismatch(&other.value, "map[string]interface {}")),
        Err(text) => error(text),
    })
}

fn must_from_json(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let document = parse(scope, arguments)?.map_err(Failure::Message)?;
    match document.out_of_range {
        None => Ok(document.value),
        Some(text) => Err(text.into()),
    }
}

fn from_json_array(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let error = |text: String| Value::list(vec![text.into()]);
    Ok(match parse(scope, arguments)? {
        Ok(Document { value: Value::Nil, .. }) => Value::list(Vec::new()),
        Ok(Document { value: list @ Value::List(_), out_of_range: None }) => list,
        Err(text) | Ok(Document { value: Value::List(_), out_of_range: Some(text) }) => error(text),
        Ok(other) => error(mismatch(&other.value, "[]interface {}")),
    })
}

/// Replaces an error by an empty string, except for an exceeded limit.
fn swallow(result: Result<String, Failure>) -> Result<Value, Failure> {
    match result {
        Ok(text) => Ok(text.into()),
        Err(Failure::Message(_)) => Ok("".into()),
        Err(limit) => Err(limit),
    }
}

/// Parses the argument as `encoding/json` does; the inner error is its error text.
fn parse(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Result<Document<Value>, String>, Failure> {
    let bytes = arguments.bytes(0);
    scope.produce(bytes.len())?;
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => gostd::json::writer::replace_invalid(bytes),
    };
    match read(&text, scope.limits) {
        Ok(document) => Ok(Ok(document)),
        Err(Refusal::Message(text)) => Ok(Err(text)),
        Err(Refusal::Limit(name)) => Err(Failure::Limit(name)),
    }
}

fn mismatch(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", name(value))
}

/// The name of a value's type in the errors of `encoding/json`.
pub(crate) fn name(value: &Value) -> &'static str {
    match value {
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::List(_) => "array",
        Value::Map(_) => "object",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gostd::limits::Limits;

    use super::*;
    use crate::function::Random;
    use crate::lookup::Deny;

    /// Calls a function with one argument.
    fn call(name: &str, argument: Value) -> Result<Value, Failure> {
        let limits = Limits::default();
        let scope = Scope::new(&limits, Duration::ZERO, &Random::new([0; 32]), &Deny);
        let function = FUNCTIONS.iter().find(|function| function.name == name).unwrap();
        (function.body)(&scope, Arguments(&[argument]))
    }

    fn text(value: Value) -> String {
        match call("toJson", value) {
            Ok(Value::Str(text)) => text.to_string(),
            _ => panic!("toJson returns a string"),
        }
    }

    #[test]
    fn reading_accepts_and_rejects_the_same_text_as_helm() {
        for (name, source, expected) in [
            ("fromJson", r#"{"a": 1, "a": 2}"#, r#"{"a":2}"#),
            (
                "fromJson",
                "[1]",
                r#"{"Error":"json: cannot unmarshal array into Go value of type map[string]interface {}"}"#,
            ),
            ("fromJson", "", r#"{"Error":"unexpected end of JSON input"}"#),
            (
                "fromJson",
                "{a}",
                r#"{"Error":"invalid character 'a' looking for beginning of object key string"}"#,
            ),
            ("fromJson", r#"{"a" 1}"#, r#"{"Error":"invalid character '1' after object key"}"#),
            ("fromJson", r#"{"a": 1} x"#, r#"{"Error":"invalid character 'x' after top-level value"}"#),
            ("fromJson", r#"{"a": 1 2}"#, r#"{"Error":"invalid character '2' after object key:value pair"}"#),
            ("fromJson", "[1,]", r#"{"Error":"invalid character ']' looking for beginning of value"}"#),
            ("fromJson", "trux", r#"{"Error":"invalid character 'x' in literal true (expecting 'e')"}"#),
            ("fromJson", "1.x", r#"{"Error":"invalid character 'x' in numeric literal"}"#),
            ("fromJson", r#""\u12x4""#, r#"{"Error":"invalid escape sequence `\\u12x4` in string"}"#),
            ("fromJson", "\"\n\"", r#"{"Error":"invalid character '\\n' in string"}"#),
            ("fromJson", "é", r#"{"Error":"invalid character 'é' looking for beginning of value"}"#),
            (
                "fromJson",
                r#"{"a": [1, {"c": 1e999}]}"#,
                r#"{"Error":"json: cannot unmarshal number 1e999 into Go struct field .a.1.c of type float64","a":[1,{"c":0}]}"#,
            ),
            ("fromJson", r#"{"a": "\ud83d\ude00\ud800x\/"}"#, "{\"a\":\"😀\u{fffd}x/\"}"),
            (
                "fromJsonArray",
                "{}",
                r#"["json: cannot unmarshal object into Go value of type []interface {}"]"#,
            ),
            (
                "fromJsonArray",
                "[[1, 1e999]]",
                r#"["json: cannot unmarshal number 1e999 into .0.1 of type float64"]"#,
            ),
            ("mustFromJson", r#"[1, {"a": null}]"#, r#"[1,{"a":null}]"#),
            ("mustFromJson", "null", "null"),
        ] {
            assert_eq!(text(call(name, source.into()).unwrap_or(Value::Nil)), expected, "{name} {source}");
        }
        assert_eq!(
            call("mustFromJson", "x".into()).err(),
            Some("invalid character 'x' looking for beginning of value".into())
        );
    }

    #[test]
    fn writing_gives_the_same_text_as_helm() {
        let value = || {
            Value::map([
                ("b", Value::from("<&>\u{2028}")),
                (
                    "a",
                    Value::list(vec![
                        Value::Float64(1e21),
                        Value::Int(1),
                        Value::Float64(1e-7),
                        Value::map::<&str>([]),
                    ]),
                ),
                ("c", Value::string(b"\xffa\xfe".to_vec())),
                ("d", Value::Bytes(b"hi".as_slice().into())),
            ])
        };
        assert_eq!(
            text(value()),
            "{\"a\":[1e+21,1,1e-7,{}],\"b\":\"\\u003c\\u0026\\u003e\\u2028\",\"c\":\"\u{fffd}a\u{fffd}\",\"d\":\"aGk=\"}"
        );
        let raw = call("toRawJson", Value::list(vec!["<".into()])).ok();
        assert!(matches!(raw, Some(Value::Str(text)) if *text == *"[\"<\"]"));
        let pretty = call("toPrettyJson", Value::list(vec![Value::Int(1), Value::list(vec![])])).ok();
        assert!(matches!(pretty, Some(Value::Str(text)) if *text == *"[\n  1,\n  []\n]"));
        assert_eq!(text(Value::Float64(f64::NAN)), "");
        assert_eq!(
            call("mustToJson", Value::Float64(f64::NAN)).err(),
            Some("json: unsupported value: NaN".into())
        );
    }
}
