//! Wrapping and abbreviating by bytes, as goutils does.

use gostd::value::Value;

use crate::funcs::text;
use crate::function::{Arguments, Failure, Scope};

/// `wrap`: words longer than a line are not cut.
pub(crate) fn wrap(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    wrapped(scope, arguments.bytes(1), arguments.int(0), b"\n", LongWords::Keep)
}

/// `wrapWith`: words longer than a line are cut.
pub(crate) fn wrap_with(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let separator = if arguments.bytes(1).is_empty() { b"\n" } else { arguments.bytes(1) };
    wrapped(scope, arguments.bytes(2), arguments.int(0), separator, LongWords::Cut)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LongWords {
    Keep,
    Cut,
}

fn wrapped(
    scope: &Scope<'_>,
    source: &[u8],
    width: i64,
    separator: &[u8],
    long: LongWords,
) -> Result<Value, Failure> {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let mut result = Vec::new();
    let mut rest = source;
    while rest.len() > width {
        scope.step(1)?;
        if let [b' ', after @ ..] = rest {
            rest = after;
            continue;
        }
        let window = rest.get(..=width).unwrap_or(rest);
        // The end of the line, and the number of spaces to drop after it.
        let (end, space) = match window.iter().rposition(|byte| *byte == b' ') {
            Some(space) => (space, 1),
            None if long == LongWords::Cut => (width, 0),
            None => match rest.iter().skip(width).position(|byte| *byte == b' ') {
                Some(after) => (width + after, 1),
                None => break,
            },
        };
        let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        scope.produce(line.len().saturating_add(separator.len()))?;
        result.extend_from_slice(line);
        result.extend_from_slice(separator);
        rest = after.get(space..).unwrap_or_default();
    }
    scope.produce(rest.len())?;
    result.extend_from_slice(rest);
    Ok(Value::string(result))
}

/// `abbrev`
pub(crate) fn abbreviate(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (width, source) = (arguments.int(0), arguments.bytes(1));
    text::string(scope, if width < 4 { source.to_vec() } else { abbreviated(source, 0, width) })
}

/// `abbrevboth`
pub(crate) fn abbreviate_both(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let (left, right, source) = (arguments.int(0), arguments.int(1), arguments.bytes(2));
    let short = right < 4 || (left > 0 && right < 7);
    text::string(scope, if short { source.to_vec() } else { abbreviated(source, left, right) })
}

/// At most `width` bytes that include the text at `offset`, with dots for the omitted text.
fn abbreviated(source: &[u8], offset: i64, width: i64) -> Vec<u8> {
    const DOTS: &[u8] = b"...";
    let width = usize::try_from(width).unwrap_or(0);
    if source.len() <= width {
        return source.to_vec();
    }
    let shown = width.saturating_sub(DOTS.len());
    let last = source.len().saturating_sub(shown);
    let offset = usize::try_from(offset).unwrap_or(0).min(last);
    if offset <= 4 {
        return [source.get(..shown).unwrap_or_default(), DOTS].concat();
    }
    if offset + shown < source.len() {
        let middle = source.get(offset..).unwrap_or_default();
        // Too narrow for dots at both ends: goutils returns an error, which Sprig ignores.
        let shortened = if shown < 4 { Vec::new() } else { abbreviated(middle, 0, int(shown)) };
        return [DOTS, &shortened].concat();
    }
    [DOTS, source.get(last..).unwrap_or_default()].concat()
}

fn int(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
