//! `len` and `index`. Sprig's own `slice` replaces Go's.

use gostd::value::Value;

use crate::function::{Arguments, Failure, Scope};
use crate::template::zero;

pub(super) fn len(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let value = arguments.any(0);
    let length = match value {
        Value::Nil => return Err("len of nil pointer".into()),
        Value::Map(map) => Some(map.entries.borrow().len()),
        Value::Object(object) => object.items().map(|items| items.len()),
        _ => length(value),
    };
    match length {
        Some(length) => Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX))),
        None => Err(format!("len of type {}", value.type_name()).into()),
    }
}

/// The number of elements or bytes.
fn length(value: &Value) -> Option<usize> {
    match value {
        Value::List(list) => Some(list.items.len()),
        _ => value.bytes().map(<[u8]>::len),
    }
}

pub(super) fn index(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut item = arguments.any(0).clone();
    if matches!(item, Value::Nil) {
        return Err("index of untyped nil".into());
    }
    for key in arguments.from(1) {
        item = element(&item, key)?;
    }
    Ok(item)
}

fn element(item: &Value, key: &Value) -> Result<Value, Failure> {
    match item {
        Value::Nil => Err("index of nil pointer".into()),
        Value::Map(map) => match key {
            Value::Str(key) => {
                let found = map.entries.borrow().get(key).cloned();
                Ok(found.unwrap_or_else(|| zero(map.element)))
            }
            Value::Binary(_) => Ok(zero(map.element)),
            Value::Nil => Err("value is nil; should be of type string".into()),
            _ => Err(format!("value has type {}; should be string", key.type_name()).into()),
        },
        Value::List(list) => {
            let at = position(key, list.items.len())?;
            list.items.get(at).cloned().ok_or_else(|| "reflect: slice index out of range".into())
        }
        Value::Object(object) => {
            let items = object.items().ok_or_else(|| not_indexed(item))?;
            if object.kind() == "map" {
                let found = items.into_iter().find(|(name, _)| name.bytes() == key.bytes());
                return Ok(found.map_or(Value::Nil, |(_, value)| value));
            }
            let at = position(key, items.len())?;
            let found = items.into_iter().nth(at).map(|(_, value)| value);
            found.ok_or_else(|| "reflect: slice index out of range".into())
        }
        _ => {
            let bytes = item.bytes().ok_or_else(|| not_indexed(item))?;
            let at = position(key, bytes.len())?;
            let kind = if matches!(item, Value::Bytes(_)) { "slice" } else { "string" };
            let byte = bytes.get(at).ok_or_else(|| format!("reflect: {kind} index out of range"))?;
            Ok(Value::Uint64((*byte).into()))
        }
    }
}

fn not_indexed(item: &Value) -> Failure {
    format!("can't index item of type {}", item.type_name()).into()
}

/// `indexArg`: as in Go, it accepts an index one past the end.
fn position(key: &Value, length: usize) -> Result<usize, Failure> {
    let number = match key {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Uint64(number) => number.cast_signed(),
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        _ => return Err(format!("cannot index slice/array with type {}", key.type_name()).into()),
    };
    let position = usize::try_from(number).ok().filter(|position| *position <= length);
    position.ok_or_else(|| format!("index out of range: {number}").into())
}
