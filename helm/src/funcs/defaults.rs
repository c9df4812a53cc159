//! Sprig's defaults and choices: `default`, `empty`, `coalesce`, `all`, `any`, `ternary`, and `hello`.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

use gostd::value::Value;

use crate::function::Parameter::{Any, Bool};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "all", parameters: &[], rest: Some(Any), body: all },
    Function { name: "any", parameters: &[], rest: Some(Any), body: any },
    Function { name: "coalesce", parameters: &[], rest: Some(Any), body: coalesce },
    Function { name: "default", parameters: &[Any], rest: Some(Any), body: default },
    Function { name: "empty", parameters: &[Any], rest: None, body: empty },
    Function { name: "hello", parameters: &[], rest: None, body: hello },
    Function { name: "ternary", parameters: &[Any, Any, Bool], rest: None, body: ternary },
];

fn all(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.from(0).iter().all(Value::truth).into())
}

fn any(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.from(0).iter().any(Value::truth).into())
}

fn coalesce(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.from(0).iter().find(|value| value.truth()).cloned().unwrap_or(Value::Nil))
}

fn default(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let given = arguments.any(1);
    Ok(if given.truth() { given } else { arguments.any(0) }.clone())
}

fn empty(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok((!arguments.any(0).truth()).into())
}

fn hello(_: &Scope<'_>, _: Arguments<'_>) -> Result<Value, Failure> {
    Ok("Hello!".into())
}

fn ternary(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.any(usize::from(!arguments.bool(2))).clone())
}
