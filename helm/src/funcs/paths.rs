//! Sprig's paths: Go's `path`, which on Linux is also `path/filepath`.

#![expect(clippy::unnecessary_wraps, reason = "the shape of every function's body")]

use gostd::value::Value;

use super::text;
use crate::function::Parameter::Str;
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "base", parameters: &[Str], rest: None, body: base },
    Function { name: "clean", parameters: &[Str], rest: None, body: clean },
    Function { name: "dir", parameters: &[Str], rest: None, body: dir },
    Function { name: "ext", parameters: &[Str], rest: None, body: ext },
    Function { name: "isAbs", parameters: &[Str], rest: None, body: is_absolute },
    Function { name: "osBase", parameters: &[Str], rest: None, body: base },
    Function { name: "osClean", parameters: &[Str], rest: None, body: clean },
    Function { name: "osDir", parameters: &[Str], rest: None, body: dir },
    Function { name: "osExt", parameters: &[Str], rest: None, body: ext },
    Function { name: "osIsAbs", parameters: &[Str], rest: None, body: is_absolute },
];

fn base(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, base_of(arguments.bytes(0)))
}

/// Go's `path.Base`: the last element; `.` for an empty path, `/` for only slashes.
pub(crate) fn base_of(path: &[u8]) -> &[u8] {
    if path.is_empty() {
        return b".";
    }
    let last = path.split(|byte| *byte == b'/').rfind(|part| !part.is_empty());
    last.unwrap_or(b"/")
}

fn dir(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let path = arguments.bytes(0);
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    text::string(scope, cleaned(path.get(..end).unwrap_or_default()))
}

fn clean(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, cleaned(arguments.bytes(0)))
}

/// Go's `path.Clean`: the shortest equivalent path, determined from the text only.
pub(crate) fn cleaned(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            b".." if rooted => {}
            _ => kept.push(part),
        }
    }
    let joined = kept.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

fn ext(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let last = arguments.bytes(0).rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let dot = last.iter().rposition(|byte| *byte == b'.').unwrap_or(last.len());
    text::string(scope, last.get(dot..).unwrap_or_default())
}

fn is_absolute(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok((arguments.bytes(0).first() == Some(&b'/')).into())
}
