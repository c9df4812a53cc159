//! Sprig's dictionaries. Maps are references: `set` and the merges change their argument.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

mod merge;

use std::collections::BTreeSet;

use gostd::value::{Element, Map, Value};

use super::text;
use crate::function::Parameter::{self, Any, Str};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "dict", parameters: &[], rest: Some(Any), body: dict },
    Function { name: "dig", parameters: &[], rest: Some(Any), body: dig },
    Function { name: "get", parameters: &[Parameter::Map, Str], rest: None, body: get },
    Function { name: "hasKey", parameters: &[Parameter::Map, Str], rest: None, body: has_key },
    Function { name: "keys", parameters: &[], rest: Some(Parameter::Map), body: keys },
    Function { name: "merge", parameters: &[Parameter::Map], rest: Some(Parameter::Map), body: merge::fill },
    Function {
        name: "mergeOverwrite",
        parameters: &[Parameter::Map],
        rest: Some(Parameter::Map),
        body: merge::overwrite,
    },
    Function {
        name: "mustMerge",
        parameters: &[Parameter::Map],
        rest: Some(Parameter::Map),
        body: merge::must_fill,
    },
    Function {
        name: "mustMergeOverwrite",
        parameters: &[Parameter::Map],
        rest: Some(Parameter::Map),
        body: merge::must_overwrite,
    },
    Function { name: "omit", parameters: &[Parameter::Map], rest: Some(Str), body: omit },
    Function { name: "pick", parameters: &[Parameter::Map], rest: Some(Str), body: pick },
    Function { name: "pluck", parameters: &[Str], rest: Some(Parameter::Map), body: pluck },
    Function { name: "set", parameters: &[Parameter::Map, Str, Any], rest: None, body: set },
    Function { name: "unset", parameters: &[Parameter::Map, Str], rest: None, body: unset },
    Function { name: "values", parameters: &[Parameter::Map], rest: None, body: values },
];

/// The entry for a key. Keys are always UTF-8, so another key has none.
fn entry(map: &Map, key: &Value) -> Option<Value> {
    if let Value::Str(key) = key { map.entries.borrow().get(key).cloned() } else { None }
}

fn dict(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    scope.step(arguments.len() as u64)?;
    let map = Map::new::<&str>([]);
    for pair in arguments.from(0).chunks(2) {
        if let [key, rest @ ..] = pair {
            let value = rest.first().cloned().unwrap_or_else(|| "".into());
            map.entries.borrow_mut().insert(text::key(scope, key)?, value);
        }
    }
    Ok(Value::Map(map))
}

fn get(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(entry(&arguments.map(0), arguments.any(1)).unwrap_or_else(|| "".into()))
}

fn set(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    // The bytes of an entry besides its value: a map counts only the entries that it was created with.
    scope.produce(96)?;
    let Value::Map(map) = arguments.any(0) else {
        return Err("assignment to entry in nil map".into());
    };
    map.entries.borrow_mut().insert(text::key(scope, arguments.any(1))?, arguments.any(2).clone());
    Ok(Value::Map(map.unnamed()))
}

fn unset(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let map = arguments.map(0);
    if let Value::Str(key) = arguments.any(1) {
        map.entries.borrow_mut().remove(key);
    }
    Ok(Value::Map(map))
}

fn has_key(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(entry(&arguments.map(0), arguments.any(1)).is_some().into())
}

fn pluck(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let found = (1..arguments.len()).filter_map(|index| entry(&arguments.map(index), arguments.any(0)));
    Ok(Value::list(found.collect()))
}

/// In the order of the keys; Go's order is random.
fn keys(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for index in 0..arguments.len() {
        let map = arguments.map(index);
        scope.step(map.entries.borrow().len() as u64)?;
        all.extend(map.entries.borrow().keys().cloned());
    }
    Ok(Value::strings(all))
}

/// In the order of the keys; Go's order is random.
fn values(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let map = arguments.map(0);
    scope.step(map.entries.borrow().len() as u64)?;
    let values = map.entries.borrow().values().cloned().collect();
    Ok(Value::list(values))
}

fn pick(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source = arguments.map(0);
    let picked = Map::new::<&str>([]);
    for key in arguments.from(1) {
        if let (Value::Str(key), Some(value)) = (key, entry(&source, key)) {
            picked.entries.borrow_mut().insert(key.clone(), value);
        }
    }
    Ok(Value::Map(picked))
}

fn omit(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source = arguments.map(0);
    scope.step(source.entries.borrow().len() as u64)?;
    let omitted: BTreeSet<&[u8]> = arguments.from(1).iter().filter_map(Value::bytes).collect();
    let entries = source.entries.borrow();
    let kept = entries.iter().filter(|(key, _)| !omitted.contains(key.as_bytes()));
    Ok(Value::map(kept.map(|(key, value)| (key.clone(), value.clone()))))
}

fn dig(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let [path @ .., default, start] = arguments.from(0) else {
        return Err("dig needs at least three arguments".into());
    };
    if path.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let mut at = asserted_map(start)?;
    if let Some(wrong) = path.iter().find(|key| !matches!(key, Value::Str(_) | Value::Binary(_))) {
        return Err(conversion(wrong, "string"));
    }
    let mut keys = path.iter().peekable();
    while let Some(key) = keys.next() {
        let Some(value) = entry(&at, key) else { return Ok(default.clone()) };
        if keys.peek().is_none() {
            return Ok(value);
        }
        at = asserted_map(&value)?;
    }
    Ok(default.clone())
}

/// Go's `value.(map[string]interface {})`.
fn asserted_map(value: &Value) -> Result<Map, Failure> {
    match value {
        Value::Map(map) if map.element == Element::Any => Ok(map.clone()),
        other => Err(conversion(other, "map[string]interface {}")),
    }
}

fn conversion(value: &Value, wanted: &str) -> Failure {
    let name = if let Value::Nil = value { "nil" } else { value.type_name() };
    format!("interface conversion: interface {{}} is {name}, not {wanted}").into()
}
