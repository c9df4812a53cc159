//! The merges, by the rules of mergo 1.0 for maps.
//!
//! The destination is changed in place and returned. Maps and lists of a source are not copied: where the destination
//! had no entry, both share them afterwards.

use std::rc::Rc;

use gostd::value::{Element, Map, Value};

use crate::function::{Arguments, Failure, Scope};

/// How to handle the existing entries of the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    /// Keep those that are not empty.
    Keep,
    /// Overwrite them, even with empty values.
    Replace,
}

/// `merge`, which returns an empty string where mergo fails.
pub(crate) fn fill(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    swallow(merge(scope, arguments, Existing::Keep))
}

/// `mergeOverwrite`, which returns an empty string where mergo fails.
pub(crate) fn overwrite(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    swallow(merge(scope, arguments, Existing::Replace))
}

/// `mustMerge`
pub(crate) fn must_fill(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    merge(scope, arguments, Existing::Keep)
}

/// `mustMergeOverwrite`
pub(crate) fn must_overwrite(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    merge(scope, arguments, Existing::Replace)
}

const DIFFERENT_TYPES: &str = "src and dst must be of same type";

fn swallow(merged: Result<Value, Failure>) -> Result<Value, Failure> {
    match merged {
        Err(Failure::Message(text)) if text == DIFFERENT_TYPES => Ok("".into()),
        other => other,
    }
}

fn merge(scope: &Scope<'_>, arguments: Arguments<'_>, existing: Existing) -> Result<Value, Failure> {
    let destination = arguments.map(0);
    for index in 1..arguments.len() {
        merge_maps(scope, &destination, &arguments.map(index), existing, 0)?;
    }
    Ok(Value::Map(destination))
}

fn merge_maps(
    scope: &Scope<'_>,
    destination: &Map,
    source: &Map,
    existing: Existing,
    depth: usize,
) -> Result<(), Failure> {
    if depth > scope.limits.value_depth {
        return Err(Failure::Limit("value_depth"));
    }
    if Rc::ptr_eq(&destination.entries, &source.entries) {
        return Ok(());
    }
    // A copy of the list of entries, because a nested map may be this same map.
    let entries: Vec<_> =
        source.entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    scope.step(1 + entries.len() as u64)?;
    for (key, value) in entries {
        let old = destination.entries.borrow().get(&key).cloned();
        if replaces(scope, old.as_ref(), &value, existing, depth)? {
            insert(destination, source, key, value)?;
        }
    }
    Ok(())
}

/// Whether `new` replaces `old`; two maps are merged instead.
fn replaces(
    scope: &Scope<'_>,
    old: Option<&Value>,
    new: &Value,
    existing: Existing,
    depth: usize,
) -> Result<bool, Failure> {
    if let Value::Nil = new {
        return Ok(existing == Existing::Replace);
    }
    let Some(old) = old else { return Ok(true) };
    match (old, new) {
        (Value::Map(old), Value::Map(new)) => {
            merge_maps(scope, old, new, existing, depth + 1)?;
            return Ok(old.entries.borrow().is_empty());
        }
        (Value::Object(old), Value::Map(_)) if old.kind() == "ptr" && existing == Existing::Keep => {
            return Err(DIFFERENT_TYPES.into());
        }
        _ => {}
    }
    Ok(existing == Existing::Replace || !old.truth())
}

/// Go does not insert an `interface {}` into a `map[string]string`, whatever value it holds.
fn insert(destination: &Map, source: &Map, key: Rc<str>, value: Value) -> Result<(), Failure> {
    if !matches!(destination.element, Element::Any | Element::Values) && destination.element != source.element
    {
        let wanted = Value::Map(destination.clone()).type_name().trim_start_matches("map[string]");
        let given = if let Value::List(_) = value { value.type_name() } else { "interface {}" };
        let refusal = format!("value of type {given} is not assignable to type {wanted}");
        return Err(format!("reflect.Value.SetMapIndex: {refusal}").into());
    }
    destination.entries.borrow_mut().insert(key, value);
    Ok(())
}
