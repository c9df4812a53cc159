//! Sprig's lists. Every function returns a new slice. Arguments can be `[]string`, `[]int` or `[]interface {}`.

use std::borrow::Cow;
use std::rc::Rc;

use gostd::value::{Element, List, Value};

use super::{cast, text, types};
use crate::function::Parameter::{Any, Int, Str};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "append", parameters: &[Any, Any], rest: None, body: push },
    Function { name: "chunk", parameters: &[Int, Any], rest: None, body: chunk },
    Function { name: "compact", parameters: &[Any], rest: None, body: compact },
    Function { name: "concat", parameters: &[], rest: Some(Any), body: concat },
    Function { name: "first", parameters: &[Any], rest: None, body: first },
    Function { name: "has", parameters: &[Any, Any], rest: None, body: has },
    Function { name: "initial", parameters: &[Any], rest: None, body: initial },
    Function { name: "join", parameters: &[Str, Any], rest: None, body: join },
    Function { name: "last", parameters: &[Any], rest: None, body: last },
    Function { name: "list", parameters: &[], rest: Some(Any), body: list },
    Function { name: "mustAppend", parameters: &[Any, Any], rest: None, body: push },
    Function { name: "mustChunk", parameters: &[Int, Any], rest: None, body: chunk },
    Function { name: "mustCompact", parameters: &[Any], rest: None, body: compact },
    Function { name: "mustFirst", parameters: &[Any], rest: None, body: first },
    Function { name: "mustHas", parameters: &[Any, Any], rest: None, body: has },
    Function { name: "mustInitial", parameters: &[Any], rest: None, body: initial },
    Function { name: "mustLast", parameters: &[Any], rest: None, body: last },
    Function { name: "mustPrepend", parameters: &[Any, Any], rest: None, body: prepend },
    Function { name: "mustPush", parameters: &[Any, Any], rest: None, body: push },
    Function { name: "mustRest", parameters: &[Any], rest: None, body: rest },
    Function { name: "mustReverse", parameters: &[Any], rest: None, body: reverse },
    Function { name: "mustSlice", parameters: &[Any], rest: Some(Any), body: slice },
    Function { name: "mustUniq", parameters: &[Any], rest: None, body: uniq },
    Function { name: "mustWithout", parameters: &[Any], rest: Some(Any), body: without },
    Function { name: "prepend", parameters: &[Any, Any], rest: None, body: prepend },
    Function { name: "push", parameters: &[Any, Any], rest: None, body: push },
    Function { name: "rest", parameters: &[Any], rest: None, body: rest },
    Function { name: "reverse", parameters: &[Any], rest: None, body: reverse },
    Function { name: "slice", parameters: &[Any], rest: Some(Any), body: slice },
    Function { name: "sortAlpha", parameters: &[Any], rest: None, body: sort_alpha },
    Function { name: "toStrings", parameters: &[Any], rest: None, body: to_strings },
    Function { name: "tuple", parameters: &[], rest: Some(Any), body: list },
    Function { name: "uniq", parameters: &[Any], rest: None, body: uniq },
    Function { name: "without", parameters: &[Any], rest: Some(Any), body: without },
];

/// Go's error text when it takes the type of nil.
pub(crate) const NIL_TYPE: &str = "runtime error: invalid memory address or nil pointer dereference";

/// The elements of a slice. Accounts for their number.
fn items<'a>(scope: &Scope<'_>, value: &'a Value, complaint: &str) -> Result<Cow<'a, [Value]>, Failure> {
    if let Value::Nil = value {
        return Err(NIL_TYPE.into());
    }
    let Some(items) = text::elements(value) else {
        return Err(format!("{complaint} {}", value.kind()).into());
    };
    scope.step(copies(items.len()))?;
    Ok(items)
}

/// The cost of copying elements: each costs far less than evaluating a node.
fn copies(elements: usize) -> u64 {
    1 + (elements >> 4) as u64
}

fn list(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    scope.step(arguments.len() as u64)?;
    Ok(Value::list(arguments.from(0).to_vec()))
}

fn push(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    if let Value::List(list) = arguments.any(0) {
        // The first read of the new slice may have to copy the elements once.
        scope.step(1 + (list.items.len() >> 8) as u64)?;
        return Ok(Value::List(list.appended(arguments.any(1).clone())));
    }
    let mut items = items(scope, arguments.any(0), "Cannot push on type")?.into_owned();
    items.push(arguments.any(1).clone());
    Ok(Value::list(items))
}

fn prepend(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot prepend on type")?;
    Ok(Value::list(std::iter::once(arguments.any(1)).chain(items.iter()).cloned().collect()))
}

fn first(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find first on type")?;
    Ok(items.first().cloned().unwrap_or(Value::Nil))
}

fn last(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find last on type")?;
    Ok(items.last().cloned().unwrap_or(Value::Nil))
}

fn rest(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find rest on type")?;
    Ok(items.split_first().map_or_else(nil, |(_, rest)| Value::list(rest.to_vec())))
}

fn initial(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find initial on type")?;
    Ok(items.split_last().map_or_else(nil, |(_, initial)| Value::list(initial.to_vec())))
}

fn nil() -> Value {
    Value::List(List::nil(Element::Any))
}

fn reverse(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find reverse on type")?;
    Ok(Value::list(items.iter().rev().cloned().collect()))
}

fn compact(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot compact on type")?;
    Ok(Value::list(items.iter().filter(|item| item.truth()).cloned().collect()))
}

fn uniq(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find uniq on type")?;
    let mut kept = Vec::new();
    for item in items.iter() {
        if !contains(scope, &kept, item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn without(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let items = items(scope, arguments.any(0), "Cannot find without on type")?;
    let mut kept = Vec::new();
    for item in items.iter() {
        if !contains(scope, arguments.from(1), item)? {
            kept.push(item.clone());
        }
    }
    Ok(Value::list(kept))
}

fn has(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    if let Value::Nil = arguments.any(1) {
        return Ok(false.into());
    }
    let items = items(scope, arguments.any(1), "Cannot find has on type")?;
    Ok(contains(scope, &items, arguments.any(0))?.into())
}

fn contains(scope: &Scope<'_>, items: &[Value], needle: &Value) -> Result<bool, Failure> {
    for item in items {
        if types::deep_equal(scope, needle, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn slice(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source = arguments.any(0);
    let items = items(scope, source, "list should be type of slice or array but")?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let start = arguments.from(1).first().map_or(0, cast::to_int);
    let end = arguments.from(2).first().map_or(i64::try_from(items.len()).unwrap_or(i64::MAX), cast::to_int);
    let range = usize::try_from(start).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX);
    let Some(part) = items.get(range.clone()) else {
        return Err("reflect.Value.Slice: slice index out of bounds".into());
    };
    Ok(match source {
        Value::List(list) => Value::List(List::of(list.element, part.to_vec())),
        Value::Bytes(bytes) => Value::Bytes(bytes.get(range).unwrap_or_default().into()),
        _ => Value::list(part.to_vec()),
    })
}

fn concat(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    if let [Value::List(long), Value::List(short)] = arguments.from(0)
        && short.items.len() < long.items.len() >> 4
    {
        scope.step(copies(short.items.len()) + (long.items.len() >> 8) as u64)?;
        let all = List { element: Element::Any, items: Rc::clone(&long.items) };
        let all = short.items.iter().fold(all, |all, item| all.appended(item.clone()));
        return Ok(Value::List(all));
    }
    let mut all = Vec::new();
    for argument in arguments.from(0) {
        if !matches!(argument, Value::Nil) && text::elements(argument).is_none() {
            return Err(format!("Cannot concat type {} as list", argument.kind()).into());
        }
        all.extend_from_slice(&items(scope, argument, "Cannot concat type")?);
    }
    // Go returns a nil slice if there are no elements.
    Ok(if all.is_empty() { nil() } else { Value::list(all) })
}

/// Uses Go's `float64` arithmetic, which determines the result for sizes below one.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "as Sprig computes")]
fn chunk(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let size = arguments.int(0);
    let items = items(scope, arguments.any(1), "Cannot chunk type")?;
    let length = items.len() as i64;
    let count = cast::truncate(((length - 1) as f64 / size as f64).floor() + 1.0);
    let chunks = match usize::try_from(size) {
        Ok(size) if size > 0 => {
            items.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect::<Vec<_>>()
        }
        _ if count == 0 => Vec::new(),
        _ if count == 1 && length == 1 && size != -1 => vec![Value::list(items.into_owned())],
        _ => return Err("runtime error: makeslice: len out of range".into()),
    };
    Ok(Value::List(List::of(Element::List, chunks)))
}

fn join(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let parts = text::strslice(scope, arguments.any(1))?;
    let separator = arguments.bytes(0);
    let length = parts.iter().map(|part| part.len().saturating_add(separator.len())).sum();
    scope.produce(length)?;
    Ok(Value::string(parts.join(separator)))
}

fn sort_alpha(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let value = arguments.any(0);
    let mut parts = text::strslice(scope, value)?;
    if let Value::Nil = value {
        parts.push(b"<nil>".to_vec());
    }
    parts.sort_unstable();
    text::strings(scope, parts.iter().map(Vec::as_slice))
}

fn to_strings(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    if let Value::List(list) = arguments.any(0)
        && list.element == Element::Str
    {
        return Ok(arguments.any(0).clone());
    }
    let parts = text::strslice(scope, arguments.any(0))?;
    text::strings(scope, parts.iter().map(Vec::as_slice))
}
