//! The functions for durations.

use std::rc::Rc;

use gostd::time::duration as go;
use gostd::value::Value;

use super::now;
use super::objects::{Duration, Instant};
use crate::function::{Arguments, Failure, Scope};

/// Sprig's `duration`: seconds as text or `int64`. Anything else, even an `int`, is zero.
pub(super) fn duration(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let seconds = match arguments.any(0) {
        Value::Str(text) => integer(text),
        Value::Int64(seconds) => *seconds,
        _ => 0,
    };
    Ok(go::print(seconds.wrapping_mul(go::SECOND)).into())
}

/// `strconv.ParseInt(text, 10, 64)` without its error: a number out of range becomes the nearest one in range.
fn integer(text: &str) -> i64 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(if negative { i64::MIN } else { i64::MAX })
}

/// Sprig's `durationRound`: only the largest unit.
pub(super) fn round(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let nanos = match arguments.any(0) {
        Value::Str(text) => go::parse(text).unwrap_or(0),
        Value::Int64(nanos) => *nanos,
        Value::Object(object) => match object.as_any().downcast_ref::<Instant>() {
            Some(time) => now(scope).since(&time.0),
            None => 0,
        },
        _ => 0,
    };
    let hour = 3600 * go::SECOND.unsigned_abs();
    let units = [
        (365 * 24 * hour, "y"),
        (30 * 24 * hour, "mo"),
        (24 * hour, "d"),
        (hour, "h"),
        (hour / 60, "m"),
        (hour / 3600, "s"),
    ];
    let size = nanos.unsigned_abs();
    let text =
        units.iter().find(|(unit, _)| size > *unit).map(|(unit, name)| format!("{}{name}", size / unit));
    Ok(text.unwrap_or_else(|| "0s".into()).into())
}

/// Helm's `asDuration`: a duration, its text, or seconds as text or number.
fn length(value: &Value) -> Result<i64, String> {
    match value {
        Value::Object(object) => match object.as_any().downcast_ref::<Duration>() {
            Some(duration) => Ok(duration.0),
            None => Err(format!("unsupported duration type {}", object.type_name())),
        },
        Value::Str(text) => from_text(text),
        Value::Nil => Err("invalid duration".into()),
        Value::Int(seconds) | Value::Int64(seconds) => from_seconds(i128::from(*seconds)),
        Value::Uint64(seconds) => from_seconds(i128::from(*seconds)),
        Value::Float64(seconds) => from_float(*seconds),
        other => Err(format!("unsupported duration type {}", other.type_name())),
    }
}

fn from_text(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("empty duration".into());
    }
    if let Ok(nanos) = go::parse(trimmed) {
        return Ok(nanos);
    }
    match trimmed.parse() {
        Ok(seconds) => from_float(seconds),
        Err(_) => Err(format!("could not parse duration {text:?}")),
    }
}

fn from_seconds(seconds: i128) -> Result<i64, String> {
    let most = i128::from(i64::MAX / go::SECOND);
    if seconds > most || seconds < -most {
        return Err(format!("duration seconds overflow: {seconds}"));
    }
    Ok(i64::try_from(seconds * i128::from(go::SECOND)).unwrap_or_default())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "as Go, within the range checked above"
)]
fn from_float(seconds: f64) -> Result<i64, String> {
    if !seconds.is_finite() {
        return Err(format!("invalid duration seconds: {seconds}"));
    }
    let nanos = seconds * go::SECOND as f64;
    if nanos.abs() > i64::MAX as f64 {
        return Err(format!("duration seconds overflow: {seconds}"));
    }
    Ok(nanos as i64)
}

fn value(nanos: i64) -> Value {
    Value::Object(Rc::new(Duration(nanos)))
}

fn lenient(arguments: Arguments<'_>) -> i64 {
    length(arguments.any(0)).unwrap_or(0)
}

pub(super) fn must_to_duration(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(value(length(arguments.any(0))?))
}

pub(super) fn weeks(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(go::hours(lenient(arguments)) / 24.0 / 7.0))
}

pub(super) fn days(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(go::hours(lenient(arguments)) / 24.0))
}

pub(super) fn hours(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(go::hours(lenient(arguments))))
}

pub(super) fn minutes(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(go::minutes(lenient(arguments))))
}

pub(super) fn seconds(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Float64(go::seconds(lenient(arguments))))
}

pub(super) fn milliseconds(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(lenient(arguments) / 1_000_000))
}

pub(super) fn microseconds(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(lenient(arguments) / 1000))
}

pub(super) fn nanoseconds(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(Value::Int64(lenient(arguments)))
}

pub(super) fn round_to(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    stepped(arguments, go::round)
}

pub(super) fn truncate_to(_: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    stepped(arguments, go::truncate)
}

fn stepped(arguments: Arguments<'_>, change: fn(i64, i64) -> i64) -> Result<Value, Failure> {
    let Ok(nanos) = length(arguments.any(0)) else { return Ok(value(0)) };
    Ok(value(length(arguments.any(1)).map_or(nanos, |step| change(nanos, step))))
}
