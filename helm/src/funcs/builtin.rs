//! The functions of Go's own templates: `src/text/template/funcs.go`.

mod compare;
mod escape;
mod index;

use Parameter::{Any, Str};
use gostd::fmt;
use gostd::value::Value;

use crate::function::{Arguments, Failure, Function, Parameter, Scope};

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "not", parameters: &[Any], rest: None, body: not },
    Function { name: "eq", parameters: &[Any], rest: Some(Any), body: compare::eq },
    Function { name: "ne", parameters: &[Any, Any], rest: None, body: compare::ne },
    Function { name: "lt", parameters: &[Any, Any], rest: None, body: compare::lt },
    Function { name: "le", parameters: &[Any, Any], rest: None, body: compare::le },
    Function { name: "gt", parameters: &[Any, Any], rest: None, body: compare::gt },
    Function { name: "ge", parameters: &[Any, Any], rest: None, body: compare::ge },
    Function { name: "len", parameters: &[Any], rest: None, body: index::len },
    Function { name: "index", parameters: &[Any], rest: Some(Any), body: index::index },
    Function { name: "print", parameters: &[], rest: Some(Any), body: print },
    Function { name: "printf", parameters: &[Str], rest: Some(Any), body: printf },
    Function { name: "println", parameters: &[], rest: Some(Any), body: println },
    Function { name: "html", parameters: &[], rest: Some(Any), body: escape::html },
    Function { name: "js", parameters: &[], rest: Some(Any), body: escape::js },
    Function { name: "urlquery", parameters: &[], rest: Some(Any), body: escape::urlquery },
];

#[expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]
fn not(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Bool(!arguments.any(0).truth()))
}

fn print(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fmt::sprint(scope, arguments.0)
}

fn printf(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fmt::sprintf(scope, arguments.bytes(0), arguments.from(1))
}

fn println(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    fmt::sprintln(scope, arguments.0)
}
