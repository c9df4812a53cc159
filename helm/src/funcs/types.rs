//! Sprig's reflection: types, kinds, `deepEqual`, `deepCopy`.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

use std::rc::Rc;

use gostd::object::Object;
use gostd::value::{List, Map, Value};

use crate::function::Parameter::{Any, Str};
use crate::function::{Arguments, Failure, Function, Scope};
use crate::semver::Version;

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "deepCopy", parameters: &[Any], rest: None, body: deep_copy },
    Function { name: "deepEqual", parameters: &[Any, Any], rest: None, body: equal },
    Function { name: "kindIs", parameters: &[Str, Any], rest: None, body: kind_is },
    Function { name: "kindOf", parameters: &[Any], rest: None, body: kind_of },
    Function { name: "mustDeepCopy", parameters: &[Any], rest: None, body: deep_copy },
    Function { name: "typeIs", parameters: &[Str, Any], rest: None, body: type_is },
    Function { name: "typeIsLike", parameters: &[Str, Any], rest: None, body: type_is_like },
    Function { name: "typeOf", parameters: &[Any], rest: None, body: type_of },
];

fn type_of(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.any(0).type_name().into())
}

fn type_is(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok((arguments.bytes(0) == arguments.any(1).type_name().as_bytes()).into())
}

fn type_is_like(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let name = arguments.any(1).type_name();
    let pointed = name.strip_prefix('*').unwrap_or(name);
    let target = arguments.bytes(0);
    Ok((target == name.as_bytes() || target == pointed.as_bytes()).into())
}

fn kind_of(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.any(0).kind().into())
}

fn kind_is(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok((arguments.bytes(0) == arguments.any(1).kind().as_bytes()).into())
}

fn equal(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(deep_equal(scope, arguments.any(0), arguments.any(1))?.into())
}

/// Go's `reflect.DeepEqual`: the same types and the same content at every level.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn deep_equal(scope: &Scope<'_>, left: &Value, right: &Value) -> Result<bool, Failure> {
    deep_equal_at(scope, left, right, 0)
}

#[expect(clippy::float_cmp, reason = "as Go compares")]
fn deep_equal_at(scope: &Scope<'_>, left: &Value, right: &Value, depth: usize) -> Result<bool, Failure> {
    scope.step(1)?;
    if depth > scope.limits.value_depth {
        return Err(Failure::Limit("value_depth"));
    }
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) | (Value::Int64(left), Value::Int64(right)) => left == right,
        (Value::Uint64(left), Value::Uint64(right)) => left == right,
        (Value::Float64(left), Value::Float64(right)) => left == right,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::Binary(left), Value::Binary(right)) | (Value::Bytes(left), Value::Bytes(right)) => {
            left == right
        }
        (Value::List(left), Value::List(right)) => equal_lists(scope, left, right, depth)?,
        (Value::Map(left), Value::Map(right)) => equal_maps(scope, left, right, depth)?,
        (Value::Object(left), Value::Object(right)) => {
            if let (Some(left), Some(right)) = (version(&**left), version(&**right)) {
                return Ok(left == right);
            }
            Rc::ptr_eq(left, right)
                || (left.type_name() == right.type_name()
                    && left.print() == right.print()
                    && deep_equal_at(scope, &left.plain(), &right.plain(), depth + 1)?)
        }
        _ => false,
    })
}

/// Go compares all fields of a version, including its original text.
fn version(object: &dyn Object) -> Option<&Version> {
    object.as_any().downcast_ref()
}

fn equal_lists(scope: &Scope<'_>, left: &List, right: &List, depth: usize) -> Result<bool, Failure> {
    if left.element != right.element
        || left.items.len() != right.items.len()
        || left.is_nil() != right.is_nil()
    {
        return Ok(false);
    }
    if Rc::ptr_eq(&left.items, &right.items) {
        return Ok(true);
    }
    for (left, right) in left.items.iter().zip(right.items.iter()) {
        if !deep_equal_at(scope, left, right, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(scope: &Scope<'_>, left: &Map, right: &Map, depth: usize) -> Result<bool, Failure> {
    if left.element != right.element {
        return Ok(false);
    }
    if Rc::ptr_eq(&left.entries, &right.entries) {
        return Ok(true);
    }
    let (left, right) = (left.entries.borrow(), right.entries.borrow());
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, value) in left.iter() {
        let Some(other) = right.get(key) else { return Ok(false) };
        if !deep_equal_at(scope, value, other, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn deep_copy(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    if let Value::Nil = arguments.any(0) {
        return Err("reflect: call of reflect.Value.Type on zero Value".into());
    }
    copy(scope, arguments.any(0), 0)
}

/// Copies maps and slices at every level, as `copystructure` does.
fn copy(scope: &Scope<'_>, value: &Value, depth: usize) -> Result<Value, Failure> {
    scope.step(1)?;
    if depth > scope.limits.value_depth {
        return Err(Failure::Limit("value_depth"));
    }
    Ok(match value {
        Value::List(list) if !list.items.is_empty() => {
            let items: Result<Vec<_>, _> =
                list.items.iter().map(|item| copy(scope, item, depth + 1)).collect();
            Value::List(List::of(list.element, items?))
        }
        Value::Map(map) => {
            let copied = Map::of::<&str>(map.element, []);
            for (key, value) in map.entries.borrow().iter() {
                let value = copy(scope, value, depth + 1)?;
                copied.entries.borrow_mut().insert(key.clone(), value);
            }
            Value::Map(copied)
        }
        // Go cannot access the fields of a version, so its copy is empty.
        Value::Object(object) if version(&**object).is_some() => Value::Object(Rc::new(Version::default())),
        other => other.clone(),
    })
}
