//! `eq ne lt le gt ge`: these compare only values of the same basic kind, but signed with unsigned integers.

use std::cmp::Ordering;
use std::rc::Rc;

use gostd::fmt;
use gostd::value::Value;

use crate::function::{Arguments, Failure, Scope};

/// A value by its basic kind.
enum Basic<'v> {
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(&'v [u8]),
    /// Values without an order.
    Other,
}

impl<'v> Basic<'v> {
    fn of(value: &'v Value) -> Self {
        match value {
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Int(number) | Value::Int64(number) => Self::Integer((*number).into()),
            Value::Uint64(number) => Self::Integer((*number).into()),
            Value::Float64(number) => Self::Float(*number),
            Value::Str(text) => Self::Text(text.as_bytes()),
            Value::Binary(bytes) => Self::Text(bytes),
            Value::Nil | Value::Bytes(_) | Value::List(_) | Value::Map(_) | Value::Object(_) => Self::Other,
        }
    }
}

pub(super) fn eq(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let others = arguments.from(1);
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(scope, arguments.any(0), other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

pub(super) fn ne(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok((!equal(scope, arguments.any(0), arguments.any(1))?).into())
}

pub(super) fn lt(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (left, right) = (arguments.any(0), arguments.any(1));
    Ok(less(left, right)?.into())
}

pub(super) fn le(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (left, right) = (arguments.any(0), arguments.any(1));
    Ok((less(left, right)? || equal(scope, left, right)?).into())
}

pub(super) fn gt(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (left, right) = (arguments.any(0), arguments.any(1));
    Ok((!(less(left, right)? || equal(scope, left, right)?)).into())
}

pub(super) fn ge(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (left, right) = (arguments.any(0), arguments.any(1));
    Ok((!less(left, right)?).into())
}

#[expect(clippy::float_cmp, reason = "Go's == on float64")]
fn equal(scope: &Scope<'_>, left: &Value, right: &Value) -> Result<bool, Failure> {
    Ok(match (Basic::of(left), Basic::of(right)) {
        (Basic::Bool(left), Basic::Bool(right)) => left == right,
        (Basic::Integer(left), Basic::Integer(right)) => left == right,
        (Basic::Float(left), Basic::Float(right)) => left == right,
        (Basic::Text(left), Basic::Text(right)) => {
            scope.step((left.len() >> 8) as u64)?;
            left == right
        }
        (Basic::Other, Basic::Other) => return equal_others(scope, left, right),
        _ if matches!(left, Value::Nil) || matches!(right, Value::Nil) => false,
        _ => return Err(incompatible(left, right)),
    })
}

fn equal_others(scope: &Scope<'_>, left: &Value, right: &Value) -> Result<bool, Failure> {
    match (left, right) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ if left.kind() != right.kind() => {
            let names = [left.type_name().into(), right.type_name().into()];
            let [left_type, right_type] = names;
            let values = [left.clone(), left_type, right_type, right.clone()];
            Err(failure(&fmt::sprintf(scope, b"non-comparable types %s: %v, %s: %v", &values)?))
        }
        (Value::Object(left), Value::Object(right)) => Ok(Rc::ptr_eq(left, right)),
        _ => {
            let values = [right.clone(), right.type_name().into()];
            Err(failure(&fmt::sprintf(scope, b"non-comparable type %s: %v", &values)?))
        }
    }
}

fn less(left: &Value, right: &Value) -> Result<bool, Failure> {
    let ordering = match (Basic::of(left), Basic::of(right)) {
        (Basic::Other, _) | (_, Basic::Other) | (Basic::Bool(_), Basic::Bool(_)) => {
            return Err("invalid type for comparison".into());
        }
        (Basic::Integer(left), Basic::Integer(right)) => left.cmp(&right),
        (Basic::Float(left), Basic::Float(right)) => return Ok(left < right),
        (Basic::Text(left), Basic::Text(right)) => left.cmp(right),
        _ => return Err(incompatible(left, right)),
    };
    Ok(ordering == Ordering::Less)
}

fn incompatible(left: &Value, right: &Value) -> Failure {
    format!("incompatible types for comparison: {} and {}", left.type_name(), right.type_name()).into()
}

fn failure(text: &Value) -> Failure {
    String::from_utf8_lossy(text.bytes().unwrap_or_default()).into_owned().into()
}
