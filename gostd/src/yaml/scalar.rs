//! Resolves the type of a scalar: YAML 1.1 as in `resolve` of go-yaml v2.4.

use std::borrow::Cow;

use super::error::Problem;
use super::timestamp::is_timestamp;
use crate::json::tree::Number;

/// The namespace of YAML's own tags.
const PREFIX: &str = "tag:yaml.org,2002:";

/// A scalar, resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Resolved {
    /// `!!null`
    Null,
    /// `!!bool`
    Bool(bool),
    /// `!!int` or `!!float`
    Number(Number),
    /// `!!timestamp`, which remains text.
    Timestamp,
    /// `!!str`
    Text,
}

impl Resolved {
    fn tag(self) -> &'static str {
        match self {
            Self::Null => "!!null",
            Self::Bool(_) => "!!bool",
            Self::Number(Number::Float(_)) => "!!float",
            Self::Number(_) => "!!int",
            Self::Timestamp => "!!timestamp",
            Self::Text => "!!str",
        }
    }
}

/// Resolves `text` without a tag.
pub(crate) fn resolve(text: &str) -> Resolved {
    untagged(text, true)
}

/// Resolves `text` with a full tag; with a tag that is not one of YAML's own, it remains text.
///
/// # Errors
/// The tag requires a type that the text does not have.
#[expect(clippy::cast_precision_loss, reason = "Go loses the same digits")]
pub(crate) fn resolve_tagged(tag: &str, text: &str) -> Result<Resolved, Problem> {
    let Some(wanted @ ("bool" | "int" | "float" | "null" | "timestamp")) = tag.strip_prefix(PREFIX) else {
        return Ok(Resolved::Text);
    };
    let found = untagged(text, wanted == "timestamp");
    match found {
        Resolved::Number(Number::Int(number)) if wanted == "float" => {
            Ok(Resolved::Number(Number::Float(number as f64)))
        }
        found if found.tag().strip_prefix("!!") == Some(wanted) => Ok(found),
        found => Err(Problem::Tag { found: found.tag(), text: text.into(), wanted: wanted.into() }),
    }
}

/// Whether the tag is `!!merge`.
pub(crate) fn is_merge_tag(tag: &str) -> bool {
    tag.strip_prefix(PREFIX) == Some("merge")
}

/// Whether the tag is `!!binary`.
pub(crate) fn is_binary_tag(tag: &str) -> bool {
    tag.strip_prefix(PREFIX) == Some("binary")
}

fn untagged(text: &str, timestamps: bool) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Number(Number::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Resolved::Number(Number::Float(f64::INFINITY));
        }
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Number(Number::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    let number = match text.as_bytes().first() {
        Some(b'.') => pointed(text),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            if timestamps && is_timestamp(text) {
                return Resolved::Timestamp;
            }
            numeral(text)
        }
        _ => None,
    };
    number.map_or(Resolved::Text, Resolved::Number)
}

/// Text that begins with a point is parsed by `strconv.ParseFloat`, which accepts `_` between digits.
fn pointed(text: &str) -> Option<Number> {
    let bytes = text.as_bytes();
    let lone = |(index, byte): (usize, &u8)| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        *byte == b'_' && !(digit(index.checked_sub(1)) && digit(index.checked_add(1)))
    };
    if bytes.iter().enumerate().any(lone) {
        return None;
    }
    float(&without_underscores(text)).map(Number::Float)
}

fn without_underscores(text: &str) -> Cow<'_, str> {
    if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) }
}

fn numeral(text: &str) -> Option<Number> {
    let text = without_underscores(text);
    if let Some(number) = integer(&text) {
        return Some(number);
    }
    if let Some(number) = float(&text) {
        return Some(Number::Float(number));
    }
    // go-yaml's own parsing of binary numbers accepts a sign after the prefix.
    let digits = text.strip_prefix("0b").filter(|digits| digits.starts_with(['+', '-']))?;
    i64::from_str_radix(digits, 2).ok().map(Number::Int)
}

/// `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn integer(text: &str) -> Option<Number> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", text.get(1..)?),
        b'+' => ("+", text.get(1..)?),
        _ => ("", text),
    };
    let (digits, radix) = match rest.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (rest.get(2..)?, 16),
        [b'0', b'b' | b'B', _, ..] => (rest.get(2..)?, 2),
        [b'0', b'o' | b'O', _, ..] => (rest.get(2..)?, 8),
        [b'0', _, ..] => (rest.get(1..)?, 8),
        _ => (rest, 10),
    };
    // Rust accepts a sign here; Go does not.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let size = u64::from_str_radix(digits, radix).ok()?;
    match (i64::try_from(size), sign) {
        (Ok(number), "-") => Some(Number::Int(-number)),
        (Ok(number), _) => Some(Number::Int(number)),
        (Err(_), "-") => (size == 1 << 63).then_some(Number::Int(i64::MIN)),
        (Err(_), "") => Some(Number::Uint(size)),
        (Err(_), _) => None,
    }
}

/// A number of the form `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` that float64 can hold.
fn float(text: &str) -> Option<f64> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (number, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exact = (!whole.is_empty() || !part.is_empty())
        && digits(whole)
        && digits(part)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    exact.then(|| text.parse::<f64>().ok())?.filter(|number| number.is_finite())
}
