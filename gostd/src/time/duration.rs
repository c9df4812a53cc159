//! Go's `time.Duration`: reading, printing, rounding.

use super::{quote, saturate};

/// A second, in nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// `time.ParseDuration`
///
/// # Errors
/// Go's error text.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text.as_bytes()));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = rest.split_at(digits(rest));
        let (part, after_part) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && part.is_empty() {
            return Err(invalid());
        }
        let (name, remaining) = after_part
            .split_at(after_part.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_part.len()));
        if name.is_empty() {
            return Err(format!("time: missing unit in duration {}", quote(text.as_bytes())));
        }
        let Some(unit) = unit(name) else {
            let (name, text) = (quote(name.as_bytes()), quote(text.as_bytes()));
            return Err(format!("time: unknown unit {name} in duration {text}"));
        };
        let term = term(whole, part, unit).ok_or_else(invalid)?;
        total = total.checked_add(term).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
        rest = remaining;
    }
    if negative {
        return Ok(total.wrapping_neg().cast_signed());
    }
    i64::try_from(total).map_err(|_| invalid())
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1000,
        "ms" => 1_000_000,
        "s" => SECOND.unsigned_abs(),
        "m" => MINUTE.unsigned_abs(),
        "h" => HOUR.unsigned_abs(),
        _ => return None,
    })
}

/// `whole.part` units in nanoseconds.
fn term(whole: &str, part: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(unit).filter(|value| *value <= 1 << 63)?;
    let (mut fraction, mut scale) = (0_u64, 1_f64);
    for digit in part.bytes() {
        // Digits that no longer fit are worth less than a nanosecond.
        if fraction > (u64::MAX >> 1) / 10 {
            break;
        }
        fraction = fraction * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    if fraction > 0 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "as Go"
        )]
        let nanos = (fraction as f64 * (unit as f64 / scale)) as u64;
        value = value.checked_add(nanos).filter(|value| *value <= 1 << 63)?;
    }
    Some(value)
}

/// `Duration.String`
#[must_use]
pub fn print(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let text = match size {
        0 => return "0s".into(),
        1..1000 => format!("{size}ns"),
        1000..1_000_000 => format!("{}\u{b5}s", decimal(size, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(size, 6)),
        _ => {
            let whole = size / SECOND.unsigned_abs();
            let seconds = decimal(size % MINUTE.unsigned_abs(), 9);
            match (whole / 3600, whole / 60 % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `number` / 10^`places` without trailing zeros.
fn decimal(number: u64, places: u32) -> String {
    let scale = 10_u64.pow(places);
    let text = format!("{}.{:0width$}", number / scale, number % scale, width = places as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `Duration.Round`
#[must_use]
pub fn round(nanos: i64, step: i64) -> i64 {
    if step <= 0 {
        return nanos;
    }
    let (value, wide) = (i128::from(nanos), i128::from(step));
    let rest = value % wide;
    let toward = value - rest;
    if rest.abs() * 2 < wide { saturate(toward) } else { saturate(toward + wide * value.signum()) }
}

/// `Duration.Truncate`
#[must_use]
pub fn truncate(nanos: i64, step: i64) -> i64 {
    if step <= 0 { nanos } else { nanos - nanos % step }
}

/// `Duration.Hours`, `Minutes`, `Seconds`. Whole units and the remainder are converted separately to keep precision.
#[expect(clippy::cast_precision_loss, reason = "as Go")]
#[must_use]
pub fn in_units(nanos: i64, unit: i64) -> f64 {
    (nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64
}

/// `Duration.Hours`
#[must_use]
pub fn hours(nanos: i64) -> f64 {
    in_units(nanos, HOUR)
}

/// `Duration.Minutes`
#[must_use]
pub fn minutes(nanos: i64) -> f64 {
    in_units(nanos, MINUTE)
}

/// `Duration.Seconds`
#[must_use]
pub fn seconds(nanos: i64) -> f64 {
    in_units(nanos, SECOND)
}
