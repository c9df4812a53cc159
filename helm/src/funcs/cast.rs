//! Converts any value to a number, as `spf13/cast` 1.7 and Go's `strconv` do.

use gostd::value::Value;

/// `cast.ToInt64`: zero for a value that is not a number.
pub(crate) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Uint64(number) => number.cast_signed(),
        Value::Float64(number) => truncate(*number),
        Value::Bool(value) => i64::from(*value),
        Value::Str(text) => parse_int(whole_part(text), 0).unwrap_or(0),
        Value::Object(object) if is_number(object.kind()) => to_int(&object.plain()),
        Value::Nil
        | Value::Binary(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Object(_) => 0,
    }
}

/// `cast.ToFloat64`: zero for a value that is not a number.
#[expect(clippy::cast_precision_loss, reason = "as Go converts integers")]
pub(crate) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number as f64,
        Value::Uint64(number) => *number as f64,
        Value::Float64(number) => *number,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Str(text) => parse_float(text).unwrap_or(0.0),
        Value::Object(object) if is_number(object.kind()) => to_float(&object.plain()),
        Value::Nil
        | Value::Binary(_)
        | Value::Bytes(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Object(_) => 0.0,
    }
}

/// Go's conversion of `float64` to `int64` on amd64: a number out of range becomes the smallest integer.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(crate) fn truncate(number: f64) -> i64 {
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND..BEYOND).contains(&number) { number as i64 } else { i64::MIN }
}

/// `strconv.Atoi` without its error: a number out of range becomes the nearest integer.
pub(crate) fn atoi(text: &str) -> i64 {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let beyond = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(beyond)
}

/// `strconv.ParseInt`; base 0 takes the base from the prefix and allows underscores.
pub(crate) fn parse_int(text: &str, base: u32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = if base == 0 { base_of(digits)? } else { (digits.to_owned(), base) };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits, base).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The digits without prefix and underscores, and the base of the prefix.
fn base_of(digits: &str) -> Option<(String, u32)> {
    let lower = digits.to_ascii_lowercase();
    let (rest, base) = match lower.as_bytes() {
        [b'0', b'x', _, ..] => (lower.get(2..)?, 16),
        [b'0', b'b', _, ..] => (lower.get(2..)?, 2),
        [b'0', b'o', _, ..] => (lower.get(2..)?, 8),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    underscores_fit(&lower).then(|| (rest.replace('_', ""), base))
}

/// Go's rule: an underscore must be between digits, or between the prefix and a digit.
fn underscores_fit(digits: &str) -> bool {
    let prefixed = matches!(digits.as_bytes(), [b'0', b'x' | b'b' | b'o', ..]);
    let hexadecimal = digits.starts_with("0x");
    let mut before = if prefixed { '0' } else { '^' };
    for character in digits.chars().skip(if prefixed { 2 } else { 0 }) {
        if character.is_ascii_digit() || (hexadecimal && character.is_ascii_hexdigit()) {
            before = '0';
        } else if character == '_' {
            if before != '0' {
                return false;
            }
            before = '_';
        } else if before == '_' {
            return false;
        } else {
            before = '!';
        }
    }
    before != '_'
}

/// `strconv.ParseFloat`; a number out of range is an error too.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text).to_ascii_lowercase();
    if matches!(unsigned.as_str(), "inf" | "infinity" | "nan") {
        return text.parse().ok();
    }
    if !underscores_fit(&unsigned) {
        return None;
    }
    let number = if let Some(digits) = unsigned.strip_prefix("0x") {
        let magnitude = parse_hexadecimal(&digits.replace('_', ""))?;
        if text.starts_with('-') { -magnitude } else { magnitude }
    } else if unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        text.replace('_', "").parse().ok()?
    } else {
        return None;
    };
    number.is_finite().then_some(number)
}

/// The magnitude of `hex digits [. hex digits] p exponent`, rounded to nearest for up to 16 digits.
#[expect(clippy::cast_precision_loss, reason = "rounds to nearest, as Go does")]
fn parse_hexadecimal(digits: &str) -> Option<f64> {
    let (mantissa, exponent) = digits.split_once('p')?;
    let mut exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let kept = significant.get(..16).unwrap_or(significant);
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let dropped = i32::try_from(significant.len() - kept.len()).ok()?;
    exponent = exponent.checked_add(4 * (dropped - i32::try_from(fraction.len()).ok()?))?;
    let bits = if kept.is_empty() { 0 } else { u64::from_str_radix(kept, 16).ok()? };
    Some(scale(bits as f64, exponent))
}

/// `number` * 2^`exponent`, in steps that do not overflow or underflow early.
pub(crate) fn scale(mut number: f64, exponent: i32) -> f64 {
    let mut left = exponent.clamp(-3000, 3000);
    while left != 0 {
        let step = left.clamp(-1000, 1000);
        number *= 2f64.powi(step);
        left -= step;
    }
    number
}

/// Removes a fraction of zeros, as `cast` 1.7 of Helm 4.3 does. `4.9` is unchanged, and hence not an integer.
fn whole_part(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    }
}

fn is_number(kind: &str) -> bool {
    kind.starts_with("int") || kind.starts_with("uint") || kind.starts_with("float")
}
