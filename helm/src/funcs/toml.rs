//! TOML in templates.
//!
//! Source: Helm 4 `pkg/engine/funcs.go`.

use gostd::value::Value;

use crate::function::{Arguments, Failure, Function, Parameter, Scope};
use crate::toml::{read, write};

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "fromToml", parameters: &[Parameter::Str], rest: None, body: from_toml },
    Function { name: "mustToToml", parameters: &[Parameter::Any], rest: None, body: must_to_toml },
    Function { name: "toToml", parameters: &[Parameter::Any], rest: None, body: to_toml },
];

/// An error becomes the value of the key `Error`.
fn from_toml(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    match read(scope, arguments.bytes(0)) {
        Ok(map) => Ok(Value::Map(map)),
        Err(Failure::Message(text)) => Ok(Value::map([("Error", text.into())])),
        Err(limit @ Failure::Limit(_)) => Err(limit),
    }
}

fn must_to_toml(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    write(scope, arguments.any(0)).map(Value::string)
}

/// An error text becomes the result.
fn to_toml(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    match write(scope, arguments.any(0)) {
        Ok(bytes) => Ok(Value::string(bytes)),
        Err(Failure::Message(text)) if !matches!(arguments.any(0), Value::Nil) => Ok(text.into()),
        Err(failure) => Err(failure),
    }
}
