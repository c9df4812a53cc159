//! Number constants in every type that can hold them, after `newNumber` in Go's `text/template/parse/node.go` and the
//! number grammar of `strconv`.

use crate::template::ast::Number;
use crate::template::token::quote::{self, quoted};
use crate::template::token::{Token, TokenKind};

/// The constant of a number or character token.
///
/// # Errors
/// Go's error text if the token is not a constant; or the constant is complex, which is not supported, because neither
/// Helm's functions nor its values use such numbers.
pub(super) fn number(token: Token<'_>) -> Result<Number, String> {
    let text = token.text;
    if token.kind == TokenKind::CharacterConstant {
        let value = quote::character(text)?;
        return Ok(Number {
            text: text.into(),
            int: Some(value.into()),
            uint: Some(value.into()),
            float: Some(value.into()),
            is_character: true,
        });
    }
    let is_imaginary = text.strip_suffix('i').is_some_and(|real| float(real).is_some());
    if token.kind == TokenKind::Complex || is_imaginary {
        return Err(format!("complex constant {text} is not supported"));
    }
    let mut number =
        Number { text: text.into(), int: int(text), uint: uint(text), float: None, is_character: false };
    if number.int == Some(0) {
        // A signed zero is an unsigned integer, too.
        number.uint = Some(0);
    }
    number.float = number.int.map(nearest).or(number.uint.map(nearest_unsigned));
    if number.float.is_none() {
        let value = float(text).ok_or_else(|| format!("illegal number syntax: {}", quoted(text)))?;
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err(format!("integer overflow: {}", quoted(text)));
        }
        number.float = Some(value);
        number.int = whole(value);
        number.uint = whole(value);
    }
    Ok(number)
}

/// `strconv.ParseUint(text, 0, 64)`.
fn uint(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = match lower.get(..2) {
        Some("0b") if lower.len() > 2 => (2, lower.get(2..)?),
        Some("0o") if lower.len() > 2 => (8, lower.get(2..)?),
        Some("0x") if lower.len() > 2 => (16, lower.get(2..)?),
        _ if lower.starts_with('0') => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if lower.is_empty() || (lower.contains('_') && !has_valid_underscores(&lower)) {
        return None;
    }
    digits.chars().filter(|digit| *digit != '_').try_fold(0_u64, |number, digit| {
        number.checked_mul(base.into())?.checked_add(digit.to_digit(base)?.into())
    })
}

/// `strconv.ParseInt(text, 0, 64)`.
fn int(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(digits) => 0_i64.checked_sub_unsigned(uint(digits)?),
        None => i64::try_from(uint(text.strip_prefix('+').unwrap_or(text))?).ok(),
    }
}

/// `strconv.ParseFloat(text, 64)`; `None` on overflow.
fn float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    if lower.contains('_') && !has_valid_underscores(unsigned) {
        return None;
    }
    let digits = unsigned.replace('_', "");
    let value = match digits.strip_prefix("0x") {
        Some(digits) => hexadecimal(digits)?,
        // Rust's grammar, without words such as `inf`.
        None if digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
            digits.parse().ok().filter(|value: &f64| value.is_finite())?
        }
        None => return None,
    };
    Some(if lower.starts_with('-') { -value } else { value })
}

/// Whether each underscore separates two digits, or the prefix from a digit.
fn has_valid_underscores(unsigned: &str) -> bool {
    let (rest, is_hexadecimal, mut is_after_digit) = match unsigned.get(..2) {
        Some("0x") => (unsigned.get(2..).unwrap_or_default(), true, true),
        Some("0b" | "0o") => (unsigned.get(2..).unwrap_or_default(), false, true),
        _ => (unsigned, false, false),
    };
    let mut is_after_underscore = false;
    for character in rest.chars() {
        let is_digit = character.is_ascii_digit() || (is_hexadecimal && character.is_ascii_hexdigit());
        let is_underscore = character == '_';
        if (is_underscore && !is_after_digit) || (is_after_underscore && !is_digit) {
            return false;
        }
        (is_after_digit, is_after_underscore) = (is_digit, is_underscore);
    }
    !is_after_underscore
}

/// A hexadecimal float without sign and prefix; its binary exponent is required.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, power) = text.split_once('p')?;
    let sign = if power.starts_with('-') { -1 } else { 1 };
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    if power.is_empty() {
        return None;
    }
    // As in Go, larger exponents give only zero or overflow, so the digits beyond do not count.
    let power = power.chars().try_fold(0_i64, |sum, digit| {
        let digit = i64::from(digit.to_digit(10)?);
        Some(if sum < 10_000 { sum * 10 + digit } else { sum })
    })?;
    let mut exponent = sign * power;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut is_inexact) = (0_u64, false);
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = digit.to_digit(16)?;
        let is_fraction = index >= whole.len();
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if is_fraction { 4 } else { 0 };
        } else {
            is_inexact |= digit != 0;
            exponent += if is_fraction { 0 } else { 4 };
        }
    }
    scaled(mantissa, is_inexact, exponent)
}

/// The float nearest to `mantissa * 2^exponent`, ties to even. `is_inexact` means that nonzero bits were dropped after
/// the mantissa, which then has enough bits to spare for rounding. `None` on overflow.
fn scaled(mantissa: u64, is_inexact: bool, exponent: i64) -> Option<f64> {
    if mantissa == 0 {
        return Some(0.0);
    }
    let shift = mantissa.leading_zeros();
    let mantissa = mantissa << shift | u64::from(is_inexact);
    // The value is between 2^top and 2^(top + 1).
    let top = exponent - i64::from(shift) + 63;
    if top > 1023 {
        return None;
    }
    let dropped = 11 + (-1022 - top).max(0);
    if dropped > 64 {
        return Some(0.0);
    }
    let kept = u128::from(mantissa) >> dropped;
    let remainder = u128::from(mantissa) - (kept << dropped);
    let half = 1_u128 << (dropped - 1);
    let is_up = remainder > half || (remainder == half && kept & 1 == 1);
    let kept = u64::try_from(kept + u128::from(is_up)).ok()?;
    // A carry out of the mantissa correctly increments the exponent.
    let biased = u64::try_from((top + 1022).max(0)).ok()?;
    let value = f64::from_bits((biased << 52).checked_add(kept)?);
    value.is_finite().then_some(value)
}

/// `value` as an integer type, if it is whole and within the type's range.
fn whole<T: TryFrom<i128>>(value: f64) -> Option<T> {
    // Beyond 2^127 the cast saturates, to a number that no type here can hold.
    #[expect(clippy::cast_possible_truncation, reason = "only whole numbers pass")]
    let number = value as i128;
    if value.fract() == 0.0 { T::try_from(number).ok() } else { None }
}

#[expect(clippy::cast_precision_loss, reason = "Go rounds as well")]
fn nearest(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "Go rounds as well")]
fn nearest_unsigned(number: u64) -> f64 {
    number as f64
}
