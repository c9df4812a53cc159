//! YAML in templates: the functions of Helm's own `pkg/engine/funcs.go`.

use gostd::value::Value;
use gostd::yaml::{self, Dialect, Problem};

use crate::function::{Arguments, Failure, Function, Parameter, Scope};

/// The functions of this file.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "toYaml", parameters: &[Parameter::Any], rest: None, body: to_yaml },
    Function { name: "mustToYaml", parameters: &[Parameter::Any], rest: None, body: must_to_yaml },
    Function { name: "toYamlPretty", parameters: &[Parameter::Any], rest: None, body: to_yaml_pretty },
    Function { name: "fromYaml", parameters: &[Parameter::Str], rest: None, body: from_yaml },
    Function { name: "fromYamlArray", parameters: &[Parameter::Str], rest: None, body: from_yaml_array },
];

fn to_yaml(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    swallow(written(arguments.any(0), Dialect::Marshal, scope))
}

fn must_to_yaml(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    written(arguments.any(0), Dialect::Marshal, scope)
}

fn to_yaml_pretty(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    swallow(written(arguments.any(0), Dialect::V3, scope))
}

fn from_yaml(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let wanted = "map[string]interface {}";
    Ok(match read(scope, arguments)? {
        // For a null document, Go leaves the empty target map unchanged.
        Ok(Value::Nil) => Value::map::<&str>([]),
        Ok(map @ Value::Map(_)) => map,
        Ok(other) => Value::map([("Error", Value::from(mismatch(&other, wanted)))]),
        Err(text) => Value::map([("Error", Value::from(text))]),
    })
}

fn from_yaml_array(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(match read(scope, arguments)? {
        Ok(Value::Nil) => Value::list(Vec::new()),
        Ok(list @ Value::List(_)) => list,
        Ok(other) => Value::list(vec![mismatch(&other, "[]interface {}").into()]),
        Err(text) => Value::list(vec![text.into()]),
    })
}

/// Writes a value. Helm removes one line break from the end.
fn written(value: &Value, dialect: Dialect, scope: &Scope<'_>) -> Result<Value, Failure> {
    let mut text = yaml::write_value(value, dialect, scope)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text.into())
}

/// Replaces an error by an empty string, except for an exceeded limit.
fn swallow(result: Result<Value, Failure>) -> Result<Value, Failure> {
    match result {
        Err(Failure::Message(_)) => Ok("".into()),
        other => other,
    }
}

/// Parses the argument as `sigs.k8s.io/yaml` does; the inner error is its error text.
fn read(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Result<Value, String>, Failure> {
    let bytes = arguments.bytes(0);
    scope.produce(bytes.len())?;
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(Err("error converting YAML to JSON: yaml: invalid leading UTF-8 octet".to_owned()));
    };
    match yaml::parse_value(text, scope.limits) {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.problem() {
            Problem::Limit(name) => Err(Failure::Limit(name)),
            _ => Ok(Err(error.go_message())),
        },
    }
}

fn mismatch(value: &Value, wanted: &str) -> String {
    let found = super::json::name(value);
    let text = format!("json: cannot unmarshal {found} into Go value of type {wanted}");
    format!("error unmarshaling JSON: while decoding JSON: {text}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gostd::json::write;
    use gostd::json::writer::Style;
    use gostd::limits::Limits;

    use super::*;
    use crate::function::Random;
    use crate::lookup::Deny;

    /// Calls a function with one argument; returns a string result as it is, and any other as JSON.
    fn call(name: &str, argument: Value) -> Result<String, Failure> {
        let limits = Limits::default();
        let scope = Scope::new(&limits, Duration::ZERO, &Random::new([0; 32]), &Deny);
        let function = FUNCTIONS.iter().find(|function| function.name == name).unwrap();
        match (function.body)(&scope, Arguments(&[argument]))? {
            Value::Str(text) => Ok(text.to_string()),
            other => write(&other, Style::Raw, &scope),
        }
    }

    #[test]
    fn reading_accepts_and_rejects_the_same_text_as_helm() {
        let converting = "error converting YAML to JSON: ";
        let unmarshaling = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ";
        for (source, expected) in [
            ("x", format!("{unmarshaling}string into Go value of type map[string]interface {{}}")),
            ("a: *x", format!("{converting}yaml: unknown anchor 'x' referenced")),
            ("a: b: c", format!("{converting}yaml: mapping values are not allowed in this context")),
            (
                "a: 1\n  b: 2",
                format!("{converting}yaml: line 2: mapping values are not allowed in this context"),
            ),
            ("a: .inf", format!("{converting}json: unsupported value: +Inf")),
            ("a: !!int x", format!("{converting}yaml: cannot decode !!str `x` as a !!int")),
            ("\ta: 1", format!("{converting}yaml: found character that cannot start any token")),
            ("a: \"x", format!("{converting}yaml: found unexpected end of stream")),
            ("@", format!("{converting}yaml: found character that cannot start any token")),
        ] {
            let expected = serde_json::json!({ "Error": expected }).to_string();
            assert_eq!(call("fromYaml", source.into()), Ok(expected), "{source:?}");
        }
        assert_eq!(call("fromYaml", "a: [1, yes]".into()).as_deref(), Ok(r#"{"a":[1,true]}"#));
        assert_eq!(call("fromYaml", "".into()).as_deref(), Ok("{}"));
        assert_eq!(call("fromYamlArray", "null".into()).as_deref(), Ok("[]"));
        assert_eq!(call("fromYamlArray", "[1, a]".into()).as_deref(), Ok(r#"[1,"a"]"#));
        let text = format!(r#"["{unmarshaling}object into Go value of type []interface {{}}"]"#);
        assert_eq!(call("fromYamlArray", "a: 1".into()), Ok(text));
        let deep = "[".repeat(5000);
        assert_eq!(call("fromYaml", deep.into()), Err(Failure::Limit("value_depth")));
    }

    #[test]
    fn writing_gives_the_same_text_as_helm() {
        assert_eq!(call("toYaml", "a\nb\n".into()).as_deref(), Ok("|\n  a\n  b"));
        assert_eq!(call("toYaml", Value::Nil).as_deref(), Ok("null"));
        assert_eq!(call("toYaml", Value::Float64(-0.0)).as_deref(), Ok("0"));
        assert_eq!(call("toYaml", Value::Int64(9_007_199_254_740_993)).as_deref(), Ok("9007199254740993"));
        // The detour through JSON folds U+0085 and rejects U+007F.
        assert_eq!(call("toYaml", "a\u{85}b".into()).as_deref(), Ok("a b"));
        assert_eq!(call("toYaml", "\u{85}x".into()).as_deref(), Ok("' x'"));
        assert_eq!(call("toYaml", "\u{7f}".into()).as_deref(), Ok(""));
        let refused = Failure::from("yaml: control characters are not allowed");
        assert_eq!(call("mustToYaml", "\u{7f}".into()), Err(refused));
        let value = || {
            Value::map([
                ("a", Value::list(vec![Value::Int(1), Value::map([("b", Value::Int(2))])])),
                ("c", Value::Float64(1_000_000.0)),
                ("d", "yes".into()),
                ("e", "<<".into()),
                ("f", Value::string(b"\xffa\xfe".to_vec())),
            ])
        };
        let text = "a:\n- 1\n- b: 2\nc: 1000000\nd: \"yes\"\ne: <<\nf: \u{fffd}a\u{fffd}";
        assert_eq!(call("toYaml", value()).as_deref(), Ok(text));
        let text = "a:\n  - 1\n  - b: 2\nc: 1e+06\nd: \"yes\"\ne: <<\nf: !!binary /2H+";
        assert_eq!(call("toYamlPretty", value()).as_deref(), Ok(text));
        assert_eq!(call("toYamlPretty", "x\ty\nz".into()).as_deref(), Ok("|-\n  x\ty\n  z"));
        let long = "word ".repeat(30);
        assert_eq!(call("toYamlPretty", long.as_str().into()), Ok(format!("'{long}'")));
    }
}
