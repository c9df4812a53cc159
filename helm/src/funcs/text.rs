//! Converts Go values to text, as Sprig's `strval` and `strslice` do.

use std::borrow::Cow;
use std::rc::Rc;

use gostd::fmt;
use gostd::value::{List, Map, Value};

use crate::function::{Failure, Scope};

/// Returns text as the result of a function. Accounts for its length.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn string(scope: &Scope<'_>, bytes: impl Into<Vec<u8>>) -> Result<Value, Failure> {
    let bytes = bytes.into();
    scope.produce(bytes.len())?;
    Ok(Value::string(bytes))
}

/// Returns a `[]string` as the result of a function. Accounts for its length.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn strings<'a>(
    scope: &Scope<'_>,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Value, Failure> {
    let mut items = Vec::new();
    for part in parts {
        scope.grow(items.len())?;
        items.push(string(scope, part)?);
    }
    Ok(Value::List(List::of(gostd::value::Element::Str, items)))
}

/// Sprig's `strval`: strings and `[]byte` unchanged, everything else as `%v` prints it.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn strval<'a>(scope: &Scope<'_>, value: &'a Value) -> Result<Cow<'a, [u8]>, Failure> {
    value.bytes().map_or_else(|| printed(scope, value), |bytes| Ok(Cow::Borrowed(bytes)))
}

/// What `%v` prints: like `strval`, but `[]byte` as numbers.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn printed<'a>(scope: &Scope<'_>, value: &'a Value) -> Result<Cow<'a, [u8]>, Failure> {
    if let Value::Str(_) | Value::Binary(_) = value {
        return Ok(Cow::Borrowed(value.bytes().unwrap_or_default()));
    }
    let mut out = Vec::new();
    fmt::append(scope, &mut out, value)?;
    Ok(Cow::Owned(out))
}

/// `strval` as a key of a map.
///
/// # Errors
/// The text is not UTF-8, which keys must be, or a limit of the render is exceeded.
pub(crate) fn key(scope: &Scope<'_>, value: &Value) -> Result<Rc<str>, Failure> {
    if let Value::Str(text) = value {
        return Ok(text.clone());
    }
    match String::from_utf8(strval(scope, value)?.into_owned()) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err("map key is not valid UTF-8".into()),
    }
}

/// The elements of a slice of any type; `None` if the value is not a slice.
pub(crate) fn elements(value: &Value) -> Option<Cow<'_, [Value]>> {
    match value {
        Value::List(list) => Some(Cow::Borrowed(list.items.as_slice())),
        Value::Bytes(bytes) => {
            Some(Cow::Owned(bytes.iter().map(|byte| Value::Uint64(u64::from(*byte))).collect()))
        }
        Value::Object(object) if object.kind() == "slice" => {
            let items = object.items().unwrap_or_default();
            Some(Cow::Owned(items.into_iter().map(|(_, item)| item).collect()))
        }
        _ => None,
    }
}

/// Sprig's `strslice`: the text of each element except nil. A single value is a slice of one element, nil an empty
/// slice.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn strslice(scope: &Scope<'_>, value: &Value) -> Result<Vec<Vec<u8>>, Failure> {
    let items = elements(value).unwrap_or_else(|| Cow::Borrowed(std::slice::from_ref(value)));
    let present = items.iter().filter(|item| !matches!(item, Value::Nil));
    present.map(|item| Ok(strval(scope, item)?.into_owned())).collect()
}

/// A `map[string]string` with the keys `_0`, `_1` and so on.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn numbered<'a>(
    scope: &Scope<'_>,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Value, Failure> {
    let mut entries = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        // The factor covers the key, its slot and its share of a node.
        scope.grow(8 * entries.len())?;
        entries.push((format!("_{index}"), string(scope, part)?));
    }
    Ok(Value::Map(Map::of(gostd::value::Element::Str, entries)))
}

/// Go's `strings.ReplaceAll`: replaces `old` by `new` everywhere, or inserts `new` around all runes if `old` is empty.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn replace_all(
    scope: &Scope<'_>,
    source: &[u8],
    old: &[u8],
    new: &[u8],
) -> Result<Vec<u8>, Failure> {
    let mut result = Vec::new();
    let mut put = |bytes: &[u8]| {
        scope.produce(bytes.len())?;
        result.extend_from_slice(bytes);
        Ok::<(), Failure>(())
    };
    if old.is_empty() {
        put(new)?;
        for (_, rune) in super::runes::runes(source) {
            put(rune)?;
            put(new)?;
        }
        return Ok(result);
    }
    let mut from = 0;
    for at in memchr::memmem::find_iter(source, old) {
        put(source.get(from..at).unwrap_or_default())?;
        put(new)?;
        from = at + old.len();
    }
    put(source.get(from..).unwrap_or_default())?;
    Ok(result)
}

/// Go's `strings.SplitN`: at most `limit` parts, or all if it is negative; an empty separator splits between runes.
///
/// # Errors
/// A limit of the render is exceeded.
pub(crate) fn split<'a>(
    scope: &Scope<'_>,
    source: &'a [u8],
    separator: &[u8],
    limit: i64,
) -> Result<Vec<&'a [u8]>, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut from = 0;
    if limit == 0 {
        return Ok(parts);
    }
    if separator.is_empty() {
        for (_, rune) in super::runes::runes(source) {
            if parts.len() + 1 >= limit {
                break;
            }
            scope.grow(parts.len())?;
            parts.push(rune);
            from += rune.len();
        }
        if from < source.len() {
            parts.push(source.get(from..).unwrap_or_default());
        }
        return Ok(parts);
    }
    for at in memchr::memmem::find_iter(source, separator) {
        if parts.len() + 1 >= limit {
            break;
        }
        scope.grow(parts.len())?;
        parts.push(source.get(from..at).unwrap_or_default());
        from = at + separator.len();
    }
    parts.push(source.get(from..).unwrap_or_default());
    Ok(parts)
}
