//! Sprig's strings. Go's strings are bytes, so these functions accept any bytes, and cut between bytes where Sprig
//! does.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

mod cases;
mod wrap;

use gostd::fmt;
use gostd::value::Value;

use super::{runes, text};
use crate::function::Parameter::{Any, Int, Str};
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "abbrev", parameters: &[Int, Str], rest: None, body: wrap::abbreviate },
    Function { name: "abbrevboth", parameters: &[Int, Int, Str], rest: None, body: wrap::abbreviate_both },
    Function { name: "camelcase", parameters: &[Str], rest: None, body: cases::camel },
    Function { name: "cat", parameters: &[], rest: Some(Any), body: cat },
    Function { name: "contains", parameters: &[Str, Str], rest: None, body: contains },
    Function { name: "hasPrefix", parameters: &[Str, Str], rest: None, body: has_prefix },
    Function { name: "hasSuffix", parameters: &[Str, Str], rest: None, body: has_suffix },
    Function { name: "indent", parameters: &[Int, Str], rest: None, body: indent },
    Function { name: "initials", parameters: &[Str], rest: None, body: initials },
    Function { name: "kebabcase", parameters: &[Str], rest: None, body: cases::kebab },
    Function { name: "lower", parameters: &[Str], rest: None, body: cases::lower },
    Function { name: "nindent", parameters: &[Int, Str], rest: None, body: nindent },
    Function { name: "nospace", parameters: &[Str], rest: None, body: nospace },
    Function { name: "plural", parameters: &[Str, Str, Int], rest: None, body: plural },
    Function { name: "quote", parameters: &[], rest: Some(Any), body: quote },
    Function { name: "repeat", parameters: &[Int, Str], rest: None, body: repeat },
    Function { name: "replace", parameters: &[Str, Str, Str], rest: None, body: replace },
    Function { name: "snakecase", parameters: &[Str], rest: None, body: cases::snake },
    Function { name: "split", parameters: &[Str, Str], rest: None, body: split },
    Function { name: "splitList", parameters: &[Str, Str], rest: None, body: split_list },
    Function { name: "splitn", parameters: &[Str, Int, Str], rest: None, body: split_n },
    Function { name: "squote", parameters: &[], rest: Some(Any), body: squote },
    Function { name: "substr", parameters: &[Int, Int, Str], rest: None, body: substr },
    Function { name: "swapcase", parameters: &[Str], rest: None, body: cases::swap },
    Function { name: "title", parameters: &[Str], rest: None, body: cases::title },
    Function { name: "toString", parameters: &[Any], rest: None, body: to_string },
    Function { name: "trim", parameters: &[Str], rest: None, body: trim },
    Function { name: "trimAll", parameters: &[Str, Str], rest: None, body: trim_all },
    Function { name: "trimPrefix", parameters: &[Str, Str], rest: None, body: trim_prefix },
    Function { name: "trimSuffix", parameters: &[Str, Str], rest: None, body: trim_suffix },
    Function { name: "trimall", parameters: &[Str, Str], rest: None, body: trim_all },
    Function { name: "trunc", parameters: &[Int, Str], rest: None, body: trunc },
    Function { name: "untitle", parameters: &[Str], rest: None, body: cases::untitle },
    Function { name: "upper", parameters: &[Str], rest: None, body: cases::upper },
    Function { name: "wrap", parameters: &[Int, Str], rest: None, body: wrap::wrap },
    Function { name: "wrapWith", parameters: &[Int, Str, Str], rest: None, body: wrap::wrap_with },
];

fn to_string(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    if let Value::Str(_) = arguments.any(0) {
        return Ok(arguments.any(0).clone());
    }
    text::strval(scope, arguments.any(0)).map(|bytes| Value::string(bytes.into_owned()))
}

fn present(arguments: Arguments<'_>) -> impl Iterator<Item = &Value> {
    arguments.from(0).iter().filter(|value| !matches!(value, Value::Nil))
}

/// Joins the texts of all values that are not nil with spaces.
fn joined(
    scope: &Scope<'_>,
    arguments: Arguments<'_>,
    text: impl Fn(&Value) -> Result<Vec<u8>, Failure>,
) -> Result<Value, Failure> {
    let parts: Vec<_> = present(arguments).map(text).collect::<Result<_, _>>()?;
    text::string(scope, parts.join(&b' '))
}

fn quote(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    joined(scope, arguments, |value| Ok(fmt::quote(&text::strval(scope, value)?).into_bytes()))
}

fn squote(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    joined(scope, arguments, |value| Ok([b"'", &*text::printed(scope, value)?, b"'"].concat()))
}

fn cat(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    joined(scope, arguments, |value| Ok(text::printed(scope, value)?.into_owned()))
}

fn contains(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(memchr::memmem::find(arguments.bytes(1), arguments.bytes(0)).is_some().into())
}

fn has_prefix(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.bytes(1).starts_with(arguments.bytes(0)).into())
}

fn has_suffix(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.bytes(1).ends_with(arguments.bytes(0)).into())
}

fn replace(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let [old, new, source] = [0, 1, 2].map(|index| arguments.bytes(index));
    text::replace_all(scope, source, old, new).map(Value::string)
}

/// `count` copies of `unit`. Accounts for their length.
fn repeated(scope: &Scope<'_>, unit: &[u8], count: i64) -> Result<Vec<u8>, Failure> {
    let Ok(count) = usize::try_from(count) else {
        return Err("strings: negative Repeat count".into());
    };
    scope.produce(unit.len().saturating_mul(count))?;
    Ok(unit.repeat(count))
}

fn repeat(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    repeated(scope, arguments.bytes(1), arguments.int(0)).map(Value::string)
}

fn indent(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    indented(scope, arguments, b"").map(Value::string)
}

fn nindent(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    indented(scope, arguments, b"\n").map(Value::string)
}

fn indented(scope: &Scope<'_>, arguments: Arguments<'_>, before: &[u8]) -> Result<Vec<u8>, Failure> {
    let line = [b"\n", repeated(scope, b" ", arguments.int(0))?.as_slice()].concat();
    let padding = line.get(1..).unwrap_or_default();
    let lines = text::replace_all(scope, arguments.bytes(1), b"\n", &line)?;
    Ok([before, padding, &lines].concat())
}

fn trim(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, runes::trim(arguments.bytes(0), char::is_whitespace))
}

fn trim_all(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let cut: std::collections::BTreeSet<char> =
        runes::runes(arguments.bytes(0)).map(|(rune, _)| rune).collect();
    text::string(scope, runes::trim(arguments.bytes(1), |rune| cut.contains(&rune)))
}

fn trim_prefix(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source = arguments.bytes(1);
    text::string(scope, source.strip_prefix(arguments.bytes(0)).unwrap_or(source))
}

fn trim_suffix(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source = arguments.bytes(1);
    text::string(scope, source.strip_suffix(arguments.bytes(0)).unwrap_or(source))
}

fn plural(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(arguments.any(usize::from(arguments.int(2) != 1)).clone())
}

fn trunc(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (count, source) = (arguments.int(0), arguments.bytes(1));
    let kept = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let cut = match source.len().checked_sub(kept) {
        Some(from) if count < 0 => source.get(from..),
        _ if count < 0 => None,
        _ => source.get(..kept),
    };
    text::string(scope, cut.unwrap_or(source))
}

fn substr(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (start, end, source) = (arguments.int(0), arguments.int(1), arguments.bytes(2));
    let length = i64::try_from(source.len()).unwrap_or(i64::MAX);
    let out_of_range =
        |bounds: String| Failure::from(format!("runtime error: slice bounds out of range {bounds}"));
    let (from, to) = if start < 0 {
        match end {
            ..0 => return Err(out_of_range(format!("[:{end}]"))),
            _ if end > length => return Err(out_of_range(format!("[:{end}] with length {length}"))),
            _ => (0, end),
        }
    } else {
        let to = if end < 0 || end > length { length } else { end };
        if start > to {
            return Err(out_of_range(format!("[{start}:{to}]")));
        }
        (start, to)
    };
    let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
    text::string(scope, source.get(range).unwrap_or_default())
}

/// Sprig's library treats each byte as a code point here, which garbles non-ASCII letters.
fn latin(bytes: impl Iterator<Item = u8>) -> String {
    bytes.map(char::from).collect()
}

fn nospace(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source = arguments.bytes(0);
    let is_space = |byte: &u8| char::from(*byte).is_whitespace();
    if !source.iter().any(is_space) {
        return text::string(scope, source);
    }
    text::string(scope, latin(source.iter().copied().filter(|byte| !is_space(byte))))
}

fn initials(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let words = arguments.bytes(0).split(|byte| char::from(*byte).is_whitespace());
    text::string(scope, latin(words.filter_map(|word| word.first().copied())))
}

fn split(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::numbered(scope, text::split(scope, arguments.bytes(1), arguments.bytes(0), -1)?)
}

fn split_n(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::numbered(scope, text::split(scope, arguments.bytes(2), arguments.bytes(0), arguments.int(1))?)
}

fn split_list(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::strings(scope, text::split(scope, arguments.bytes(1), arguments.bytes(0), -1)?)
}
